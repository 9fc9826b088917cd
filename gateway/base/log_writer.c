#include "gateway/base/log_writer.h"

#include "gateway/base/metrics.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* There are two buffers: callers fill one under the mutex, the thread writes the other without it,
 * and they are swapped when the thread is done. After a line found no room, all lines are dropped
 * until the next swap, so that the kept lines are consecutive and the gap comes after them. */

enum { FLUSH_MS = 1000 };

enum state {
    DIRECT, /* no thread: callers write */
    RUNNING,
    STOPPING,
    ABANDONED, /* the thread did not return from a write, and the process ends */
};

struct half {
    size_t len;
    char bytes[LOG_WAITING_MAX_BYTES];
};

static struct half halves[2];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t has_written; /* uses the monotonic clock */
static enum state state = DIRECT;
static struct half *filled = &halves[0];
static uint64_t n_lost; /* lines dropped since the last swap */
static bool is_writing;
static pthread_t thread;
static size_t (*describe)(uint64_t n_lines, char out[LOG_LINE_MAX_BYTES]);

/* Another process that shares the open file may have made it non-blocking, so EAGAIN is handled. */
static bool write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, len);
        if (written >= 0) {
            bytes += written;
            len -= (size_t)written;
            continue;
        }
        struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (errno == EAGAIN)
            (void)poll(&writable, 1, -1);
        else if (errno != EINTR)
            return false;
    }
    return true;
}

/* The length of the first whole lines that fit into PIPE_BUF, which a pipe takes atomically; at
 * least one line. */
static size_t first_lines(const char *bytes, size_t len)
{
    if (len <= PIPE_BUF)
        return len;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    if (end == NULL)
        end = memchr(bytes, '\n', len);
    return end == NULL ? len : (size_t)(end - bytes) + 1;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += bytes[i] == '\n';
    return n;
}

/* Returns how many lines could not be written. */
static uint64_t write_lines(const char *bytes, size_t len)
{
    uint64_t n_failed = 0;
    while (len > 0) {
        size_t part = first_lines(bytes, len);
        if (!write_all(bytes, part))
            n_failed += count_lines(bytes, part);
        bytes += part;
        len -= part;
    }
    metrics_add(METRIC_LOG_FAILED, n_failed);
    return n_failed;
}

/* Writes the line that reports n lost lines. Returns how many are still unreported. */
static uint64_t report_lost(uint64_t n)
{
    char line[LOG_LINE_MAX_BYTES];
    if (n == 0)
        return 0;
    return write_all(line, describe(n, line)) ? 0 : n;
}

/* The mutex is held, and released while it writes. Returns how many lost lines are unreported. */
static uint64_t write_filled(uint64_t n_unreported)
{
    struct half *half = filled;
    filled = half == &halves[0] ? &halves[1] : &halves[0];
    uint64_t n_dropped = n_lost;
    n_lost = 0;
    is_writing = true;
    pthread_mutex_unlock(&mutex);

    uint64_t n_failed = write_lines(half->bytes, half->len);
    n_unreported = report_lost(n_unreported + n_failed + n_dropped);
    half->len = 0;

    pthread_mutex_lock(&mutex);
    is_writing = false;
    pthread_cond_broadcast(&has_written);
    return n_unreported;
}

static void *run_writer(void *unused)
{
    uint64_t n_unreported = 0;
    pthread_mutex_lock(&mutex);
    for (;;) {
        if (filled->len > 0)
            n_unreported = write_filled(n_unreported);
        else if (state == RUNNING)
            pthread_cond_wait(&has_work, &mutex);
        else
            break;
    }
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* The mutex is held. */
static void keep_line(const char *bytes, size_t len)
{
    if (n_lost > 0 || len > sizeof filled->bytes - filled->len) {
        n_lost++;
        metrics_count(METRIC_LOG_FULL);
        return;
    }
    memcpy(filled->bytes + filled->len, bytes, len);
    filled->len += len;
    if (filled->len == len && !is_writing)
        pthread_cond_signal(&has_work);
}

void log_writer_put(const char *bytes, size_t len)
{
    pthread_mutex_lock(&mutex);
    bool is_direct = state == DIRECT;
    if (!is_direct)
        keep_line(bytes, len);
    pthread_mutex_unlock(&mutex);
    if (is_direct && !write_all(bytes, len))
        metrics_count(METRIC_LOG_FAILED);
}

/* Signals are blocked in it: another thread waits for them. */
static int start_writer_thread(void)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&thread, NULL, run_writer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* A child process does not have the writing thread. The parent writes the lines that wait; the
 * child writes its own lines at once. */
static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    state = DIRECT;
    filled->len = 0;
    pthread_mutex_unlock(&mutex);
}

enum err log_writer_start(size_t (*describe_lost)(uint64_t n_lines, char out[LOG_LINE_MAX_BYTES]))
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return ERR_SYSTEM;
    int code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (code == 0)
        code = pthread_cond_init(&has_written, &attributes);
    pthread_condattr_destroy(&attributes);
    if (code == 0)
        code = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (code != 0)
        return ERR_SYSTEM;
    describe = describe_lost;
    state = RUNNING; /* before another thread runs */
    if (start_writer_thread() == 0)
        return ERR_OK;
    state = DIRECT;
    return ERR_SYSTEM;
}

static struct timespec flush_deadline(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += FLUSH_MS / 1000;
    at.tv_nsec += FLUSH_MS % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

/* The mutex is held. false: stderr was not read in time. */
static bool wait_until_written(void)
{
    struct timespec end = flush_deadline();
    while (is_writing || filled->len > 0) {
        if (pthread_cond_timedwait(&has_written, &mutex, &end) != 0)
            return false;
    }
    return true;
}

void log_writer_flush(void)
{
    pthread_mutex_lock(&mutex);
    if (state == RUNNING)
        (void)wait_until_written();
    pthread_mutex_unlock(&mutex);
}

void log_writer_stop(void)
{
    pthread_mutex_lock(&mutex);
    if (state != RUNNING) {
        pthread_mutex_unlock(&mutex);
        return;
    }
    bool is_all_written = wait_until_written();
    state = is_all_written ? STOPPING : ABANDONED;
    pthread_cond_signal(&has_work);
    pthread_mutex_unlock(&mutex);
    if (!is_all_written) {
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    pthread_mutex_lock(&mutex);
    state = DIRECT;
    pthread_mutex_unlock(&mutex);
}
