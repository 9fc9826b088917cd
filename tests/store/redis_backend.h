/* The Redis store as the cases open it: on a redis-server of the test's own, its lane on a thread
 * of its own. Included once by each tests/store/test_store_redis*.c. */
#ifndef HERALD_TESTS_STORE_REDIS_BACKEND_H
#define HERALD_TESTS_STORE_REDIS_BACKEND_H

#include "gateway/base/metrics.h"
#include "gateway/stores/stores.h"
#include "tests/store/contract_calls.h"
#include "tests/store/redis_server.h"

enum { SOON_MS = 5000 };

static struct redis_server server;
static struct reactor *lane;
static pthread_t lane_thread;
static atomic_int n_missed;

static void *run_lane(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void record_missed(void *owner, struct span user_id, bool has_withdrawals)
{
    (void)has_withdrawals;
    (void)owner;
    (void)user_id;
    atomic_fetch_add(&n_missed, 1);
}

static void remove_server(void)
{
    redis_server_remove(&server);
}

static void prepare_server(void)
{
    if (server.folder[0] != '\0')
        return;
    redis_server_prepare(&server);
    atexit(remove_server);
}

/* A store on `url` whose lane runs; it need not be up. */
static struct store *open_on(struct store_config *config, const char *url)
{
    static char why[300];
    static struct store *opened;
    cr_assert_eq(reactor_new(&lane), ERR_OK);
    config->url = url;
    config->lanes = &lane;
    config->n_lanes = 1;
    config->events.on_missed = record_missed;
    recorder.state = -1;
    cr_assert_eq(store_open(config, &opened, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&lane_thread, NULL, run_lane, lane), 0);
    return opened;
}

static struct store *backend_open(struct store_config *config)
{
    prepare_server();
    if (server.pid == 0)
        redis_server_start(&server, NULL, NULL);
    redis_server_do(&server, "FLUSHALL");
    struct store *opened = open_on(config, server.url);
    wait_for_state(true);
    return opened;
}

static void backend_close(struct store *closing)
{
    reactor_stop(lane);
    pthread_join(lane_thread, NULL);
    store_close(closing);
    reactor_free(lane);
}

/* store_leave belongs to the lane's thread. */
struct leave_letter {
    struct letter letter;
    struct store *store;
    struct span user_id;
    sem_t done;
};

static void deliver_leave(struct letter *letter)
{
    struct leave_letter *leave = CONTAINER_OF(letter, struct leave_letter, letter);
    store_leave(leave->store, 0, leave->user_id);
    sem_post(&leave->done);
}

MAYBE_UNUSED static void leave_on_lane(struct store *from, unsigned index, struct span user_id)
{
    struct leave_letter leave = {
        .letter.deliver = deliver_leave, .store = from, .user_id = user_id};
    cr_assert_eq(index, 0);
    sem_init(&leave.done, 0, 0);
    mailbox_post(reactor_mailbox(lane), &leave.letter);
    sem_wait(&leave.done);
}

#define store_leave leave_on_lane

#include "tests/store/contract_fixture.h"

TestSuite(store_redis, .init = contract_open, .fini = contract_close, .timeout = 60);

MAYBE_UNUSED static void wait_for_missed(int wanted)
{
    for (int i = 0; i < SOON_MS / 10 && atomic_load(&n_missed) < wanted; i++)
        pause_ms(10);
    cr_assert_geq(atomic_load(&n_missed), wanted);
}

#endif
