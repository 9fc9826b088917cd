/* What the files of the options share: the rows of options.def, and values from and to text. */
#ifndef HERALD_BASE_OPTIONS_TABLE_H
#define HERALD_BASE_OPTIONS_TABLE_H

#include "gateway/base/options.h"

enum option_kind {
    OPTION_TEXT,
    OPTION_NUMBER,
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_SWITCH,
    OPTION_CHOICE,
    OPTION_LIST,
    OPTION_NAMES,
    OPTION_PATH,
};

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;     /* of the member in struct options */
    const char *value; /* the default, as one would write it */
    int64_t min, max;
    const char *words; /* CHOICE: "a|b|c" */
    bool is_live;      /* options_reread takes a new value */
    const char *help;
};
extern const struct option_row option_rows[OPTION_COUNT];

enum { OPTION_LINE_MAX_BYTES = 198 }; /* of a file, without its line break: inih's buffer */

/* The flags that are no options. */
struct action_row {
    const char *name;
    enum options_action action;
    const char *help;
};
enum { ACTION_COUNT = 4 };
extern const struct action_row action_rows[ACTION_COUNT];

/* Of NAMES and PATH: is it a value that somebody may give? ERR_INVALID_FIELD: as option_set. */
MUST_CHECK enum err option_check(const struct option_row *row, const char *text, char *why,
                                 size_t why_cap);

bool option_is_list(const struct option_row *row);
bool option_may_be_empty(const struct option_row *row);

/* Sets the member; a list gets the values besides those that it has. ERR_INVALID_FIELD: *why says
 * what would be right ("must be ..."), without the name. */
MUST_CHECK enum err option_set(const struct option_row *row, struct options *options,
                               const char *text, char *why, size_t why_cap);

/* Frees what the member owns and makes it empty. */
void option_clear(const struct option_row *row, struct options *options);

/* How many lines of a file the option is written in: one, or one for each value of a list. */
size_t option_n_lines(const struct option_row *row, const struct options *options);
/* The value on that line as one would write it. */
MUST_CHECK enum err option_format(const struct option_row *row, const struct options *options,
                                  size_t line, struct buf *out);
MUST_CHECK enum err option_format_number(enum option_kind kind, int64_t value, struct buf *out);

#endif
