/* How long a file store is away when it passes from one process to the next, with so many
 * notifications waiting: fills a directory, and then hands it over from one process to another, in
 * turns with reading all records by LMDB alone, which is the floor.
 *
 * usage: store_index fill DIRECTORY RECORDS USERS BYTES
 *        store_index hand-over DIRECTORY ROUNDS
 *        store_index take-over DIRECTORY         one, for callgrind */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/stores.h"

#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 100, BATCH = 4096, BYTES_MAX = 65536 };

static sem_t event;
static char url[512];

static void fail(const char *what)
{
    fprintf(stderr, "store_index: %s\n", what);
    exit(1);
}

static void on_state(void *owner, bool is_up)
{
    (void)owner;
    if (is_up)
        sem_post(&event);
}

static struct store *open_store(bool is_awaited, int lock_fd)
{
    char why[400] = "";
    struct store *store;
    struct store_config config = {.url = url,
                                  .is_awaited = is_awaited,
                                  .lock_fd = lock_fd,
                                  .inbox_max = UINT32_MAX,
                                  .inbox_max_bytes = UINT64_MAX,
                                  .idempotency_window_s = 3600,
                                  .events = {.on_state = on_state}};
    if (store_open(&config, &store, why, sizeof why) != ERR_OK)
        fail(why);
    if (!is_awaited)
        sem_wait(&event);
    return store;
}

/* ---- fill ---- */

struct fill_append {
    struct store_append append;
    struct store_target target;
    char user[32];
};

static void on_appended(struct store_request *request)
{
    if (((struct fill_append *)(void *)request)->target.error != ERR_OK)
        fail("a push was refused");
    sem_post(&event);
}

static void fill(size_t n_records, size_t n_users, size_t n_bytes)
{
    static char data[BYTES_MAX];
    static struct fill_append appends[BATCH];
    if (n_users == 0 || n_bytes < 2 || n_bytes > sizeof data)
        fail("1 user and 2 bytes at least, 65536 bytes at most");
    memset(data, '"', n_bytes);
    memset(data + 1, 'x', n_bytes - 2);
    struct store *store = open_store(false, -1);
    for (size_t done = 0; done < n_records;) {
        size_t n = n_records - done < BATCH ? n_records - done : BATCH;
        for (size_t i = 0; i < n; i++) {
            struct fill_append *fill = &appends[i];
            snprintf(fill->user, sizeof fill->user, "user-%zu", (done + i) % n_users);
            fill->target = (struct store_target){.user_id = span_of(fill->user)};
            fill->append = (struct store_append){
                .request = {.on_done = on_appended,
                            .next = i + 1 < n ? &appends[i + 1].append.request : NULL},
                .payload = payload_new((struct span){data, n_bytes}),
                .ttl_s = 30 * 24 * 3600,
                .n_targets = 1,
                .targets = &fill->target};
        }
        store_append_many(store, &appends[0].append);
        for (size_t i = 0; i < n; i++)
            sem_wait(&event);
        for (size_t i = 0; i < n; i++)
            payload_unref(appends[i].append.payload);
        done += n;
    }
    store_close(store);
}

/* ---- hand over ---- */

/* Wall time, and CPU time of this process, in ms. */
struct span_of_time {
    double wall_ms;
    double cpu_ms;
};

