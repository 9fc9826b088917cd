/* A file store that passes from one process to the next while many threads use both ends: here both
 * are one process. Publishers push to the old one until it is let go, and then to the next, which
 * is awaited, while others ask for pages. Checks on the way: the numbers of each user go on without
 * a hole in the order of on_inbox_event, each push that was answered well has its number, and
 * tickets that were given out by the old one are taken once from the next. */
#include "gateway/base/hash.h"
#include "gateway/store/store.h"
#include "gateway/stores/stores.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { USERS = 8, PUBLISHERS = 4, READERS = 2, ROUNDS = 5, RUN_MS = 150, TICKETS = 50 };

static _Atomic(struct store *) now_here; /* the store that is asked */
static atomic_bool is_over;
static atomic_uint n_pushed, n_refused, n_paged, n_away;
static atomic_uint_fast64_t last_seqs[USERS];
static char names[USERS][16];
static char url[64] = "file:/tmp/herald-race-XXXXXX";

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
    struct store_target target;
    sem_t answered;
};

struct waiting_page {
    struct store_page page;
    sem_t answered;
};

struct waiting_take {
    struct store_ticket_take take;
    sem_t answered;
};

struct waiting_give {
    struct store_ticket_give give;
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

static void on_take(struct store_request *request)
{
    sem_post(&((struct waiting_take *)(void *)request)->answered);
}

static void on_give(struct store_request *request)
{
    sem_post(&((struct waiting_give *)(void *)request)->answered);
}

/* Refused only by a store that was let go: what waits for the next is carried out. */
static void *publish_all(void *arg)
{
    struct waiting_append call;
    struct payload *payload = payload_new(SPAN_LITERAL("{\"race\":true}"));
    sem_init(&call.answered, 0, 0);
    for (size_t i = (size_t)(uintptr_t)arg; !atomic_load(&is_over); i++) {
        call.target = (struct store_target){.user_id = span_of(names[i % USERS])};
        call.append = (struct store_append){.request = {.on_done = on_append},
                                            .payload = payload,
                                            .ttl_s = 600,
                                            .n_targets = 1,
                                            .targets = &call.target};
        store_append(atomic_load(&now_here), &call.append);
        sem_wait(&call.answered);
        if (call.target.error == ERR_OK) {
            CHECK(call.target.seq > 0 && call.target.seq <= atomic_load(&last_seqs[i % USERS]));
            atomic_fetch_add(&n_pushed, 1);
        } else {
            CHECK(call.target.error == ERR_STORE_UNAVAILABLE);
            atomic_fetch_add(&n_refused, 1);
        }
    }
    payload_unref(payload);
    return NULL;
}

static void *read_all(void *arg)
{
    struct waiting_page call;
    sem_init(&call.answered, 0, 0);
    for (size_t i = (size_t)(uintptr_t)arg; !atomic_load(&is_over); i++) {
        call.page = (struct store_page){.request = {.on_done = on_page},
                                        .user_id = span_of(names[i % USERS]),
                                        .from_acked = true,
                                        .max_count = 50,
                                        .max_bytes = 65536};
        if (store_page_at_once(atomic_load(&now_here), &call.page))
            CHECK(call.page.error == ERR_OK && call.page.last == call.page.head);
        store_page(atomic_load(&now_here), &call.page);
        sem_wait(&call.answered);
        CHECK(call.page.error == ERR_OK || call.page.error == ERR_STORE_UNAVAILABLE);
        atomic_fetch_add(call.page.error == ERR_OK ? &n_paged : &n_away, 1);
        store_page_clear(&call.page);
    }
    return NULL;
}

static struct store *open_store(bool is_awaited, int lock_fd)
{
    char why[400];
    struct store *store;
    struct store_config config = {.url = url,
                                  .is_awaited = is_awaited,
                                  .lock_fd = lock_fd,
                                  .inbox_max = UINT32_MAX,
                                  .inbox_max_bytes = UINT64_MAX,
                                  .events = {.on_inbox_event = on_inbox_event}};
    if (store_open(&config, &store, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "FAIL %s: %s\n", url, why);
        _exit(1);
    }
    return store;
}

/* ---- tickets ---- */

static void give_tickets(struct store *store)
{
    struct waiting_give call;
    sem_init(&call.answered, 0, 0);
    for (int i = 0; i < TICKETS; i++) {
        char ticket[16];
        snprintf(ticket, sizeof ticket, "ticket-%d", i);
        call.give = (struct store_ticket_give){.request = {.on_done = on_give},
                                               .ticket = span_of(ticket),
                                               .user_id = span_of(names[i % USERS]),
                                               .ttl_s = 600};
        store_ticket_give(store, &call.give);
        sem_wait(&call.answered);
        CHECK(call.give.error == ERR_OK);
    }
}

static void adopt_ticket(void *owner, const struct store_ticket *ticket)
{
    CHECK(store_adopt_tickets(owner, ticket, 1) == ERR_OK);
}

static void take_tickets(struct store *store)
{
    struct waiting_take call;
    sem_init(&call.answered, 0, 0);
    for (int i = 0; i < TICKETS; i++) {
        char ticket[16];
        snprintf(ticket, sizeof ticket, "ticket-%d", i);
        call.take =
            (struct store_ticket_take){.request = {.on_done = on_take}, .ticket = span_of(ticket)};
        store_ticket_take(store, &call.take);
        sem_wait(&call.answered);
        CHECK(call.take.error == ERR_OK);
    }
}

/* ---- the hand-over ---- */

static struct store *hand_over(struct store *old)
{
    struct store *next = open_store(true, store_lock_fd(old));
    give_tickets(old);
    store_each_ticket(old, adopt_ticket, next);
    usleep(RUN_MS * 1000);
    store_let_go(old);
    atomic_store(&now_here, next);
    take_tickets(next);
    store_take_over(next);
    usleep(RUN_MS * 1000);
    return next;
}

int main(void)
{
    char command[96];
    CHECK(hash_init() == ERR_OK);
    CHECK(mkdtemp(url + 5) != NULL);
    for (int i = 0; i < USERS; i++)
        snprintf(names[i], sizeof names[i], "u%d", i);
    struct store *stores[ROUNDS + 1];
    stores[0] = open_store(false, -1);
    atomic_store(&now_here, stores[0]);
    pthread_t threads[PUBLISHERS + READERS];
    for (uintptr_t i = 0; i < PUBLISHERS + READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < PUBLISHERS ? publish_all : read_all,
                             (void *)i) == 0);
    for (int i = 0; i < ROUNDS; i++)
        stores[i + 1] = hand_over(stores[i]);
    atomic_store(&is_over, true);
    for (int i = 0; i < PUBLISHERS + READERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i <= ROUNDS; i++)
        store_close(stores[i]); /* a thread may have asked an old one until now */
    uint64_t sum = 0;
    for (int i = 0; i < USERS; i++)
        sum += last_seqs[i];
    CHECK(sum == atomic_load(&n_pushed));
    CHECK(atomic_load(&n_pushed) > 0 && atomic_load(&n_paged) > 0);
    printf("ok %u pushed, %u refused, %u pages, %u away\n", atomic_load(&n_pushed),
           atomic_load(&n_refused), atomic_load(&n_paged), atomic_load(&n_away));
    snprintf(command, sizeof command, "rm -r %s", url + 5);
    CHECK(system(command) == 0);
    return 0;
}
