#include "gateway/base/options_table.h"

/* The values of the column `when` in the table. */
enum { FIXED = false, LIVE = true };

const struct option_row option_rows[OPTION_COUNT] = {
#define ROW(member, name, kind, value, min, max, words, when, help)                                \
    {name, kind, offsetof(struct options, member), value, min, max, words, when, help},
#define TEXT(member, name, value, when, help)                                                      \
    ROW(member, name, OPTION_TEXT, value, 0, 0, "", when, help)
#define NUMBER(member, name, value, min, max, when, help)                                          \
    ROW(member, name, OPTION_NUMBER, #value, min, max, "", when, help)
#define DURATION(member, name, value, min, max, when, help)                                        \
    ROW(member, name, OPTION_DURATION, value, min, max, "", when, help)
#define SIZE(member, name, value, min, max, when, help)                                            \
    ROW(member, name, OPTION_SIZE, value, min, max, "", when, help)
#define SWITCH(member, name, when, help)                                                           \
    ROW(member, name, OPTION_SWITCH, "off", 0, 0, "", when, help)
#define CHOICE(member, name, value, words, when, help)                                             \
    ROW(member, name, OPTION_CHOICE, value, 0, 0, words, when, help)
#define LIST(member, name, value, when, help)                                                      \
    ROW(member, name, OPTION_LIST, value, 0, 0, "", when, help)
#define NAMES(member, name, when, help) ROW(member, name, OPTION_NAMES, "", 0, 0, "", when, help)
#define PATH(member, name, when, help)  ROW(member, name, OPTION_PATH, "", 0, 0, "", when, help)
#include "gateway/base/options.def"
};

const struct action_row action_rows[ACTION_COUNT] = {
    {"help", OPTIONS_HELP, "this text"},
    {"version", OPTIONS_VERSION, "the version"},
    {"print-config", OPTIONS_PRINT_CONFIG, "every option, its value and where that comes from"},
    {"check-config", OPTIONS_CHECK_CONFIG, "say whether the configuration is right, and end"},
};
