/* --max-session-age (FLEET 5): when a session is closed because of its age, and with which words.
 */
#include "gateway/session/session_age.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_leaving.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"
#include "tests/support/successor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { AGE_MS = 60000, STORE_BACK_MS = 15000 };

static struct subscriber subscriber;

static void set_up(void)
{
    node_fixture_start();
    fixture.options.max_session_age = AGE_MS;
    fixture.options.silence_timeout = 100000000; /* nobody answers a ping here */
    fixture.options.ping_interval = 3600000;
}

TestSuite(session_age, .init = set_up, .fini = node_fixture_stop);

static void enter(enum handshake_level level)
{
    subscriber_enter(&subscriber, level, "u", NULL);
    if (level == LEVEL_V1)
        subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

/* Waits until it is told, or closed; answers how long that took. */
static int64_t wait_until_something_comes(int64_t at_most_ms)
{
    int64_t begin_ms = node_fixture_now_ms();
    while (subscriber_receive(&subscriber) == 0 && node_fixture_now_ms() - begin_ms < at_most_ms)
        node_fixture_wait_ms(50);
    return node_fixture_now_ms() - begin_ms;
}

static unsigned long goaway_ms(void)
{
    struct subscriber_frame frame;
    static const char start[] = "{\"type\":\"goaway\",\"reconnectAfterMs\":";
    cr_assert(subscriber_next(&subscriber, &frame));
    cr_assert_eq(memcmp(frame.payload.bytes, start, sizeof start - 1), 0, "%s",
                 frame.payload.bytes);
    char *end;
    unsigned long ms = strtoul(frame.payload.bytes + sizeof start - 1, &end, 10);
    cr_assert_eq(memcmp(end, ",\"reason\":\"age\"}", 16), 0, "%s", end);
    return ms;
}

static void set_store_up(bool is_up)
{
    atomic_store(&fixture.node.is_store_up, is_up);
    if (is_up)
        outages_end(&fixture.node.outages, NODE_FIXTURE_WALL_MS + node_fixture_now_ms());
    else
        outages_begin(&fixture.node.outages, NODE_FIXTURE_WALL_MS + node_fixture_now_ms());
}

Test(session_age, is_between_0_8_and_1_2_of_the_option_and_spread)
{
    unsigned n_early = 0;
    enter(LEVEL_PLAIN);
    for (uint64_t id = 1000; id < 2000; id++) {
        subscriber.session->id = id & 0xffff;
        int64_t left_ms = session_age_left_ms(subscriber.session);
        cr_assert(left_ms >= AGE_MS * 4 / 5 && left_ms <= AGE_MS * 6 / 5, "%lld",
                  (long long)left_ms);
        cr_assert_eq(session_age_left_ms(subscriber.session), left_ms, "drawn once");
        n_early += left_ms < AGE_MS;
    }
    cr_expect(n_early > 400 && n_early < 600, "%u of 1000", n_early);
}

Test(session_age, closes_it_after_a_goaway)
{
    enter(LEVEL_V1);
    int64_t left_ms = session_age_left_ms(subscriber.session);
    int64_t waited_ms = wait_until_something_comes(2 * AGE_MS);
    cr_expect(labs((long)(waited_ms - (left_ms - SESSION_AGE_AHEAD_MS))) <= 100);
    cr_expect(labs((long)goaway_ms() - SESSION_AGE_AHEAD_MS) <= 100);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 1);
    waited_ms = wait_until_something_comes(2 * AGE_MS);
    cr_expect(labs((long)(waited_ms - SESSION_AGE_AHEAD_MS)) <= 200, "%lld", (long long)waited_ms);
    struct span reason = subscriber_expect_close(&subscriber, 1012);
    cr_expect_eq(memcmp(reason.bytes, "restart retry_ms=", 17), 0, "%s", reason.bytes);
    cr_expect_eq(metrics_read(METRIC_CLOSED_AGE), 1);
    cr_expect_eq(metrics_read(METRIC_CLOSED_RESTART), 0);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
}

Test(session_age, closes_a_plain_one_without_a_word_and_a_stream_with_a_time_to_retry)
{
    enter(LEVEL_PLAIN);
    cr_expect_geq(wait_until_something_comes(2 * AGE_MS), AGE_MS * 4 / 5 - 100);
    subscriber_expect_close(&subscriber, 1012);
    subscriber_enter(&subscriber, LEVEL_SSE, "s", NULL);
    subscriber_text(&subscriber);
    const char *text = "";
    for (int i = 0; i < 2 * AGE_MS / 50 && strstr(text, "retry: ") == NULL; i++) {
        node_fixture_wait_ms(50);
        text = subscriber_text(&subscriber);
    }
    cr_expect_not_null(strstr(text, "retry: "));
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(metrics_read(METRIC_CLOSED_AGE), 2);
}

