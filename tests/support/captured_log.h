/* What the log writes to stderr, read back by the test that caused it. */
#ifndef HERALD_TESTS_CAPTURED_LOG_H
#define HERALD_TESTS_CAPTURED_LOG_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

static int captured_log_ends[2];

/* From now on stderr is a pipe. */
static inline void captured_log_begin(void)
{
    cr_assert_eq(pipe2(captured_log_ends, O_NONBLOCK), 0);
    cr_assert_eq(dup2(captured_log_ends[1], STDERR_FILENO), STDERR_FILENO);
}

/* What was written since the last call, at most what a pipe holds; valid until the next. */
static inline const char *captured_log_take(void)
{
    static char text[1 << 16];
    ssize_t len = read(captured_log_ends[0], text, sizeof text - 1);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static inline int captured_log_count_lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

#endif
