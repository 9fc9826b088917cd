/* Appends events to one partition of a store, one after the other: to one that is empty, or to one
 * that is full and from which events expire meanwhile. event_append.js counts what that costs.
 *
 * usage: event_append URL FILL APPENDS TTL-SECONDS
 * It fills the partition with FILL events within the first half of their time, waits until the
 * first of them expire, prints a line and waits for one; appends, and does the same again. Two
 * consumers have read nothing. */
#include "gateway/base/hash.h"
#include "gateway/net/reactor.h"
#include "gateway/store/store_event_request.h"
#include "gateway/stores/stores.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENTS_MAX = 6250, FILL_AT_ONCE = 50, PARTITION = 3, BYTES = 256 };

static sem_t event;
static struct store *store;

static void fail(const char *what)
{
    fprintf(stderr, "event_append: %s\n", what);
    exit(1);
}

static void on_state(void *owner, bool is_up)
{
    (void)owner;
    if (is_up)
        sem_post(&event);
}

static void on_done(struct store_request *request)
{
    (void)request;
    sem_post(&event);
}

static void *run_lane(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void open_store(const char *url, uint32_t ttl_s)
{
    static struct reactor *lane;
    static char why[400];
    pthread_t thread;
    struct store_config config = {.url = url,
                                  .redis_prefix = "herald",
                                  .redis_wait_replicas = -1,
                                  .lock_fd = -1,
                                  .inbox_max = 1000,
                                  .inbox_max_bytes = 1 << 20,
                                  .idempotency_window_s = 3600,
                                  .events_max = EVENTS_MAX,
                                  .events_max_bytes = 16 << 20,
                                  .event_ttl_s = ttl_s,
                                  .alerts_max = 65536,
                                  .lanes = &lane,
                                  .n_lanes = 1,
                                  .events = {.on_state = on_state}};
    if (hash_init() != ERR_OK || reactor_new(NULL, &lane) != ERR_OK)
        fail("no memory");
    if (store_open(&config, &store, why, sizeof why) != ERR_OK)
        fail(why);
    if (pthread_create(&thread, NULL, run_lane, lane) != 0)
        fail("no thread");
    sem_wait(&event);
}

static void add_consumer(const char *key)
{
    struct store_consumers add = {.request = {.on_done = on_done},
                                  .partition = PARTITION,
                                  .action = CONSUMERS_ADD,
                                  .key = span_of(key)};
    store_consumers(store, &add);
    sem_wait(&event);
    if (add.error != ERR_OK)
        fail("a consumer was refused");
}

static void append(size_t n)
{
    static char data[BYTES];
    static struct span events[FILL_AT_ONCE];
    if (data[0] == '\0') {
        int size =
            snprintf(data, sizeof data, "{\"type\":\"user.online\",\"userId\":\"%0200d\"}", 7);
        for (size_t i = 0; i < FILL_AT_ONCE; i++)
            events[i] = (struct span){data, (size_t)size};
    }
    struct store_event_append add = {
        .request = {.on_done = on_done}, .partition = PARTITION, .n = n, .events = events};
    store_event_append(store, &add);
    sem_wait(&event);
    if (add.error != ERR_OK)
        fail("an event was refused");
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* The program that counts looks now. */
static void stop_here(const char *what)
{
    puts(what);
    fflush(stdout);
    if (getchar() == EOF)
        fail("nobody counts");
}

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 0)
        fail("usage: event_append URL FILL APPENDS TTL-SECONDS");
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        fail("usage: event_append URL FILL APPENDS TTL-SECONDS");
    long fill = number(argv[2]), appends = number(argv[3]), ttl_s = number(argv[4]);
    sem_init(&event, 0, 0);
    open_store(argv[1], (uint32_t)ttl_s);
    add_consumer("pone");
    add_consumer("wtwo");
    for (long i = 0; i < 200; i++)
        append(1); /* whoever counts has seen all of the code */
    long pause_ms = fill > 0 ? ttl_s * 500 * FILL_AT_ONCE / fill : 0;
    for (long done = 0; done < fill; done += FILL_AT_ONCE) {
        append(FILL_AT_ONCE);
        sleep_ms(pause_ms);
    }
    sleep_ms(fill > 0 ? ttl_s * 600 : 0);
    stop_here("ready");
    for (long i = 0; i < appends; i++)
        append(1);
    stop_here("done");
    store_close(store);
    return 0;
}
