/* The rows of options.def, and the flags that are not options. Constant. */
#ifndef HERALD_BASE_OPTIONS_TABLE_H
#define HERALD_BASE_OPTIONS_TABLE_H

#include "gateway/base/options_struct.h"

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
    const char *value; /* the default as text */
    int64_t min, max;
    const char *words; /* CHOICE: "a|b|c" */
    bool is_live;      /* options_reread accepts a new value */
    const char *help;
};
extern const struct option_row option_rows[OPTION_COUNT];

enum {
    OPTION_LINE_MAX_BYTES = 198
}; /* a line of the file without its line break; limited by inih's buffer */

/* The flags that are not options. */
struct action_row {
    const char *name;
    enum options_action action;
    const char *help;
};
enum { ACTION_COUNT = 4 };
extern const struct action_row action_rows[ACTION_COUNT];

#endif