Test(session_age, does_not_count_while_the_store_is_away)
{
    enter(LEVEL_V1);
    node_fixture_wait_ms(10000);
    int64_t left_ms = session_age_left_ms(subscriber.session);
    set_store_up(false);
    cr_expect_eq(session_age_left_ms(subscriber.session), INT64_MAX);
    node_fixture_wait_ms(200000);
    subscriber_expect_nothing(&subscriber);
    set_store_up(true);
    int64_t still_ms = session_age_left_ms(subscriber.session);
    cr_expect(labs((long)(still_ms - left_ms)) <= 100, "%lld, %lld", (long long)left_ms,
              (long long)still_ms);
}

Test(session_age, that_is_near_when_the_store_goes_away_is_taken_back)
{
    enter(LEVEL_V1);
    wait_until_something_comes(2 * AGE_MS);
    goaway_ms();
    set_store_up(false);
    wait_until_something_comes(2 * AGE_MS);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"stay\"}");
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
    node_fixture_wait_ms(STORE_BACK_MS);
    subscriber_expect_nothing(&subscriber);
}

Test(session_age, that_is_near_when_the_option_is_switched_off_is_taken_back)
{
    enter(LEVEL_V1);
    wait_until_something_comes(2 * AGE_MS);
    goaway_ms();
    fixture.options.max_session_age = OPTION_OFF;
    wait_until_something_comes(2 * AGE_MS);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"stay\"}");
}

/* Set to a minute by mistake: nobody of those that were told is closed once it is mended. */
Test(session_age, that_is_near_when_the_option_becomes_longer_is_taken_back_and_comes_again)
{
    enter(LEVEL_V1);
    wait_until_something_comes(2 * AGE_MS);
    goaway_ms();
    fixture.options.max_session_age = 10 * AGE_MS;
    wait_until_something_comes(2 * AGE_MS);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"stay\"}");
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
    int64_t waited_ms = wait_until_something_comes(12 * AGE_MS);
    cr_expect_geq(waited_ms, 6 * AGE_MS, "%lld", (long long)waited_ms);
    cr_expect(labs((long)goaway_ms() - SESSION_AGE_AHEAD_MS) <= 100);
}

/* All that are older than the option at once are not closed at once. */
Test(session_age, of_old_sessions_is_spread_anew_when_the_option_is_switched_on)
{
    enum { N = 30 };
    fixture.options.max_session_age = OPTION_OFF;
    fixture.options.ping_interval = 1000;
    for (unsigned i = 0; i < N; i++)
        enter(LEVEL_PLAIN);
    node_fixture_stall_ms(3600000);
    fixture.options.max_session_age = AGE_MS;
    node_fixture_wait_ms(1500);
    cr_expect_geq(fixture.node.n_sessions, N * 2 / 3);
    cr_expect_eq(metrics_read(METRIC_LEAVING), fixture.node.n_sessions);
    node_fixture_wait_ms(AGE_MS / 5);
    cr_expect(fixture.node.n_sessions > N / 6 && fixture.node.n_sessions < N * 5 / 6, "%u",
              fixture.node.n_sessions);
    node_fixture_wait_ms(AGE_MS / 5);
    cr_expect_eq(fixture.node.n_sessions, 0);
}

Test(session_age, gives_way_to_a_drain_and_comes_back_after_it)
{
    enter(LEVEL_V1);
    wait_until_something_comes(2 * AGE_MS);
    goaway_ms();
    session_stay(subscriber.session);
    cr_expect(subscriber.session->is_aging, "no drain, nothing to take back");
    session_drain_in(subscriber.session, 50000);
    node_fixture_turn();
    subscriber_expect_start(&subscriber,
                            "{\"type\":\"goaway\",\"reconnectAfterMs\":50000,\"reason\":\"drain\"");
    session_stay(subscriber.session);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"stay\"}");
    wait_until_something_comes(1000);
    cr_expect_leq(goaway_ms(), SESSION_AGE_AHEAD_MS);
}

/* ---- in the hands of another process ---- */

static void set_up_two(void)
{
    set_up();
    successor_start();
    atomic_store(&successor.node.is_store_up, true);
}

TestSuite(session_age_carried, .init = set_up_two, .fini = successor_stop);

/* It lives as long as it would have. */
Test(session_age_carried, is_the_same_there)
{
    enter(LEVEL_PLAIN);
    node_fixture_wait_ms(5000);
    int64_t left_ms = session_age_left_ms(subscriber.session);
    successor_take_over();
    cr_expect_eq(session_age_left_ms(successor_session("u")), left_ms);
}

Test(session_age_carried, of_which_its_client_was_told_closes_it_there)
{
    enter(LEVEL_V1);
    wait_until_something_comes(2 * AGE_MS);
    goaway_ms();
    successor_take_over();
    cr_expect(successor_session("u")->is_aging);
    wait_until_something_comes(2 * AGE_MS);
    subscriber_expect_close(&subscriber, 1012);
    cr_expect_eq(metrics_read(METRIC_CLOSED_AGE), 1);
}
