/* A WebSocket session of one process goes on in another, in each of its states: what its client
 * reads, byte by byte, and what it does next. The clock stands still (node_fixture.h), and the two
 * processes are two nodes (successor.h). */
#include "gateway/session/session_carry.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_leaving.h"
#include "gateway/session/session_life.h"
#include "gateway/session/session_write.h"
#include "proto/ws/deflate.h"
#include "tests/support/slow_subscriber.h"
#include "tests/support/successor.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscriber subscriber;

static void set_up(void)
{
    node_fixture_start();
    successor_start();
}

TestSuite(session_carry, .init = set_up, .fini = successor_stop);

static void enter(enum handshake_level level)
{
    subscriber_enter(&subscriber, level, "u", NULL);
    if (level == LEVEL_V1)
        subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

/* From here on its session is the successor's. */
static void take_over(void)
{
    successor_take_over();
    cr_assert_eq(successor.n_refused, 0);
    subscriber.session = successor_session("u");
}

static void send_number(unsigned opcode, const char *number)
{
    subscriber_send(&subscriber, opcode, span_of(number));
    node_fixture_turn();
}

/* ---- nothing is under way ---- */

Test(session_carry, an_idle_client_reads_nothing_and_gets_what_is_pushed_next)
{
    enter(LEVEL_PLAIN);
    node_fixture_push("u", "1", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, "1");
    send_number(WS_PONG, "1");
    take_over();
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(fixture.node.n_sessions, 0);
    cr_expect_eq(fixture.node.n_sockets, 0);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    cr_expect_eq(successor.node.n_sessions, 1);
    cr_expect_eq(successor.node.n_sockets, 1);
    cr_expect(reader_is_live(&subscriber.session->reader));
    cr_expect_null(subscriber.session->extra);
    node_fixture_push("u", "2", 60);
    subscriber_expect(&subscriber, WS_TEXT, "2");
    subscriber_expect(&subscriber, WS_PING, "2");
    subscriber_expect_nothing(&subscriber);
}

Test(session_carry, keeps_its_name_its_beginning_its_agent_and_the_end_of_its_credentials)
{
    struct admission admission = {.level = LEVEL_PLAIN,
                                  .is_page = true,
                                  .user_agent = SPAN_LITERAL("Agent/1"),
                                  .claim.identity.expires_ms = NODE_FIXTURE_WALL_MS + 100000};
    subscriber_open(&subscriber, admission);
    cr_assert_eq(delivery_enter(subscriber.session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    node_fixture_turn();
    uint64_t id = subscriber.session->id;
    uint32_t since_s = session_since_s(subscriber.session);
    uint32_t until_s = subscriber.session->until_s;
    node_fixture_wait_ms(5000);
    take_over();
    cr_expect_eq((uint64_t)subscriber.session->id, id);
    cr_expect_eq(session_since_s(subscriber.session), since_s);
    cr_expect_eq(subscriber.session->until_s, until_s);
    cr_assert_not_null(subscriber.session->agent);
    struct span agent = {subscriber.session->agent->text, subscriber.session->agent->len};
    cr_expect(span_equal(agent, SPAN_LITERAL("Agent/1")));
}

Test(session_carry, what_is_pushed_meanwhile_comes_once_and_in_order_when_it_goes_on)
{
    enter(LEVEL_V1);
    node_fixture_push("u", "1", 60);
    subscriber_expect_start(&subscriber, "{\"type\":\"notification\"");
    successor_take();
    node_fixture_push("u", "2", 60);
    node_fixture_push("u", "3", 60);
    subscriber_expect_nothing(&subscriber);
    successor_go();
    struct subscriber_frame frame;
    for (unsigned n = 2; n <= 3; n++) {
        char end[32];
        snprintf(end, sizeof end, "\"data\":%u}", n);
        cr_assert(subscriber_next(&subscriber, &frame));
        cr_expect_not_null(strstr(frame.payload.bytes, end), "%s", frame.payload.bytes);
    }
    subscriber_expect_nothing(&subscriber);
}

Test(session_carry, what_is_pushed_before_the_other_one_listens_comes_from_the_inbox)
{
    enter(LEVEL_PLAIN);
    fixture.is_parked = true;
    fixture.loses_events = true;
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    take_over();
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_TEXT, "2");
    subscriber_expect(&subscriber, WS_PING, "2");
    subscriber_expect_nothing(&subscriber);
}

Test(session_carry, the_process_that_has_it_goes_on_when_the_other_one_gives_up)
{
    enter(LEVEL_V1);
    successor_take();
    node_fixture_push("u", "1", 60);
    subscriber_expect_nothing(&subscriber);
    successor_give_up();
    subscriber_expect_start(&subscriber, "{\"type\":\"notification\"");
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_expect_nothing(&subscriber);
}

/* ---- what has come in ---- */

Test(session_carry, reads_on_after_half_of_a_frame)
{
    static const uint8_t ping[] = {0x89, 0x82, 0, 0, 0, 0, 'h', 'i'};
    for (size_t cut = 1; cut < sizeof ping; cut++) {
        enter(LEVEL_PLAIN);
        subscriber_send_raw(&subscriber, ping, cut);
        node_fixture_turn();
        take_over();
        subscriber_send_raw(&subscriber, ping + cut, sizeof ping - cut);
        node_fixture_wait_ms(20); /* what was read before has a turn of its own */
        subscriber_expect(&subscriber, WS_PONG, "hi");
        subscriber_hang_up(&subscriber);
        successor_stop();
        set_up();
    }
}

/* "{"type":"ping"}" in two fragments, with a mask that is not zero. */
static size_t write_fragments(uint8_t out[64])
{
    static const char *pieces[] = {"{\"type\":", "\"ping\"}"};
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(pieces[i]);
        out[n++] = i == 0 ? WS_TEXT : 0x80 | WS_CONTINUATION;
        out[n++] = (uint8_t)(0x80 | len);
        memcpy(out + n, mask, 4);
        n += 4;
        for (size_t j = 0; j < len; j++)
            out[n++] = (uint8_t)pieces[i][j] ^ mask[j % 4];
    }
    return n;
}

Test(session_carry, reads_on_after_each_byte_of_a_message_in_pieces)
{
    uint8_t message[64];
    size_t n = write_fragments(message);
    for (size_t cut = 1; cut < n; cut++) {
        enter(LEVEL_V1);
        subscriber_send_raw(&subscriber, message, cut);
        node_fixture_turn();
        cr_assert(subscriber.session->is_unfinished);
        take_over();
        cr_expect(subscriber.session->is_unfinished);
        subscriber_send_raw(&subscriber, message + cut, n - cut);
        node_fixture_wait_ms(20); /* what was read before has a turn of its own */
        subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
        cr_expect_not(subscriber.session->is_unfinished);
        cr_expect_null(subscriber.session->extra);
        subscriber_hang_up(&subscriber);
        successor_stop();
        set_up();
    }
}

Test(session_carry, of_a_plain_client_counts_a_message_that_it_has_half_of)
{
    uint8_t message[64];
    size_t n = write_fragments(message);
    enter(LEVEL_PLAIN);
    subscriber_send_raw(&subscriber, message, n / 2);
    node_fixture_turn();
    take_over();
    int64_t before = metrics_read(METRIC_CLIENT_MESSAGES);
    subscriber_send_raw(&subscriber, message + n / 2, n - n / 2);
    node_fixture_turn();
    cr_expect_eq(metrics_read(METRIC_CLIENT_MESSAGES), before + 1);
    subscriber_expect_nothing(&subscriber);
}

/* No compression context outlives a message, so half of a compressed one is plain bytes, and the
 * next one is read without what came before it. The successor has no --compress. */
Test(session_carry, reads_on_after_half_of_a_compressed_message)
{
    struct deflater *deflater;
    struct buf frame;
    fixture.options.compress = true;
    cr_assert_eq(worker_make_deflate(fixture.worker), ERR_OK);
    cr_assert_eq(deflater_new(&deflater), ERR_OK);
    buf_init(&frame, 4096);
    cr_assert_eq(deflater_message(deflater, SPAN_LITERAL("{\"type\":\"ping\"}"), &frame), ERR_OK);
    struct admission admission = {
        .level = LEVEL_V1, .is_page = true, .deflate = {.window_bits = 15}};
    subscriber_open(&subscriber, admission);
    cr_assert_eq(delivery_enter(subscriber.session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    node_fixture_turn();
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    uint8_t bytes[128] = {0x80 | 0x40 | WS_TEXT, (uint8_t)(0x80 | frame.len)};
    memcpy(bytes + 6, frame.bytes, frame.len);
    size_t n = 6 + frame.len;
    subscriber_send_raw(&subscriber, bytes, n - 3);
    node_fixture_turn();
    successor.options.compress = false;
    take_over();
    subscriber_send_raw(&subscriber, bytes + n - 3, 3);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_send_raw(&subscriber, bytes, n);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    buf_fini(&frame);
    deflater_free(deflater);
}

Test(session_carry, counts_on_the_time_of_a_message_that_does_not_end)
{
    uint8_t message[64];
    size_t n = write_fragments(message);
    enter(LEVEL_V1);
    fixture.options.slow_timeout = successor.options.slow_timeout = 15000;
    subscriber_send_raw(&subscriber, message, n / 2);
    node_fixture_turn();
    node_fixture_wait_ms(8000);
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(6500);
    subscriber_receive(&subscriber);
    while (subscriber.len > 0 && subscriber.bytes[0] == (0x80 | WS_PING))
        subscriber_expect(&subscriber, WS_PING, NULL);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(1000);
    subscriber_expect_close(&subscriber, 4000);
}

Test(session_carry, of_a_client_that_has_sent_too_much_has_no_more_left_than_before)
{
    fixture.options.max_messages_per_second = successor.options.max_messages_per_second = 2;
    enter(LEVEL_PLAIN);
    for (int i = 0; i < 4; i++)
        send_number(WS_PING, "x");
    for (int i = 0; i < 4; i++)
        subscriber_expect(&subscriber, WS_PONG, "x");
    take_over();
    send_number(WS_PING, "x");
    subscriber_expect_close(&subscriber, 4005);
}

/* ---- what goes out ---- */

static void expect_all_numbers(unsigned n)
{
    struct subscriber_frame frame;
    for (unsigned i = 0; i < n; i++) {
        cr_assert(slow_subscriber_next(&subscriber, &frame), "%u has not come", i);
        cr_assert_eq(frame.opcode, WS_TEXT, "opcode %u", frame.opcode);
        cr_assert_eq(strtoul(frame.payload.bytes + 1, NULL, 10), i, "%.20s, not %u",
                     frame.payload.bytes, i);
        cr_assert_eq(frame.payload.len, 3000);
    }
    cr_assert_not(slow_subscriber_next(&subscriber, &frame), "more than %u have come", n);
}

/* The kernel has a part of a frame, the connection's queue has the rest and more, and the backlog
 * more than that. */
Test(session_carry, goes_on_within_the_frame_that_the_kernel_has_taken_a_part_of)
{
    enum { N = 60 };
    enter(LEVEL_PLAIN);
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < N / 2; i++)
        slow_subscriber_push("u", i, 3000, 60);
    cr_assert_gt(conn_queued_bytes(&subscriber.session->conn), 0);
    cr_assert_not_null(session_backlog(subscriber.session));
    successor_take();
    for (unsigned i = N / 2; i < N; i++)
        slow_subscriber_push("u", i, 3000, 60);
    successor_go();
    expect_all_numbers(N);
    subscriber.session = successor_session("u");
    cr_expect_eq(session_sent(subscriber.session), N);
    cr_expect(reader_is_live(&subscriber.session->reader));
}

Test(session_carry, counts_what_has_ttl_0_and_waits_in_memory_as_dropped)
{
    enter(LEVEL_PLAIN);
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < 20; i++)
        slow_subscriber_push("u", i, 3000, 60);
    cr_assert_not_null(session_backlog(subscriber.session));
    slow_subscriber_push("u", 98, 3000, 0);
    slow_subscriber_push("u", 99, 3000, 0);
    int64_t before = metrics_read(METRIC_EPHEMERAL_DROPPED);
    take_over();
    cr_expect_eq(metrics_read(METRIC_EPHEMERAL_DROPPED), before + 2);
    expect_all_numbers(20);
}

Test(session_carry, of_a_client_that_takes_nothing_is_closed_after_the_time_that_was_left)
{
    enter(LEVEL_PLAIN);
    fixture.options.slow_timeout = successor.options.slow_timeout = 15000;
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < 10; i++)
        slow_subscriber_push("u", i, 3000, 60);
    node_fixture_wait_ms(8000);
    int64_t before = metrics_read(METRIC_CLOSED_SLOW);
    successor_take();
    for (unsigned i = 10; i < 25; i++)
        slow_subscriber_push("u", i, 3000, 60);
    cr_assert_not_null(session_backlog(successor_session("u")));
    node_fixture_wait_ms(60000);
    successor_go();
    subscriber.session = successor_session("u");
    node_fixture_wait_ms(6500);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before);
    node_fixture_wait_ms(1000);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before + 1);
}