static double now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static struct span_of_time time_now(void)
{
    return (struct span_of_time){now_ms(CLOCK_MONOTONIC), now_ms(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct span_of_time time_since(struct span_of_time began)
{
    struct span_of_time now = time_now();
    return (struct span_of_time){now.wall_ms - began.wall_ms, now.cpu_ms - began.cpu_ms};
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return values[n / 2];
}

struct round {
    struct span_of_time read, start, let_go, take_over;
};

/* ---- the old process ---- */

static void send_lock(int to, int lock_fd)
{
    char byte = 0;
    char control[CMSG_SPACE(sizeof lock_fd)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof lock_fd);
    memcpy(CMSG_DATA(head), &lock_fd, sizeof lock_fd);
    if (sendmsg(to, &message, 0) != 1)
        fail("the lock cannot be sent");
}

static int receive_lock(int from)
{
    char byte;
    int lock_fd;
    char control[CMSG_SPACE(sizeof lock_fd)];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL)
        fail("the lock has not come");
    memcpy(&lock_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof lock_fd);
    return lock_fd;
}

static void say(int to)
{
    if (write(to, "", 1) != 1)
        fail("the other process has ended");
}

static void hear(int from)
{
    char byte;
    if (read(from, &byte, 1) != 1)
        fail("the other process has ended");
}

/* Opens the store, lets it go when it is told, and stays until the other end is closed. */
static void be_old(int link)
{
    char byte;
    struct store *store = open_store(false, -1);
    send_lock(link, store_lock_fd(store));
    hear(link);
    store_let_go(store);
    say(link);
    if (read(link, &byte, 1) != 0)
        fail("there is more to hear");
    _exit(0);
}

/* The child's end is closed here. */
static int start_old(pid_t *ret_child)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        fail("no pair of sockets");
    fflush(stdout);
    *ret_child = fork();
    if (*ret_child < 0)
        fail("no process");
    if (*ret_child == 0) {
        close(ends[0]);
        be_old(ends[1]);
    }
    close(ends[1]);
    return ends[0];
}

static struct round take_from_old(void)
{
    struct round round;
    pid_t child;
    struct span_of_time began = time_now();
    file_lmdb_read_all(url + strlen("file:"));
    round.read = time_since(began);
    int link = start_old(&child);
    began = time_now();
    int lock_fd = receive_lock(link);
    round.start = time_since(began);
    struct store *next = open_store(true, lock_fd);
    close(lock_fd);
    began = time_now();
    say(link);
    hear(link);
    round.let_go = time_since(began);
    began = time_now();
    store_take_over(next);
    sem_wait(&event);
    round.take_over = time_since(began);
    close(link);
    if (waitpid(child, NULL, 0) != child)
        fail("the old process is gone");
    store_close(next);
    return round;
}

/* In a process of its own: what an earlier round has freed would be in its way. */
static struct round hand_over(void)
{
    struct round round;
    int ends[2];
    if (pipe(ends) != 0)
        fail("no pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        fail("no process");
    if (child == 0) {
        round = take_from_old();
        _exit(write(ends[1], &round, sizeof round) == sizeof round ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &round, sizeof round) != sizeof round || waitpid(child, NULL, 0) != child)
        fail("the new process has failed");
    close(ends[0]);
    return round;
}

struct row {
    const char *name;
    size_t offset; /* in struct round */
    bool is_here;  /* this process does it */
};

/* The medians, and the ratio of the CPU time to that of the floor. */
static void print_row(const struct row *row, const struct round *rounds, size_t n, double floor_ms)
{
    double wall_ms[ROUNDS_MAX];
    double cpu_ms[ROUNDS_MAX];
    for (size_t i = 0; i < n; i++) {
        const char *at = (const char *)&rounds[i] + row->offset;
        struct span_of_time time;
        memcpy(&time, at, sizeof time);
        wall_ms[i] = time.wall_ms;
        cpu_ms[i] = time.cpu_ms;
    }
    printf("%-26s %8.0f ms", row->name, median(wall_ms, n));
    if (row->is_here)
        printf(" %8.0f ms %7.2f", median(cpu_ms, n), median(cpu_ms, n) / floor_ms);
    printf("\n");
}

static void measure(size_t n)
{
    static const struct row rows[] = {
        {"read all by LMDB", offsetof(struct round, read), true},
        {"start (two readings)", offsetof(struct round, start), false},
        {"let go", offsetof(struct round, let_go), false},
        {"take over (one reading)", offsetof(struct round, take_over), true},
    };
    static struct round rounds[ROUNDS_MAX];
    double floor_ms[ROUNDS_MAX];
    if (n == 0 || n > ROUNDS_MAX)
        fail("1 to 100 rounds");
    for (size_t i = 0; i < n; i++) {
        rounds[i] = hand_over();
        floor_ms[i] = rounds[i].read.cpu_ms;
    }
    printf("medians of %-3zu rounds         wall time    CPU time  to reading\n", n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(&rows[i], rounds, n, median(floor_ms, n));
}

static void take_over_once(void)
{
    struct store *old = open_store(false, -1);
    struct store *next = open_store(true, store_lock_fd(old));
    store_let_go(old);
    store_take_over(next);
    sem_wait(&event);
    store_close(next);
    store_close(old);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_WARN);
    if (argc < 3 || hash_init() != ERR_OK || sem_init(&event, 0, 0) != 0)
        fail("usage: store_index fill|hand-over|take-over DIRECTORY ...");
    snprintf(url, sizeof url, "file:%s", argv[2]);
    if (strcmp(argv[1], "fill") == 0 && argc == 6)
        fill(strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
    else if (strcmp(argv[1], "hand-over") == 0 && argc == 4)
        measure(strtoul(argv[3], NULL, 10));
    else if (strcmp(argv[1], "take-over") == 0 && argc == 3)
        take_over_once();
    else
        fail("usage: store_index fill|hand-over|take-over DIRECTORY ...");
    return 0;
}
