/* The memory and file stores under many threads: appenders, readers and acknowledgers of the same
 * users, one that asks for pages at once, then a close with requests under way. Checks on the way:
 * numbers without holes in the order of on_inbox_event, nothing that was answered is missing, each
 * request answered once. */
#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/store/store.h"
#include "gateway/stores/stores.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { USERS = 8, APPENDERS = 4, READERS = 3, RUN_MS = 1500, LAST_REQUESTS = 200 };

static struct store *store;
static atomic_bool is_over;
static atomic_uint n_appended, n_paged, n_acked, n_at_once, n_answered;
static atomic_uint_fast64_t last_seqs[USERS]; /* written by the store's thread alone */
static char names[USERS][16];

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "FAIL line %d: %s\n", __LINE__, #condition);                           \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    (void)owner;
    int user = user_id.bytes[1] - '0';
    CHECK(event.kind == INBOX_NOTIFICATION && event.note->seq == last_seqs[user] + 1);
    last_seqs[user] = event.note->seq;
}

struct waiting_append {
    struct store_append append;
    struct store_target targets[2];
    sem_t answered;
};

struct waiting_page {
    struct store_page page;
    sem_t answered;
};

struct waiting_ack {
    struct store_ack ack;
    sem_t answered;
};

static void on_append(struct store_request *request)
{
    sem_post(&((struct waiting_append *)(void *)request)->answered);
}

static void on_page(struct store_request *request)
{
    sem_post(&((struct waiting_page *)(void *)request)->answered);
}

static void on_ack(struct store_request *request)
{
    sem_post(&((struct waiting_ack *)(void *)request)->answered);
}

static void *append_all(void *arg)
{
    size_t number = (size_t)(uintptr_t)arg;
    struct waiting_append call;
    struct payload *payload = payload_new(SPAN_LITERAL("{\"race\":true}"));
    sem_init(&call.answered, 0, 0);
    for (size_t i = number; !atomic_load(&is_over); i++) {
        call.append = (struct store_append){.request = {.on_done = on_append},
                                            .payload = payload,
                                            .ttl_s = 1 + (uint32_t)(i % 3),
                                            .n_targets = 1 + i % 2,
                                            .targets = call.targets};
        call.targets[0] = (struct store_target){.user_id = span_of(names[i % USERS])};
        call.targets[1] = (struct store_target){.user_id = span_of(names[(i + 3) % USERS])};
        store_append(store, &call.append);
        sem_wait(&call.answered);
        for (size_t t = 0; t < call.append.n_targets; t++)
            CHECK(call.targets[t].error == ERR_OK && call.targets[t].seq > 0);
        atomic_fetch_add(&n_appended, (unsigned)call.append.n_targets);
    }
    payload_unref(payload);
    return NULL;
}

/* Half of what waits, or all of it, so that now and then nothing does. */
static void acknowledge(const struct store_page *page, bool is_all, struct waiting_ack *call)
{
    size_t last = is_all ? page->n_notes - 1 : page->n_notes / 2;
    call->ack = (struct store_ack){.request = {.on_done = on_ack},
                                   .user_id = page->user_id,
                                   .epoch = page->epoch,
                                   .seq = page->notes[last]->seq};
    store_ack(store, &call->ack);
    sem_wait(&call->answered);
    CHECK(call->ack.error == ERR_OK);
    atomic_fetch_add(&n_acked, 1);
}

static void *read_all(void *arg)
{
    size_t number = (size_t)(uintptr_t)arg;
    struct waiting_page call;
    struct waiting_ack ack;
    sem_init(&call.answered, 0, 0);
    sem_init(&ack.answered, 0, 0);
    for (size_t i = number; !atomic_load(&is_over); i++) {
        call.page = (struct store_page){.request = {.on_done = on_page},
                                        .user_id = span_of(names[i % USERS]),
                                        .from_acked = true,
                                        .max_count = 50,
                                        .max_bytes = 65536};
        store_page(store, &call.page);
        sem_wait(&call.answered);
        CHECK(call.page.error == ERR_OK);
        for (size_t n = 1; n < call.page.n_notes; n++)
            CHECK(call.page.notes[n]->seq > call.page.notes[n - 1]->seq);
        if (call.page.n_notes > 0)
            acknowledge(&call.page, i % 2 == 0, &ack);
        for (size_t n = 0; n < call.page.n_notes; n++)
            notification_unref(call.page.notes[n]);
        free(call.page.notes);
        atomic_fetch_add(&n_paged, 1);
    }
    return NULL;
}