/* ---- pings ---- */

Test(session_carry, is_acknowledged_by_the_pong_to_a_ping_that_was_under_way)
{
    enter(LEVEL_PLAIN);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect(&subscriber, WS_TEXT, "2");
    node_fixture_wait_ms(40);
    successor_take();
    node_fixture_wait_ms(10000);
    successor_go();
    subscriber.session = successor_session("u");
    subscriber_expect_nothing(&subscriber);
    cr_expect(subscriber.session->has_ping_out);
    send_number(WS_PONG, "1");
    cr_expect_eq(subscriber.session->acked, 1);
    cr_expect_eq((unsigned)subscriber.session->round_trip_ms, 40);
    subscriber_expect(&subscriber, WS_PING, "2"); /* for what was written meanwhile */
    send_number(WS_PONG, "2");
    cr_expect_eq(subscriber.session->acked, 2);
    subscriber_expect_nothing(&subscriber);
}

Test(session_carry, is_acknowledged_by_a_late_pong_to_the_ping_before_the_last)
{
    enter(LEVEL_PLAIN);
    node_fixture_push("u", "1", 60);
    send_number(WS_PONG, "other"); /* ends the wait, and is no answer */
    node_fixture_push("u", "2", 60);
    cr_assert_eq(subscriber.session->n_unmatched, 2);
    take_over();
    cr_expect_eq(subscriber.session->n_unmatched, 2);
    send_number(WS_PONG, "1");
    cr_expect_eq(subscriber.session->acked, 1);
    send_number(WS_PONG, "2");
    cr_expect_eq(subscriber.session->acked, 2);
    cr_expect_null(subscriber.session->extra);
}

