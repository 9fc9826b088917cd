/* Pushes that wait on one node for acknowledgements on another (CONTRACT 3, `wait`): both sides. */
#include "gateway/requests/watches.h"

#include "gateway/base/metrics.h"
#include "gateway/requests/push_waits.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

static const struct epoch another_node = {"nodename"};
static struct gateway_push push;
static struct gateway_target target;
static unsigned n_answers;
static struct subscriber subscriber;

static void start(void)
{
    node_fixture_start();
    fixture.options.max_data = 65536;
    store_double_start();
    store_double_set_shared();
}

TestSuite(watches, .init = start, .fini = node_fixture_stop);

/* ---- where the acknowledgement comes in ---- */

static struct epoch epoch_of_user(void)
{
    return client_map_find(fixture.node.map, SPAN_LITERAL("u"))->epoch;
}

static void watch_from_afar(uint64_t number, struct epoch epoch, uint64_t seq)
{
    struct store_watch watch = {another_node, number, epoch, seq};
    push_waits_on_watch(&fixture.node, SPAN_LITERAL("u"), &watch);
}

static void send_pong(const char *number)
{
    subscriber_send(&subscriber, WS_PONG, span_of(number));
    node_fixture_turn();
}

/* A plain session of "u" that was written two notifications. */
static void enter_and_push(void)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    node_fixture_turn();
}

static void on_pushed(struct gateway_push *pushed)
{
    (void)pushed;
    n_answers++;
}

/* And a little: timers may be late. */
static void wait_half_a_minute(void)
{
    for (int waited_ms = 0; waited_ms <= WATCH_LIFE_MS; waited_ms += 5000) {
        send_pong("a sign of life");
        node_fixture_wait_ms(5000);
    }
}

static void expect_answer(unsigned n, uint64_t number, uint64_t acked)
{
    struct store_double_watch seen = store_double_watches();
    cr_assert_eq(seen.n_answers, n, "%u answers", seen.n_answers);
    cr_assert_eq(seen.watch.number, number);
    cr_assert(epoch_equal(seen.watch.node, another_node));
    cr_assert_eq(seen.acked, acked);
}

Test(watches, are_answered_once_when_the_acknowledgement_comes)
{
    enter_and_push();
    watch_from_afar(7, epoch_of_user(), 2);
    send_pong("1");
    cr_assert_eq(store_double_watches().n_answers, 0);
    send_pong("2");
    expect_answer(1, 7, 2);
    node_fixture_push("u", "3", 60);
    send_pong("3");
    expect_answer(1, 7, 2);
}

Test(watches, are_answered_at_once_when_it_has_come)
{
    enter_and_push();
    send_pong("1");
    send_pong("2");
    watch_from_afar(8, epoch_of_user(), 1);
    expect_answer(1, 8, 2);
}

Test(watches, of_another_epoch_or_of_a_user_who_is_not_here_are_not_answered)
{
    struct epoch other = {"abcdefgh"};
    enter_and_push();
    watch_from_afar(1, other, 1);
    send_pong("2");
    watch_from_afar(2, other, 1);
    cr_expect_eq(store_double_watches().n_answers, 0);
    subscriber_hang_up(&subscriber);
    node_fixture_turn();
    watch_from_afar(3, other, 1);
    cr_expect_eq(store_double_watches().n_answers, 0);
}

/* Whether all devices have it only the store knows: it has the position before the answer. */
Test(watches, send_the_other_node_to_the_store_where_the_user_has_devices)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", "phone");
    node_fixture_push("u", "1", 60);
    node_fixture_turn();
    watch_from_afar(9, epoch_of_user(), 1);
    unsigned acks = store_double_count(STORE_OP_ACK);
    send_pong("1");
    expect_answer(1, 9, 0);
    cr_expect_eq(store_double_watches().acks_before, acks + 1);
}