/* What was reported before the call is in the page, and what is not in it is reported later. */
static void *ask_at_once(void *arg)
{
    (void)arg;
    for (size_t i = 0; !atomic_load(&is_over); i++) {
        struct store_page page = {.user_id = span_of(names[i % USERS]), .from_acked = true};
        uint64_t before = atomic_load(&last_seqs[i % USERS]);
        if (!store_page_at_once(store, &page))
            continue;
        CHECK(page.error == ERR_OK && page.head >= before && page.last == page.head);
        CHECK(page.head <= atomic_load(&last_seqs[i % USERS]));
        atomic_fetch_add(&n_at_once, 1);
    }
    return NULL;
}

static void on_last(struct store_request *request)
{
    (void)request;
    atomic_fetch_add(&n_answered, 1);
}

/* Requests that nobody waits for, then the close: all of them have been answered when it returns.
 */
static void close_with_requests_under_way(void)
{
    static struct store_peek last[LAST_REQUESTS];
    atomic_store(&n_answered, 0);
    for (int i = 0; i < LAST_REQUESTS; i++) {
        last[i] = (struct store_peek){.request = {.on_done = on_last},
                                      .user_id = span_of(names[i % USERS])};
        store_peek(store, &last[i]);
    }
    store_close(store);
    CHECK(atomic_load(&n_answered) == LAST_REQUESTS);
}

static void run(const char *url)
{
    char why[400];
    struct store_config config = {.url = url,
                                  .inbox_max = 100,
                                  .inbox_max_bytes = 1 << 20,
                                  .events = {.on_inbox_event = on_inbox_event}};
    atomic_store(&is_over, false);
    atomic_store(&n_appended, 0);
    atomic_store(&n_at_once, 0);
    for (int i = 0; i < USERS; i++)
        last_seqs[i] = 0;
    if (store_open(&config, &store, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "FAIL %s: %s\n", url, why);
        _exit(1);
    }
    pthread_t threads[APPENDERS + READERS];
    for (uintptr_t i = 0; i < APPENDERS + READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < APPENDERS ? append_all : read_all, (void *)i) ==
              0);
    pthread_t asker;
    CHECK(pthread_create(&asker, NULL, ask_at_once, NULL) == 0);
    do
        usleep(RUN_MS * 1000);
    while (atomic_load(&n_at_once) == 0);
    atomic_store(&is_over, true);
    pthread_join(asker, NULL);
    for (int i = 0; i < APPENDERS + READERS; i++)
        pthread_join(threads[i], NULL);
    close_with_requests_under_way();
    uint64_t sum = 0;
    for (int i = 0; i < USERS; i++)
        sum += last_seqs[i];
    CHECK(sum == atomic_load(&n_appended));
    printf("ok %.5s %u appended, %u pages, %u at once, %u acknowledged\n", url,
           atomic_load(&n_appended), atomic_load(&n_paged), atomic_load(&n_at_once),
           atomic_load(&n_acked));
}

int main(void)
{
    char url[64] = "file:/tmp/herald-race-XXXXXX";
    char command[96];
    CHECK(hash_init() == ERR_OK);
    CHECK(mkdtemp(url + 5) != NULL);
    for (int i = 0; i < USERS; i++)
        snprintf(names[i], sizeof names[i], "u%d", i);
    run("memory:");
    run(url);
    snprintf(command, sizeof command, "rm -r %s", url + 5);
    CHECK(system(command) == 0);
    return 0;
}