/* The pong has come in the turn in which the process stood still. */
Test(session_carry, is_pinged_for_what_was_written_while_the_last_ping_was_under_way)
{
    enter(LEVEL_PLAIN);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    cr_assert(subscriber.session->wants_ping);
    subscriber.session->has_ping_out = false;
    subscriber.session->n_unmatched = 0;
    take_over();
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect(&subscriber, WS_TEXT, "2");
    subscriber_expect(&subscriber, WS_PING, "2");
    subscriber_expect_nothing(&subscriber);
}

Test(session_carry, is_pinged_when_it_would_have_been)
{
    enter(LEVEL_PLAIN);
    int32_t in_ms = (int32_t)(subscriber.session->next_ping_ms - session_clock(subscriber.session));
    cr_assert_gt(in_ms, 1000);
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    node_fixture_wait_ms(in_ms - 500);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(700);
    subscriber_expect(&subscriber, WS_PING, "0");
}

/* It could not be heard while it was held, so that time does not count as silence. */
Test(session_carry, is_as_silent_as_it_was)
{
    enter(LEVEL_PLAIN);
    node_fixture_wait_ms(15000);
    subscriber_expect(&subscriber, WS_PING, "0");
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    subscriber_receive(&subscriber);
    subscriber.len = 0;
    node_fixture_wait_ms(4500);
    cr_expect_eq(successor.node.n_sessions, 1);
    node_fixture_wait_ms(700);
    subscriber_expect_close(&subscriber, 4003);
}