/* So many fit into an inbox at least: with one more it may have been pushed out. */
Test(watches, send_the_other_node_to_the_store_where_a_full_inbox_may_have_pushed_the_number_out)
{
    uint64_t room = (uint64_t)(fixture.options.inbox_max_bytes / fixture.options.max_data);
    char number[24];
    enter_and_push();
    watch_from_afar(7, epoch_of_user(), 1);
    watch_from_afar(8, epoch_of_user(), 2);
    for (uint64_t seq = 3; seq <= room + 1; seq++)
        node_fixture_push("u", "1", 60);
    snprintf(number, sizeof number, "%" PRIu64, room + 1);
    send_pong("1");
    expect_answer(1, 7, 0);
    send_pong(number);
    expect_answer(2, 8, room + 1);
}

Test(watches, are_answered_at_once_when_a_device_has_acknowledged)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", "phone");
    node_fixture_push("u", "1", 60);
    node_fixture_turn();
    send_pong("1");
    watch_from_afar(9, epoch_of_user(), 1);
    expect_answer(1, 9, 0);
}

/* The subscriber is one of two: the inbox waits for both. */
static void expect_answer_to_the_last_of_two(const char *one, const char *other)
{
    static struct subscriber second;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", one);
    subscriber_enter(&second, LEVEL_PLAIN, "u", other);
    node_fixture_push("u", "1", 60);
    node_fixture_turn();
    watch_from_afar(1, epoch_of_user(), 1);
    send_pong("1");
    cr_assert_eq(store_double_watches().n_answers, 0);
    watch_from_afar(2, epoch_of_user(), 1);
    cr_assert_eq(store_double_watches().n_answers, 0);
    unsigned acks = store_double_count(STORE_OP_ACK);
    subscriber_send(&second, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    expect_answer(2, 2, 0);
    cr_expect_gt(store_double_watches().acks_before, acks);
    watch_from_afar(3, epoch_of_user(), 1);
    expect_answer(3, 3, 0);
    subscriber_hang_up(&second);
    node_fixture_turn();
}

Test(watches, are_answered_when_the_last_of_two_devices_has_acknowledged)
{
    expect_answer_to_the_last_of_two("phone", "tablet");
}

Test(watches, are_answered_when_the_last_of_a_device_and_a_session_without_has_acknowledged)
{
    expect_answer_to_the_last_of_two("phone", NULL);
}

/* It holds the inbox no more. */
Test(watches, do_not_wait_for_sessions_without_a_device_that_have_left)
{
    static struct subscriber tab;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", "phone");
    subscriber_enter(&tab, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_turn();
    watch_from_afar(1, epoch_of_user(), 1);
    subscriber_hang_up(&tab);
    node_fixture_turn();
    cr_assert_eq(store_double_watches().n_answers, 0);
    send_pong("1");
    expect_answer(1, 1, 0);
}

Test(watches, are_forgotten_after_half_a_minute)
{
    enter_and_push();
    watch_from_afar(1, epoch_of_user(), 2);
    wait_half_a_minute();
    watch_from_afar(2, epoch_of_user(), 2);
    send_pong("1");
    send_pong("2");
    expect_answer(1, 2, 2);
}

Test(watches, are_kept_up_to_a_ceiling)
{
    enter_and_push();
    for (uint64_t i = 1; i <= WATCHES_MAX + 1; i++)
        watch_from_afar(i, epoch_of_user(), 2);
    send_pong("1");
    send_pong("2");
    cr_expect_eq(store_double_watches().n_answers, WATCHES_MAX);
    watch_from_afar(1, epoch_of_user(), 3);
    node_fixture_push("u", "3", 60);
    send_pong("3");
    expect_answer(WATCHES_MAX + 1, 1, 3);
}

/* As if a pong had acknowledged it, with other watches than the node's. */
static void acknowledge_in(struct watches *watches, struct client *client, uint64_t acked)
{
    uint64_t before = atomic_exchange(&client->shared.acked, acked);
    watches_acked(watches, client);
    atomic_store(&client->shared.acked, before);
}

/* The first worker's take the room of all; it is there again though nobody asks that one. */
Test(watches, give_their_room_back_when_they_are_overdue_on_any_worker)
{
    struct watches *watches = watches_new(2);
    enter_and_push();
    struct client *client = client_map_find(fixture.node.map, SPAN_LITERAL("u"));
    struct store_watch watch = {another_node, 1, client->epoch, 2};
    for (; watch.number <= WATCHES_MAX; watch.number++)
        watches_add(watches, client, &watch);
    fixture.worker->index = 1;
    watches_add(watches, client, &watch);
    acknowledge_in(watches, client, 2);
    cr_expect_eq(store_double_watches().n_answers, 0, "there was no room");
    fixture.worker->index = 0;
    wait_half_a_minute();
    fixture.worker->index = 1;
    watches_add(watches, client, &watch);
    acknowledge_in(watches, client, 2);
    expect_answer(1, watch.number, 2);
    fixture.worker->index = 0;
    watches_free(watches);
}

/* ---- and the number leaves otherwise ---- */

static void on_cancelled(struct gateway_cancel *cancel)
{
    cr_expect_eq(cancel->error, ERR_OK);
    n_answers++;
}

static void cancel_number(uint64_t seq)
{
    struct gateway_cancel cancel = {.on_done = on_cancelled,
                                    .user_id = SPAN_LITERAL("u"),
                                    .epoch = epoch_of_user(),
                                    .seq = seq};
    n_answers = 0;
    gateway_cancel(&fixture.node, &cancel);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
}

static void push_with_key(const char *key)
{
    target = (struct gateway_target){.user_id = SPAN_LITERAL("u")};
    push = (struct gateway_push){.on_done = on_pushed,
                                 .data = SPAN_LITERAL("1"),
                                 .ttl_s = 60,
                                 .collapse_key = span_of(key),
                                 .n_targets = 1,
                                 .targets = &target};
    gateway_push(&fixture.node, &push);
    node_fixture_turn();
}

/* A later acknowledgement passes the number, and would seem to be its own. */
Test(watches, send_the_other_node_to_the_store_when_the_number_is_withdrawn)
{
    enter_and_push();
    watch_from_afar(7, epoch_of_user(), 1);
    watch_from_afar(8, epoch_of_user(), 2);
    cancel_number(1);
    expect_answer(1, 7, 0);
    send_pong("1");
    expect_answer(1, 7, 0);
    send_pong("2");
    expect_answer(2, 8, 2);
}

Test(watches, send_the_other_node_to_the_store_when_the_number_is_replaced)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_with_key("score");
    watch_from_afar(7, epoch_of_user(), 1);
    push_with_key("other");
    cr_expect_eq(store_double_watches().n_answers, 0);
    push_with_key("score");
    expect_answer(1, 7, 0);
    send_pong("3");
    expect_answer(1, 7, 0);
}

/* ---- where the push waits ---- */

static void begin_wait(unsigned n_nodes)
{
    target = (struct gateway_target){.user_id = SPAN_LITERAL("u")};
    push = (struct gateway_push){.on_done = on_pushed,
                                 .data = SPAN_LITERAL("1"),
                                 .ttl_s = 10,
                                 .wait_ms = 20000,
                                 .n_targets = 1,
                                 .targets = &target};
    n_answers = 0;
    store_double_set_nodes(n_nodes);
    gateway_push(&fixture.node, &push);
    node_fixture_turn();
    cr_assert(push.has_waited);
    cr_assert_eq(n_answers, 0);
}

static void answer_from_afar(struct epoch epoch, uint64_t acked)
{
    push_waits_on_watch_answer(&fixture.node, store_double_watches().watch.number, epoch, acked);
    node_fixture_turn();
}

Test(watches, end_a_wait_when_another_node_has_the_acknowledgement)
{
    struct epoch other = {"abcdefgh"};
    begin_wait(1);
    struct store_double_watch seen = store_double_watches();
    cr_assert_eq(seen.n_watches, 1);
    cr_assert_eq(seen.watch.seq, 1);
    cr_assert(epoch_equal(seen.watch.epoch, target.epoch));
    answer_from_afar(other, 1);
    cr_assert_eq(n_answers, 0);
    push_waits_on_watch_answer(&fixture.node, seen.watch.number + 1, target.epoch, 1);
    node_fixture_turn();
    cr_assert_eq(n_answers, 0);
    answer_from_afar(target.epoch, 1);
    cr_assert_eq(n_answers, 1);
    cr_assert_eq(push.fate, GATEWAY_DELIVERED);
    answer_from_afar(target.epoch, 1);
    cr_assert_eq(n_answers, 1);
}

Test(watches, do_not_end_a_wait_for_a_number_that_is_not_acknowledged_yet)
{
    node_fixture_push("u", "1", 60);
    begin_wait(1);
    cr_assert_eq(target.seq, 2);
    answer_from_afar(target.epoch, 1);
    cr_assert_eq(n_answers, 0);
    answer_from_afar(target.epoch, 2);
    cr_assert_eq(n_answers, 1);
}

/* What has expired is not delivered, though a position passes it. */
Test(watches, do_not_end_a_wait_for_a_number_that_has_expired)
{
    begin_wait(1);
    store_double_hold(STORE_OP_LOOK);
    node_fixture_wait_ms(push.wait_ms - 1000);
    cr_assert_lt(target.expires_ms, store_now_ms(fixture.node.store));
    answer_from_afar(target.epoch, 1);
    cr_assert_eq(n_answers, 0);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    cr_assert_eq(push.fate, GATEWAY_GONE);
    cr_assert_eq(push.cause, GAP_EXPIRED);
}

Test(watches, have_a_wait_ask_the_store_where_the_other_node_is_not_sure)
{
    begin_wait(1);
    unsigned looks = store_double_count(STORE_OP_LOOK);
    answer_from_afar(target.epoch, 0);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), looks + 1);
    cr_expect_eq(n_answers, 0);
    gateway_end_waits(&fixture.node);
    node_fixture_turn();
}

