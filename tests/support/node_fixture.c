/* The parts of a node as gateway.c puts them together, without its threads, sockets and clock. */
#include "tests/support/node_fixture.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/events/event_log.h"
#include "gateway/identity/auth.h"
#include "gateway/requests/blocked.h"
#include "gateway/requests/broadcast.h"
#include "gateway/requests/push.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/questions.h"
#include "gateway/session/session_close.h"
#include "gateway/store/store_partition.h"
#include "tests/sim/sim_inner.h"
#include "tests/support/bare_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEP_MS = 50, ROUNDS = 4 };

struct node_fixture fixture;

static int64_t now_us; /* monotonic */
static struct store *memory;

static int64_t show_wall_ms(void)
{
    return NODE_FIXTURE_WALL_MS + now_us / 1000;
}

static int64_t show_us(void)
{
    return now_us;
}

static int64_t show_store_ms(void *owner)
{
    (void)owner;
    return show_wall_ms();
}

static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    unsigned partition;
    if (fixture.node.events != NULL && store_is_partition_user(user_id, &partition)) {
        event_log_on_event(fixture.node.events->log, partition, event);
        return;
    }
    if (!fixture.loses_events)
        push_on_inbox_event(owner, user_id, event);
    if (fixture.successor != NULL)
        push_on_inbox_event(fixture.successor, user_id, event);
}

static void on_store_state(void *owner, bool is_up)
{
    struct node *node = owner;
    atomic_store(&node->is_store_up, is_up);
}

static void open_store(void)
{
    struct store_config config = {
        .url = "memory:",
        .inbox_max = (uint32_t)fixture.options.inbox_max,
        .inbox_max_bytes = (uint64_t)fixture.options.inbox_max_bytes,
        .idempotency_window_s = 600,
        .idempotency_max = 1000,
        .events_max = NODE_FIXTURE_EVENTS_MAX,
        .events_max_bytes = 1 << 20,
        .event_ttl_s = 3600,
        .alerts_max = 100,
        .events = {on_inbox_event, push_on_missed, on_store_state, broadcast_on_received,
                   questions_on_asked, push_waits_on_watch, push_waits_on_watch_answer,

                   .get_known = push_get_known, .on_blocked = blocked_on_found},
        .owner = &fixture.node,
    };
    cr_assert_eq(sim_inner_open(&config, show_store_ms, &memory), ERR_OK);
    fixture.node.store = memory;
}

void node_fixture_start(void)
{
    now_us = INT64_C(5000000);
    clock_replace(show_wall_ms, show_us);
    cr_assert_eq(hash_init(), ERR_OK);
    bare_node_init(&fixture.node, &fixture.options, &fixture.worker);
    fixture.loses_events = false;
    fixture.is_parked = false;
    fixture.successor = NULL;
    cr_assert_eq(bare_node_open(&fixture.node), ERR_OK);
    fixture.worker->random = 1; /* pings have the same phase in each run */
    open_store();
}

static void turn_workers(void)
{
    if (!fixture.is_parked)
        reactor_turn(fixture.worker->reactor, 0);
    if (fixture.successor != NULL)
        reactor_turn(fixture.successor->workers[0]->reactor, 0);
}

void node_fixture_turn(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        turn_workers();
        sim_inner_turn(memory);
    }
    turn_workers();
}

void node_fixture_turn_store(void)
{
    sim_inner_turn(memory);
}

void node_fixture_wait_ms(int64_t ms)
{
    while (ms > 0) {
        int64_t step_ms = ms < STEP_MS ? ms : STEP_MS;
        now_us += step_ms * 1000;
        ms -= step_ms;
        node_fixture_turn();
    }
}

void node_fixture_stall_ms(int64_t ms)
{
    now_us += ms * 1000;
    node_fixture_turn();
}

int64_t node_fixture_now_ms(void)
{
    return now_us / 1000;
}

/* ---- the end ---- */

static void close_client(struct client *client, void *unused)
{
    (void)unused;
    session_close_all(client, ERR_RESTART, SPAN_NONE);
}

static void close_unauthenticated(struct worker *worker)
{
    while (!list_is_empty(&worker->unauthenticated)) /* each leaves the list as it closes */
        session_close(CONTAINER_OF(worker->unauthenticated.next, struct session, link),
                      ERR_RESTART);
}

void node_fixture_stop(void)
{
    struct worker *worker = fixture.worker;
    atomic_store(&fixture.node.is_stopping, true);
    push_waits_stop(worker);
    close_unauthenticated(worker);
    client_map_each(fixture.node.map, 0, close_client, NULL);
    node_fixture_turn();
    session_abandon_closing(worker);
    node_fixture_turn();
    store_close(fixture.node.store);
    while (mailbox_deliver(worker_mailbox(worker)) > 0) {
    }
    reactor_turn(worker->reactor, 0);
    cr_expect_eq(fixture.node.n_sessions, 0, "%u sessions left", fixture.node.n_sessions);
    cr_expect_eq(fixture.node.n_sockets, 0, "%u sockets left", fixture.node.n_sockets);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    bare_node_close(&fixture.node);
    auth_close(fixture.node.auth); /* of tests that have opened one */
    clock_replace(NULL, NULL);
}

/* ---- what is asked of it ---- */

static unsigned n_answered;

static void on_pushed(struct gateway_push *push)
{
    (void)push;
    n_answered++;
}

uint64_t node_fixture_push(const char *user_id, const char *data, uint32_t ttl_s)
{
    struct gateway_target target = {.user_id = span_of(user_id)};
    struct gateway_push push = {
        .on_done = on_pushed,
        .data = span_of(data),
        .ttl_s = ttl_s,
        .n_targets = 1,
        .targets = &target,
    };
    unsigned before = n_answered;
    gateway_push(&fixture.node, &push);
    node_fixture_turn();
    cr_assert_eq(n_answered, before + 1, "the push is not answered");
    cr_assert_eq(target.error, ERR_OK, "%s", error_title(target.error));
    return target.seq;
}

static struct client **clients;
static unsigned n_clients;

void node_fixture_enter_clients(unsigned n)
{
    clients = calloc(n, sizeof(struct client *));
    cr_assert_not_null(clients);
    for (n_clients = 0; n_clients < n; n_clients++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", n_clients);
        clients[n_clients] = client_map_enter(fixture.node.map, span_of(name), fixture.worker,
                                              worker_mailbox(fixture.worker));
        cr_assert_not_null(clients[n_clients]);
    }
}

void node_fixture_leave_clients(void)
{
    for (unsigned i = 0; i < n_clients; i++) {
        cr_assert(client_map_leave(fixture.node.map, clients[i]));
        client_free(clients[i]);
    }
    free(clients);
}

void node_fixture_set_store_full(bool is_full)
{
    sim_inner_set_full(memory, is_full);
}