/* ---- what ends it later ---- */

Test(session_carry, is_closed_when_the_drain_had_decided)
{
    enter(LEVEL_V1);
    session_drain_at(subscriber.session, session_clock(subscriber.session) + 3000);
    successor_take();
    node_fixture_wait_ms(10000);
    successor_go();
    subscriber.session = successor_session("u");
    cr_expect(subscriber.session->is_draining);
    cr_expect_eq(metrics_read(METRIC_LEAVING), 1);
    node_fixture_wait_ms(2900);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(200);
    subscriber_expect_close(&subscriber, 1012);
}

Test(session_carry, ends_with_its_credentials)
{
    enter(LEVEL_PLAIN);
    subscriber.session->until_s =
        (uint32_t)((NODE_FIXTURE_WALL_MS + node_fixture_now_ms()) / 1000 + 4);
    take_over();
    node_fixture_wait_ms(2500);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(2500);
    subscriber_expect_close(&subscriber, 4100);
}

/* ---- who is not carried ---- */

Test(session_carry, leaves_those_that_are_ending_where_they_are)
{
    enter(LEVEL_PLAIN);
    cr_expect(session_is_carried(subscriber.session));
    session_close(subscriber.session, ERR_KICKED);
    cr_expect_not(session_is_carried(subscriber.session));
    node_fixture_turn();
    successor_take_over();
    cr_expect_eq(successor.n_adopted, 0);
    subscriber_expect_close(&subscriber, error_close_code(ERR_KICKED));
    node_fixture_wait_ms(2100);
    cr_expect(subscriber_has_ended(&subscriber));
}

Test(session_carry, leaves_those_without_memory_where_they_are)
{
    enter(LEVEL_PLAIN);
    session_give_up(subscriber.session);
    cr_expect_not(session_is_carried(subscriber.session));
}
