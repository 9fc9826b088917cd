/* The options. Flags, HERALD_* variables, the INI file, --help and --print-config are all made from
 * one table (options.def). Options are constant after they were read, and any thread may read them;
 * SIGHUP makes new ones (options_reread). */
#ifndef HERALD_BASE_OPTIONS_H
#define HERALD_BASE_OPTIONS_H

#include "gateway/base/options_struct.h"
#include "proto/bytes/buf.h"

/* Reads flags, then environ, then the file that --config names; an option is taken from the first
 * of them that has it, and from the last of a repeated flag. A wrong value is an error even if it
 * is overridden; an empty variable counts as unset, with a warning, except for the options that
 * must not be empty (PATH and NAMES of the table). After --help and --version nothing more is read.
 * ERR_INVALID_FIELD (ret_options is not written): *why is a sentence that names the option, and for
 * an unknown flag or file key (with the file's line) the nearest known name. Unknown HERALD_*
 * variables are only logged as warnings. Numbers: "10"; durations "100ms" "10s" "5m" "2h" "7d";
 * sizes "65536" "64KiB" "1MiB" "1GiB"; switches --demo, --demo=on, --demo=off, HERALD_DEMO=on.
 * --name VALUE and --name=VALUE. A list is written as the flag or the file's key repeated, or with
 * commas or spaces between its values, except for NAMES, whose values are not split. The values of
 * one source are collected and replace all of a weaker source. With --demo and without --events
 * all types of events are kept, and client messages of herald.v1 are taken unless --client-messages
 * says otherwise; --print-config shows "demo" as the source of these values. */
MUST_CHECK enum err options_read(int argc, char **argv, char **environ_list,
                                 struct options *ret_options, enum options_action *ret_action,
                                 char *why, size_t why_cap);
void options_fini(struct options *options);

enum { OPTIONS_NAMES_MAX_BYTES = 1024 };

struct options_change {
    struct options *options;             /* NULL: no live option has changed; else options_free */
    char live[OPTIONS_NAMES_MAX_BYTES];  /* changed live options, separated by commas */
    char fixed[OPTIONS_NAMES_MAX_BYTES]; /* options with a new value that needs a restart */
};

/* Reads all options again, with the arguments of the start. In the new options, those that the
 * table does not mark as live keep the value of `running`. Errors as options_read; ret_change is
 * not written then. */
MUST_CHECK enum err options_reread(int argc, char **argv, char **environ_list,
                                   const struct options *running, struct options_change *ret_change,
                                   char *why, size_t why_cap);
void options_free(struct options *options); /* NULL is fine */

MUST_CHECK enum err options_print_help(struct buf *out);
/* Appends an INI file that --config can read back. Each line has a comment that says where its
 * value came from; the comment is on the next line if it does not fit. Passwords in the store's URL
 * and the credentials of the Sentinels are replaced by ***. */
MUST_CHECK enum err options_print_config(const struct options *options, struct buf *out);

#endif
