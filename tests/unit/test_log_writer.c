#include "gateway/base/log_writer.h"

#include "gateway/base/log.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Standard error becomes a pipe of one page. */

enum { THREADS = 4, LINES_EACH = 4000, PIPE_BYTES = 4096 };

static int pipe_ends[2];
static int before; /* standard error as it was */
static char *captured;
static size_t captured_len;

static void setup(void)
{
    before = dup(STDERR_FILENO);
    cr_assert_eq(pipe(pipe_ends), 0);
    cr_assert_eq(fcntl(pipe_ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    cr_assert_eq(dup2(pipe_ends[1], STDERR_FILENO), STDERR_FILENO);
    close(pipe_ends[1]);
}

TestSuite(log_writer, .init = setup, .timeout = 60);

static void *log_lines(void *name)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_event(LOG_INFO, "line", LOG_TEXT("thread", (const char *)name), LOG_INT("n", i));
    return NULL;
}

static void log_from_threads(void)
{
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, log_lines, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Reads until nobody holds the other end any more. */
static void *capture(void *unused)
{
    size_t cap = 8 << 20;
    captured = malloc(cap);
    for (ssize_t n; (n = read(pipe_ends[0], captured + captured_len, cap - captured_len - 1)) > 0;)
        captured_len += (size_t)n;
    captured[captured_len] = '\0';
    return unused;
}

static pthread_t start_capture(void)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, capture, NULL), 0);
    return thread;
}

static void end_capture(pthread_t thread)
{
    dup2(before, STDERR_FILENO); /* the last writer's end of the pipe is closed by this */
    pthread_join(thread, NULL);
}

struct seen {
    long n_lines;
    long n_lost;         /* the sum of what the lines report */
    long after[THREADS]; /* the last number of each */
    bool is_in_order;
};

static struct seen look_at_captured(void)
{
    struct seen seen = {.is_in_order = true};
    for (char *rest = captured, *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        const char *lost = strstr(line, "standard error was not read\" lines=");
        char name;
        long n;
        if (lost != NULL) {
            seen.n_lost += strtol(strrchr(lost, '=') + 1, NULL, 10);
            continue;
        }
        cr_assert_eq(sscanf(line, "time=%*s level=info event=line thread=%c n=%ld", &name, &n), 2,
                     "not a whole line: %s", line);
        seen.n_lines++;
        long *after = &seen.after[name - 'a'];
        seen.is_in_order = seen.is_in_order && n >= *after;
        *after = n + 1;
    }
    return seen;
}

/* Four threads log 1 MB to a reader that stands still, and none of them waits for it. */
Test(log_writer, waits_for_no_reader_and_says_how_many_lines_it_dropped)
{
    cr_assert_eq(log_start(), ERR_OK);
    log_from_threads();
    long n_dropped = (long)metrics_read(METRIC_LOG_FULL);
    cr_assert_gt(n_dropped, 0);
    pthread_t reader = start_capture();
    log_stop();
    end_capture(reader);
    struct seen seen = look_at_captured();
    cr_assert_eq(seen.n_lines + n_dropped, (long)THREADS * LINES_EACH);
    cr_assert_eq(seen.n_lost, n_dropped);
    cr_assert(seen.is_in_order);
    cr_assert_leq(captured_len, 2 * (size_t)LOG_WAITING_MAX_BYTES + PIPE_BYTES + 1024);
}

Test(log_writer, drops_nothing_while_it_is_read)
{
    pthread_t reader = start_capture();
    cr_assert_eq(log_start(), ERR_OK);
    for (int i = 0; i < 10 * LINES_EACH; i++) {
        log_event(LOG_INFO, "line", LOG_TEXT("thread", "a"), LOG_INT("n", i));
        if (i % 1000 == 0)
            log_flush();
    }
    log_stop();
    end_capture(reader);
    struct seen seen = look_at_captured();
    cr_assert_eq(metrics_read(METRIC_LOG_FULL), 0);
    cr_assert_eq(seen.n_lines, 10 * LINES_EACH);
    cr_assert(seen.is_in_order);
}

Test(log_writer, ends_although_nobody_reads)
{
    cr_assert_eq(log_start(), ERR_OK);
    log_from_threads();
    log_stop();
    log_event(LOG_INFO, "nobody waits for this one either", LOG_INT("n", 1));
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* what the thread may still write */
}

/* Another process of the terminal may have set the flag on the open file that both have. */
Test(log_writer, loses_nothing_where_standard_error_is_non_blocking)
{
    cr_assert_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
    pthread_t reader = start_capture();
    log_lines("a"); /* before the thread */
    cr_assert_eq(log_start(), ERR_OK);
    log_lines("b");
    log_stop();
    end_capture(reader);
    struct seen seen = look_at_captured();
    cr_assert_eq(metrics_read(METRIC_LOG_FAILED), 0);
    cr_assert_eq(seen.n_lines + metrics_read(METRIC_LOG_FULL), 2 * LINES_EACH);
}

Test(log_writer, says_how_many_lines_could_not_be_written)
{
    int full = open("/dev/full", O_WRONLY);
    int pipe_end = dup(STDERR_FILENO);
    cr_assert_eq(dup2(full, STDERR_FILENO), STDERR_FILENO);
    cr_assert_eq(log_start(), ERR_OK);
    for (int i = 0; i < 3; i++) {
        log_event(LOG_INFO, "line", LOG_TEXT("thread", "a"), LOG_INT("n", i));
        log_flush();
    }
    cr_assert_eq(metrics_read(METRIC_LOG_FAILED), 3);
    dup2(pipe_end, STDERR_FILENO);
    close(pipe_end);
    pthread_t reader = start_capture();
    log_event(LOG_INFO, "line", LOG_TEXT("thread", "a"), LOG_INT("n", 3));
    log_stop();
    end_capture(reader);
    struct seen seen = look_at_captured();
    cr_assert_eq(seen.n_lines, 1);
    cr_assert_eq(seen.n_lost, 3);
}

Test(log_writer, writes_at_once_in_a_child_that_has_no_thread)
{
    cr_assert_eq(log_start(), ERR_OK);
    pid_t child = fork();
    if (child == 0) {
        log_event(LOG_INFO, "line", LOG_TEXT("thread", "a"), LOG_INT("n", 0));
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    pthread_t reader = start_capture();
    log_stop();
    end_capture(reader);
    struct seen seen = look_at_captured();
    cr_assert_eq(seen.n_lines, 1);
}

Test(log_writer, writes_why_the_program_ends_whole_and_on_one_line)
{
    char why[4096];
    memset(why, 'w', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    pthread_t reader = start_capture();
    cr_assert_eq(log_start(), ERR_OK);
    log_setup(LOG_ERROR, LOG_JSON);
    log_failure("--listen is wrong");
    log_failure(why);
    log_stop();
    end_capture(reader);
    cr_assert_eq(strncmp(captured, "herald: --listen is wrong\nherald: www", 36), 0);
    cr_assert_eq(captured[captured_len - 1], '\n');
}
