/* The options: one table (options.def) that flags, HERALD_* variables, the INI file, --help and
 * --print-config are all made from. They are constant once they are read, and any thread may read
 * them; SIGHUP makes new ones (options_reread). */
#ifndef HERALD_BASE_OPTIONS_H
#define HERALD_BASE_OPTIONS_H

#include "gateway/base/options_struct.h"
#include "proto/bytes/buf.h"

/* Reads flags, then environ, then the file that --config names; the first that has an option wins,
 * and of a flag given twice the last. A wrong value is an error even where it is overridden; an
 * empty variable counts as unset, with a warning, except for the options that must not be empty
 * (PATH and NAMES of the table). After --help and --version nothing more is looked at.
 * ERR_INVALID_FIELD (ret_options is not written): *why is a sentence that names the option, and for
 * an unknown flag or file key (with the file's line) the nearest known name. Unknown HERALD_*
 * variables are only logged as warnings. Numbers: "10"; durations "100ms" "10s" "5m" "2h" "7d";
 * sizes "65536" "64KiB" "1MiB" "1GiB"; switches
 * --demo, --demo=on, --demo=off, HERALD_DEMO=on. --name VALUE and --name=VALUE. A list is written
 * as the flag or the file's key repeated, or with commas or spaces between its values, except for
 * NAMES, whose values are taken whole; the values of one source add up and replace all of a weaker
 * one. */
MUST_CHECK enum err options_read(int argc, char **argv, char **environ_list,
                                 struct options *ret_options, enum options_action *ret_action,
                                 char *why, size_t why_cap);
void options_fini(struct options *options);

enum { OPTIONS_NAMES_MAX_BYTES = 1024 };

struct options_change {
    struct options *options; /* NULL: nothing that is live has changed; else options_free */
    char live[OPTIONS_NAMES_MAX_BYTES];  /* the names of what has changed, with commas */
    char fixed[OPTIONS_NAMES_MAX_BYTES]; /* and of what would have, but takes a restart */
};

/* Reads all of it again, with the arguments of the start. What is not marked live in the table has
 * the value of `running` in the new options. Errors as options_read; ret_change is not written. */
MUST_CHECK enum err options_reread(int argc, char **argv, char **environ_list,
                                   const struct options *running, struct options_change *ret_change,
                                   char *why, size_t why_cap);
void options_free(struct options *options); /* NULL is fine */

MUST_CHECK enum err options_print_help(struct buf *out);
/* An INI file that --config reads back; each line with a comment where its value came from, which
 * stands below it where the line would be too long with it.
 * Passwords in the store's URL are replaced by ***. */
MUST_CHECK enum err options_print_config(const struct options *options, struct buf *out);

#endif
