/* Steps of the tests of replay: pushes to a user on the fixture's node, and what his session gets.
 * Its store keeps back what a test wants it to. */
#ifndef HERALD_TESTS_REPLAY_STEPS_H
#define HERALD_TESTS_REPLAY_STEPS_H

#include "gateway/delivery/delivery.h"
#include "tests/support/node_fixture.h"
#include "tests/support/slow_subscriber.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

static inline void set_up(void)
{
    node_fixture_start();
    store_double_start();
}

static inline enum reader_state state_of(const struct subscriber *of)
{
    return of->session->reader.state;
}

static inline void miss(const char *user_id, enum missed missed)
{
    client_map_missed(fixture.node.map, span_of(user_id), missed);
    node_fixture_turn();
}

/* Notifications of these numbers come next, whatever else does. */
static inline void expect_numbers(struct subscriber *of, unsigned from, unsigned to)
{
    char text[16];
    struct subscriber_frame frame;
    for (unsigned n = from; n <= to; n++) {
        do
            cr_assert(subscriber_next(of, &frame), "%u has not come", n);
        while (frame.opcode == WS_PING);
        snprintf(text, sizeof text, "%u", n);
        cr_assert(span_equal(frame.payload, span_of(text)), "%s, not %u", frame.payload.bytes, n);
    }
}

static inline void push_numbers(const char *user_id, unsigned from, unsigned to)
{
    char text[16];
    for (unsigned n = from; n <= to; n++) {
        snprintf(text, sizeof text, "%u", n);
        cr_assert_eq(node_fixture_push(user_id, text, 60), n);
    }
}

/* To the worker's next heartbeat, which is on_second. */
static inline void wait_second(void)
{
    int64_t seen_ms = atomic_load(&fixture.worker->seen_ms);
    for (unsigned i = 0; i < 200 && atomic_load(&fixture.worker->seen_ms) == seen_ms; i++)
        node_fixture_wait_ms(10);
}

static inline void on_done(struct store_request *request)
{
    (void)request;
}

static inline void withdraw_number(const char *user_id, struct epoch epoch, uint64_t seq)
{
    struct store_withdraw withdraw = {
        .request = {.on_done = on_done}, .user_id = span_of(user_id), .epoch = epoch, .seq = seq};
    store_withdraw(fixture.node.store, &withdraw);
    node_fixture_turn();
    cr_assert_eq(withdraw.error, ERR_OK);
}

#endif
