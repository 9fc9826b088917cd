/* Which event streams are answered 204 after a kick (CONTRACT 2). */
#include "gateway/base/metrics.h"
#include "gateway/delivery/kicked_streams.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { REMEMBERED_MS = 30000, REMEMBERED = 10000 };

static const struct span user = {"u", 1};

TestSuite(kicked_streams, .init = node_fixture_start, .fini = node_fixture_stop);

Test(kicked_streams, stop_one_stream_of_the_user_for_each_that_was_kicked)
{
    kicked_streams_remember(fixture.worker, user);
    kicked_streams_remember(fixture.worker, SPAN_LITERAL("other"));
    kicked_streams_remember(fixture.worker, user);
    cr_expect(kicked_streams_take(fixture.worker, user));
    cr_expect(kicked_streams_take(fixture.worker, user));
    cr_expect_not(kicked_streams_take(fixture.worker, user));
    cr_expect(kicked_streams_take(fixture.worker, SPAN_LITERAL("other")));
}

Test(kicked_streams, are_distinguished_by_the_whole_userId)
{
    kicked_streams_remember(fixture.worker, user);
    cr_expect_not(kicked_streams_take(fixture.worker, SPAN_LITERAL("u2")));
    cr_expect_not(kicked_streams_take(fixture.worker, SPAN_LITERAL("U")));
}

Test(kicked_streams, are_forgotten_after_30_seconds)
{
    kicked_streams_remember(fixture.worker, user);
    kicked_streams_remember(fixture.worker, user);
    node_fixture_wait_ms(REMEMBERED_MS - 1);
    cr_expect(kicked_streams_take(fixture.worker, user));
    node_fixture_wait_ms(1);
    cr_expect_not(kicked_streams_take(fixture.worker, user));
}

Test(kicked_streams, are_at_most_10000_and_the_oldest_is_forgotten_for_one_more)
{
    char name[16];
    for (unsigned i = 0; i <= REMEMBERED; i++) {
        snprintf(name, sizeof name, "u%u", i);
        cr_assert_eq(metrics_read(METRIC_KICKS_FORGOTTEN), 0, "at %u", i);
        kicked_streams_remember(fixture.worker, span_of(name));
    }
    cr_expect_eq(metrics_read(METRIC_KICKS_FORGOTTEN), 1);
    cr_expect_not(kicked_streams_take(fixture.worker, SPAN_LITERAL("u0")));
    cr_expect(kicked_streams_take(fixture.worker, SPAN_LITERAL("u1")));
    cr_expect(kicked_streams_take(fixture.worker, SPAN_LITERAL("u10000")));
}

static unsigned n_seen;

static void note_kick(void *owner, struct span user_id, int64_t left_ms)
{
    static const struct {
        const char *user;
        int64_t left_ms;
    } expected[] = {{"short", 1000}, {"u", 5000}, {"u", 30000}};
    (void)owner;
    cr_assert_lt(n_seen, sizeof expected / sizeof expected[0]);
    cr_expect(span_equal(user_id, span_of(expected[n_seen].user)));
    cr_expect_eq(left_ms, expected[n_seen].left_ms);
    n_seen++;
}

/* From another process, whose clock has gone on in the meantime. */
Test(kicked_streams, of_another_process_are_forgotten_in_their_own_time)
{
    kicked_streams_remember(fixture.worker, user);
    kicked_streams_adopt(fixture.worker, user, 5000);
    kicked_streams_adopt(fixture.worker, SPAN_LITERAL("short"), 1000);
    kicked_streams_each(fixture.worker, note_kick, NULL);
    cr_expect_eq(n_seen, 3);
    node_fixture_wait_ms(1000);
    cr_expect_not(kicked_streams_take(fixture.worker, SPAN_LITERAL("short")));
    node_fixture_wait_ms(4000);
    cr_expect(kicked_streams_take(fixture.worker, user));
    cr_expect_not(kicked_streams_take(fixture.worker, user));
}
