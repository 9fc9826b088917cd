/* Sessions whose close was set before, by a drain: when they are closed, and with which words. */
#include "gateway/session/session_leaving.h"

#include "gateway/base/metrics.h"
#include "proto/bytes/decimal.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

TestSuite(session_leaving, .init = node_fixture_start, .fini = node_fixture_stop);

static struct subscriber subscriber;

static void enter_plain(void)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
}

/* CONTRACT 5.10: the closes of a drain are spread over its time. */
Test(session_leaving, of_a_draining_node_is_closed_before_the_drain_ends)
{
    enter_plain();
    atomic_store(&fixture.node.drain_ends_ms, node_fixture_now_ms() + 5000);
    session_drain(subscriber.session);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 1);
    node_fixture_turn();
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(5000);
    struct subscriber_frame frame;
    unsigned n_pings = 0;
    while (subscriber_next(&subscriber, &frame) && frame.opcode == WS_PING)
        n_pings++;
    cr_expect_leq(n_pings, 1);
    cr_assert_eq(frame.opcode, WS_CLOSE);
    cr_expect_eq(memcmp(frame.payload.bytes, "\x03\xf4restart retry_ms=", 19), 0);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
    cr_expect_eq(metrics_read(METRIC_CLOSED_RESTART), 1);
}

/* Drained at once; answers after how many ms it is told to come again. */
static uint64_t drain_now(void)
{
    uint64_t retry_ms = 0;
    enter_plain();
    session_drain_in(subscriber.session, 0);
    node_fixture_wait_ms(50);
    struct span reason = subscriber_expect_close(&subscriber, 1012);
    struct span word = SPAN_LITERAL("restart retry_ms=");
    cr_assert_gt(reason.len, word.len);
    cr_assert(span_equal((struct span){reason.bytes, word.len}, word), "%s", reason.bytes);
    cr_assert(decimal_read((struct span){reason.bytes + word.len, reason.len - word.len},
                           UINT64_MAX, &retry_ms));
    return retry_ms;
}

/* 0..500 ms where another node is up, 500..5500 otherwise. */
Test(session_leaving, that_a_drain_closes_comes_again_at_once_where_another_node_is_up)
{
    uint64_t longest_ms = 0;
    for (unsigned i = 0; i < 40; i++) {
        fixture.node.others_up_until_ms = store_now_ms(fixture.node.store) + 100;
        cr_expect_leq(drain_now(), 500);
        fixture.node.others_up_until_ms =
            store_now_ms(fixture.node.store); /* it has been silent for too long */
        uint64_t retry_ms = drain_now();
        cr_expect(retry_ms >= 500 && retry_ms <= 5500, "%u", (unsigned)retry_ms);
        longest_ms = retry_ms > longest_ms ? retry_ms : longest_ms;
    }
    cr_expect_gt(longest_ms, 2000, "they are spread");
}

Test(session_leaving, stays_when_its_drain_is_taken_back)
{
    enter_plain();
    session_drain_in(subscriber.session, 5000);
    session_stay(subscriber.session);
    session_stay(subscriber.session);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
    node_fixture_wait_ms(6000);
    struct subscriber_frame frame;
    while (subscriber_next(&subscriber, &frame))
        cr_assert_eq(frame.opcode, WS_PING);
    cr_expect(session_is_open(subscriber.session));
}
