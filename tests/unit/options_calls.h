/* What the tests of the options share: each reads some and looks at what came of it. */
#ifndef HERALD_TESTS_OPTIONS_CALLS_H
#define HERALD_TESTS_OPTIONS_CALLS_H

#include "gateway/base/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct options options;
static enum options_action action;
static char why[512];

/* Reads the flags and variables that are given, each a NULL-terminated list. */
static inline enum err read_both(char **flags, char **variables)
{
    char *argv[16] = {(char *)"herald"};
    int argc = 1;
    for (; *flags != NULL; flags++)
        argv[argc++] = *flags;
    return options_read(argc, argv, variables, &options, &action, why, sizeof why);
}

#define FLAGS(...)     ((char *[]){__VA_ARGS__, NULL})
#define READ(...)      read_both(FLAGS(__VA_ARGS__), NULL)
#define READ_NOTHING() read_both((char *[]){NULL}, NULL)

static inline void teardown(void)
{
    options_fini(&options);
}

static char path[64];

static inline int open_temporary(void)
{
    snprintf(path, sizeof path, "/tmp/herald_options_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    return fd;
}

/* Reads with a configuration file of that text; the file is gone afterwards. */
static inline enum err read_file_text(const char *text, char *flag)
{
    int fd = open_temporary();
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    enum err error = READ((char *)"--config", path, flag);
    unlink(path);
    return error;
}

#endif
