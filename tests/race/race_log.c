/* Many threads log, limited and not, while others flush and move the level, to a reader that stands
 * still half of the time, for ThreadSanitizer. It also checks that each line is written, held back
 * or dropped, and counted where it is not written. */
#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 4, LINES = 20000, PAUSE_EVERY = 64 };

static struct log_limit limit = LOG_LIMIT(50);
static int pipe_ends[2];
static uint64_t n_read;
static atomic_bool is_over;

static void *log_lines(void *name)
{
    char key[8];
    for (int i = 0; i < LINES; i++) {
        snprintf(key, sizeof key, "k%d", i % 40);
        log_limited(&limit, span_of(key), LOG_WARN, "limited", LOG_INT("n", i));
        log_event(LOG_WARN, "line", LOG_TEXT("thread", (const char *)name), LOG_INT("n", i));
    }
    return NULL;
}

static void *disturb(void *unused)
{
    for (int i = 0; !atomic_load(&is_over); i++) {
        log_set_level(i % 2 == 0 ? LOG_INFO : LOG_WARN);
        log_flush();
        usleep(1000);
    }
    return unused;
}

static void *read_lines(void *unused)
{
    char bytes[4096];
    int i = 0;
    for (ssize_t n; (n = read(pipe_ends[0], bytes, sizeof bytes)) > 0; i++) {
        for (ssize_t at = 0; at < n; at++)
            n_read += bytes[at] == '\n';
        if (i % PAUSE_EVERY == 0)
            usleep(20 * 1000);
    }
    return unused;
}

int main(void)
{
    int before = dup(STDERR_FILENO);
    pthread_t reader;
    pthread_t disturber;
    pthread_t threads[THREADS];
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    if (pipe(pipe_ends) != 0 || dup2(pipe_ends[1], STDERR_FILENO) < 0 || log_start() != ERR_OK)
        abort();
    close(pipe_ends[1]);
    pthread_create(&reader, NULL, read_lines, NULL);
    pthread_create(&disturber, NULL, disturb, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_lines, names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&is_over, true);
    pthread_join(disturber, NULL);
    log_stop();
    dup2(before, STDERR_FILENO); /* the end of the pipe */
    pthread_join(reader, NULL);

    uint64_t expected = (uint64_t)2 * THREADS * LINES;
    uint64_t counted =
        (uint64_t)metrics_read(METRIC_LOG_LIMITED) + (uint64_t)metrics_read(METRIC_LOG_FULL);
    printf("race_log: %llu lines of %llu read, %llu counted\n", (unsigned long long)n_read,
           (unsigned long long)expected, (unsigned long long)counted);
    /* besides them, the lines that report what was dropped */
    return counted > 0 && n_read + counted >= expected && n_read + counted < expected + 1000 ? 0
                                                                                             : 1;
}
