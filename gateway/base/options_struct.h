/* struct options: a member for each row of options.def, and where its value came from. After it was
 * read (options.h) it is constant, and any thread may read it. */
#ifndef HERALD_BASE_OPTIONS_STRUCT_H
#define HERALD_BASE_OPTIONS_STRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option {
#define TEXT(member, name, value, when, help)               OPTION_##member,
#define NUMBER(member, name, value, min, max, when, help)   OPTION_##member,
#define DURATION(member, name, value, min, max, when, help) OPTION_##member,
#define SIZE(member, name, value, min, max, when, help)     OPTION_##member,
#define SWITCH(member, name, when, help)                    OPTION_##member,
#define CHOICE(member, name, value, words, when, help)      OPTION_##member,
#define LIST(member, name, value, when, help)               OPTION_##member,
#define NAMES(member, name, when, help)                     OPTION_##member,
#define PATH(member, name, when, help)                      OPTION_##member,
#include "gateway/base/options.def"
    OPTION_COUNT
};

/* From the weakest to the strongest. */
enum option_source {
    OPTION_DEFAULT,
    OPTION_FROM_DEMO, /* --demo gives it another default */
    OPTION_FROM_FILE,
    OPTION_FROM_VARIABLE,
    OPTION_FROM_FLAG
};

struct option_list {
    char **values;
    size_t n;
};

struct options {
#define TEXT(member, name, value, when, help)               char *member;
#define NUMBER(member, name, value, min, max, when, help)   int64_t member;
#define DURATION(member, name, value, min, max, when, help) int64_t member;
#define SIZE(member, name, value, min, max, when, help)     int64_t member;
#define SWITCH(member, name, when, help)                    bool member;
#define CHOICE(member, name, value, words, when, help)      char *member;
#define LIST(member, name, value, when, help)               struct option_list member;
#define NAMES(member, name, when, help)                     struct option_list member;
#define PATH(member, name, when, help)                      char *member;
#include "gateway/base/options.def"
    uint8_t sources[OPTION_COUNT]; /* enum option_source */
};

/* A word in place of a number: `auto` depends on the rest (drain_time: on the store). */
enum { OPTION_AUTO = -1, OPTION_OFF = -2 };

/* What the command line asks for instead of running. */
enum options_action {
    OPTIONS_RUN,
    OPTIONS_HELP,         /* --help */
    OPTIONS_VERSION,      /* --version */
    OPTIONS_PRINT_CONFIG, /* --print-config: every option and where its value comes from */
    OPTIONS_CHECK_CONFIG, /* --check-config */
};

#endif