/* The user may have come to another node since. */
Test(watches, leave_a_look_at_the_store_each_second_also_where_the_user_is_here_alone)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    begin_wait(1);
    cr_expect_eq(store_double_watches().n_watches, 0);
    unsigned looks = store_double_count(STORE_OP_LOOK);
    node_fixture_wait_ms(3000);
    cr_expect_geq(store_double_count(STORE_OP_LOOK), looks + 2);
    cr_expect_leq(store_double_count(STORE_OP_LOOK), looks + 3);
    gateway_end_waits(&fixture.node);
    node_fixture_turn();
}

/* This node and the one with the acknowledgement may have had the user's page before the device. */
Test(watches, end_no_wait_of_a_user_who_has_devices_elsewhere)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_set_devices();
    begin_wait(2);
    unsigned looks = store_double_count(STORE_OP_LOOK);
    answer_from_afar(target.epoch, 1);
    cr_expect_eq(n_answers, 0);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), looks + 1);
    send_pong("1"); /* with the memory store, that knows of none, it leaves the inbox */
    cr_expect_eq(store_double_count(STORE_OP_LOOK), looks + 2);
    cr_expect_eq(n_answers, 1);
}

Test(watches, are_not_begun_where_no_other_node_has_the_user)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    begin_wait(1);
    cr_expect_eq(store_double_watches().n_watches, 0);
    send_pong("1");
    cr_expect_eq(n_answers, 1);
    begin_wait(2);
    cr_expect_eq(store_double_watches().n_watches, 1);
    gateway_end_waits(&fixture.node);
    node_fixture_turn();
}
