#include "gateway/base/log.h"

#include "gateway/base/log_writer.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int pipe_ends[2];
static char captured[1 << 16];

/* Standard error becomes a pipe. A line is smaller than the pipe, so one thread can write and read.
 */
static void setup(void)
{
    cr_assert_eq(pipe(pipe_ends), 0);
    cr_assert_eq(dup2(pipe_ends[1], STDERR_FILENO), STDERR_FILENO);
    close(pipe_ends[1]);
}

TestSuite(log, .init = setup);

/* The next write's bytes, from "level" on: the time before it changes. */
static const char *line_after_time(void)
{
    ssize_t len = read(pipe_ends[0], captured, sizeof captured - 1);
    cr_assert_gt(len, 0);
    captured[len] = '\0';
    const char *level = strstr(captured, "level");
    cr_assert_not_null(level);
    return level;
}

Test(log, writes_logfmt_with_time_level_and_event_first)
{
    log_event(LOG_INFO, "listening", LOG_TEXT("address", "127.0.0.1"), LOG_INT("port", 8080));
    cr_assert_str_eq(line_after_time(), "level=info event=listening address=127.0.0.1 port=8080\n");
    unsigned part[6];
    char z;
    int n = sscanf(captured, "time=%4u-%2u-%2uT%2u:%2u:%2u.%*3u%c ", &part[0], &part[1], &part[2],
                   &part[3], &part[4], &part[5], &z);
    cr_assert_eq(n, 7);
    cr_assert_eq(z, 'Z');
}

Test(log, writes_one_json_object_a_line)
{
    log_setup(LOG_INFO, LOG_JSON);
    log_event(LOG_WARN, "slow", LOG_TEXT("user", "a\"b\\c\n\x01"), LOG_INT("bytes", INT64_MIN));
    cr_assert_str_eq(line_after_time(),
                     "level\":\"warn\",\"event\":\"slow\",\"user\":"
                     "\"a\\\"b\\\\c\\n\\u0001\",\"bytes\":-9223372036854775808}\n");
    cr_assert_eq(strncmp(captured, "{\"time\":\"20", 11), 0);
}

Test(log, quotes_logfmt_values_only_where_it_must)
{
    log_event(LOG_ERROR, "store away", LOG_TEXT("path", "./a-b_c"), LOG_TEXT("none", ""),
              LOG_TEXT("why", "a=b"), LOG_TEXT("quote", "say \"no\"\t"));
    cr_assert_str_eq(line_after_time(), "level=error event=\"store away\" path=./a-b_c none=\"\" "
                                        "why=\"a=b\" quote=\"say \\\"no\\\"\\t\"\n");
}

/* A value from outside can neither start a line of its own nor move a terminal's cursor. */
Test(log, escapes_line_ends_and_terminal_controls)
{
    log_event(LOG_INFO, "x", LOG_TEXT("user", "a\r\ntime=0 \x1b[2J\x7f\xc2\x9b"));
    cr_assert_str_eq(line_after_time(), "level=info event=x user="
                                        "\"a\\r\\ntime=0 \\u001b[2J\\u007f\\u009b\"\n");
}

Test(log, escapes_bytes_that_are_not_utf8_and_keeps_those_that_are)
{
    log_event(LOG_INFO, "x", LOG_TEXT("user", "J\xc3\xb8rn \xff\xc3"));
    cr_assert_str_eq(line_after_time(), "level=info event=x user=\"J\xc3\xb8rn \\xff\\xc3\"\n");

    log_setup(LOG_INFO, LOG_JSON);
    log_event(LOG_INFO, "x", LOG_TEXT("user", "\xff"));
    cr_assert_not_null(strstr(line_after_time(), "\"user\":\"\\\\xff\"}\n"));
}

Test(log, cuts_a_text_over_512_bytes_between_characters)
{
    char text[LOG_TEXT_MAX_BYTES + 10];
    memset(text, 'a', sizeof text);
    memcpy(text + LOG_TEXT_MAX_BYTES - 1, "\xe2\x82\xac", 3); /* a euro sign across the cut */
    log_event(LOG_INFO, "x", LOG_SPAN("text", ((struct span){text, sizeof text})));
    char expected[1024];
    snprintf(expected, sizeof expected, "level=info event=x text=\"%.*s...\"\n",
             LOG_TEXT_MAX_BYTES - 1, text);
    cr_assert_str_eq(line_after_time(), expected);
}

Test(log, leaves_whole_fields_out_of_a_line_that_would_be_too_long)
{
    char text[LOG_TEXT_MAX_BYTES];
    memset(text, '\x01', sizeof text); /* six bytes each, escaped */
    struct log_field fields[4];
    for (int i = 0; i < 4; i++)
        fields[i] = LOG_SPAN("f", ((struct span){text, sizeof text}));
    log_fields(LOG_INFO, "x", fields, 4);
    const char *line = line_after_time();
    size_t len = strlen(line);
    cr_assert_leq(len, LOG_LINE_MAX_BYTES);
    cr_assert_str_eq(line + len - 11, "\" cut=true\n");

    log_setup(LOG_INFO, LOG_JSON);
    log_fields(LOG_INFO, "x", fields, 4);
    line = line_after_time();
    cr_assert_str_eq(line + strlen(line) - 14, "\",\"cut\":true}\n");
}

Test(log, drops_what_is_below_the_level)
{
    log_setup(LOG_WARN, LOG_LOGFMT);
    cr_assert_not(log_is_enabled(LOG_INFO));
    cr_assert(log_is_enabled(LOG_WARN));
    log_fields(LOG_INFO, "dropped", NULL, 0);
    log_fields(LOG_WARN, "kept", NULL, 0);
    cr_assert_str_eq(line_after_time(), "level=warn event=kept\n");
}

static void *log_lines(void *name)
{
    for (int i = 0; i < 100; i++)
        log_event(LOG_INFO, "line", LOG_TEXT("thread", (const char *)name), LOG_INT("n", i));
    return NULL;
}

Test(log, keeps_lines_of_several_threads_apart)
{
    pthread_t threads[4];
    char names[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, log_lines, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ssize_t len = read(pipe_ends[0], captured, sizeof captured - 1);
    cr_assert_gt(len, 0);
    captured[len] = '\0';
    int lines = 0;
    for (char *rest = captured, *line = NULL;
         (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        char name;
        int n;
        cr_assert_eq(sscanf(line, "time=%*s level=info event=line thread=%c n=%d", &name, &n), 2);
        lines++;
    }
    cr_assert_eq(lines, 400);
}
