/* Pushes that wait (CONTRACT 3, `wait`), on a node whose clock stands still: what ends a wait,
 * when, and with which answer. */
#include "gateway/requests/push_waits.h"

#include "gateway/base/metrics.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { NAME_BYTES = 16, MANY_USERS = 600 };

struct waiting_push {
    struct gateway_push push;
    struct gateway_target target;
    unsigned n_answers;
    char user[NAME_BYTES];
};

static struct waiting_push waiting;
static struct subscriber subscriber;

static void start(void)
{
    node_fixture_start();
    fixture.options.max_data = 65536;
}

TestSuite(push_waits, .init = start, .fini = node_fixture_stop);

static void on_pushed(struct gateway_push *push)
{
    CONTAINER_OF(push, struct waiting_push, push)->n_answers++;
}

static void begin_push(struct waiting_push *one, const char *user, const char *collapse_key,
                       uint32_t ttl_s, uint32_t wait_ms)
{
    *one = (struct waiting_push){.push = {.on_done = on_pushed,
                                          .data = SPAN_LITERAL("1"),
                                          .ttl_s = ttl_s,
                                          .collapse_key = span_of(collapse_key),
                                          .wait_ms = wait_ms,
                                          .n_targets = 1,
                                          .targets = &one->target}};
    snprintf(one->user, sizeof one->user, "%s", user);
    one->target.user_id = span_of(one->user);
    gateway_push(&fixture.node, &one->push);
}

static void begin_wait(struct waiting_push *one, const char *user, uint32_t ttl_s, uint32_t wait_ms)
{
    begin_push(one, user, "", ttl_s, wait_ms);
    node_fixture_turn();
    cr_assert_eq(one->target.error, ERR_OK);
    cr_assert(one->push.has_waited);
}

static void expect_waiting(const struct waiting_push *one)
{
    cr_assert_eq(one->n_answers, 0, "it was answered: fate %d", one->push.fate);
}

static void expect_answer(const struct waiting_push *one, enum gateway_fate fate,
                          enum gap_cause cause)
{
    cr_assert_eq(one->n_answers, 1, "%u answers", one->n_answers);
    cr_assert_eq(one->push.fate, fate, "fate %d", one->push.fate);
    if (fate == GATEWAY_GONE)
        cr_assert_eq(one->push.cause, cause, "%s", gap_cause_text(one->push.cause));
}

/* ---- by an acknowledgement ---- */

/* A plain client acknowledges by its answer to a ping. */
static void send_pong(const char *number)
{
    subscriber_send(&subscriber, WS_PONG, span_of(number));
    node_fixture_turn();
}

Test(push_waits, ends_when_its_notification_is_acknowledged)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    begin_wait(&waiting, "u", 60, 5000);
    node_fixture_wait_ms(120);
    expect_waiting(&waiting);
    send_pong("1");
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
    cr_expect_eq(waiting.push.latency_ms, 120);
    cr_expect_eq(metrics_read(METRIC_WAITS), 0);
}

Test(push_waits, goes_on_when_an_earlier_notification_is_acknowledged)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "0", 60);
    begin_wait(&waiting, "u", 60, 5000);
    send_pong("1");
    expect_waiting(&waiting);
    send_pong("2");
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
}

static unsigned n_moved;

static void on_moved(struct store_request *request)
{
    (void)request;
    n_moved++;
}

static void move_in_store(struct store_ack *ack)
{
    *ack = (struct store_ack){.request = {.on_done = on_moved},
                              .user_id = SPAN_LITERAL("u"),
                              .epoch = waiting.target.epoch,
                              .seq = waiting.target.seq};
    n_moved = 0;
    store_ack(fixture.node.store, ack);
    push_waits_asked(fixture.worker, ack->user_id);
    node_fixture_turn();
    cr_assert_eq(n_moved, 1);
    cr_assert_eq(ack->error, ERR_OK);
}

/* POST /ack moves a position in the store, and its user may have no session here. */
Test(push_waits, ends_when_the_position_moves_in_the_store)
{
    static struct store_ack ack;
    begin_wait(&waiting, "u", 60, 5000);
    move_in_store(&ack);
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
}

/* CONTRACT 5.6: the inbox waits for all devices, and so does the push. */
Test(push_waits, ends_when_the_last_device_has_acknowledged)
{
    static struct subscriber second;
    char text[64];
    subscriber_enter(&subscriber, LEVEL_V1, "u", "phone");
    subscriber_enter(&second, LEVEL_V1, "u", "laptop");
    begin_wait(&waiting, "u", 60, 5000);
    snprintf(text, sizeof text, "{\"type\":\"ack\",\"id\":\"%.8s-1\"}", waiting.target.epoch.text);
    subscriber_say(&subscriber, text);
    node_fixture_wait_ms(1500);
    expect_waiting(&waiting);
    subscriber_say(&second, text);
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
}

/* A device may have acknowledged on another node, which reports nothing to this one. */
Test(push_waits, asks_the_store_each_second_where_its_user_has_devices)
{
    static struct store_ack ack;
    subscriber_enter(&subscriber, LEVEL_V1, "u", "phone");
    begin_wait(&waiting, "u", 60, 5000);
    ack = (struct store_ack){.request = {.on_done = on_moved},
                             .user_id = SPAN_LITERAL("u"),
                             .device = SPAN_LITERAL("phone"),
                             .epoch = waiting.target.epoch,
                             .seq = waiting.target.seq};
    store_ack(fixture.node.store, &ack);
    node_fixture_wait_ms(500);
    cr_assert_eq(ack.error, ERR_OK);
    expect_waiting(&waiting);
    node_fixture_wait_ms(600);
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
}

/* A position moves while the store is being asked: the answer that is under way does not show it.
 */
Test(push_waits, asks_the_store_again_for_what_has_happened_while_it_was_asked)
{
    static struct store_ack ack;
    store_double_start();
    store_double_hold(STORE_OP_LOOK);
    begin_wait(&waiting, "u", 60, 5000);
    cr_assert_eq(store_double_under_way(STORE_OP_LOOK), 1);
    move_in_store(&ack);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 1, "one question is under way at most");
    expect_waiting(&waiting);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 2);
    expect_answer(&waiting, GATEWAY_DELIVERED, GAP_NONE);
}

/* The store's answer must not find what was freed: this is for the address sanitizer. */
Test(push_waits, is_answered_once_when_it_ends_while_the_store_is_asked)
{
    store_double_start();
    store_double_hold(STORE_OP_LOOK);
    begin_wait(&waiting, "u", 60, 5000);
    gateway_end_waits(&fixture.node);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_PENDING, GAP_NONE);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_expect_eq(waiting.n_answers, 1);
}

/* ---- by leaving the inbox otherwise ---- */

static void on_cancelled(struct gateway_cancel *cancel)
{
    cr_expect_eq(cancel->error, ERR_OK);
}

static void on_purged(struct gateway_purge *purge)
{
    cr_expect_eq(purge->error, ERR_OK);
}

static void purge_user(const char *user)
{
    struct gateway_purge purge = {.on_done = on_purged, .user_id = span_of(user)};
    gateway_purge(&fixture.node, &purge);
    node_fixture_turn();
}

Test(push_waits, ends_when_its_notification_is_cancelled)
{
    begin_wait(&waiting, "u", 60, 5000);
    struct gateway_cancel cancel = {.on_done = on_cancelled,
                                    .user_id = SPAN_LITERAL("u"),
                                    .epoch = waiting.target.epoch,
                                    .seq = waiting.target.seq};
    gateway_cancel(&fixture.node, &cancel);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_GONE, GAP_CANCELLED);
}

/* It is replaced before the wait begins, and nobody tells it. */
Test(push_waits, ends_when_it_is_replaced_in_the_same_group)
{
    static struct waiting_push second;
    store_double_start();
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_hold(STORE_OP_LOOK);
    begin_push(&waiting, "u", "key", 60, 5000);
    begin_push(&second, "u", "key", 60, 0);
    node_fixture_turn();
    send_pong("1");
    send_pong("2");
    expect_waiting(&waiting);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_GONE, GAP_COLLAPSED);
}

static void push_with_key(struct waiting_push *one, uint32_t wait_ms)
{
    *one = (struct waiting_push){.push = {.on_done = on_pushed,
                                          .data = SPAN_LITERAL("1"),
                                          .ttl_s = 60,
                                          .idempotency_key = SPAN_LITERAL("key"),
                                          .wait_ms = wait_ms,
                                          .n_targets = 1,
                                          .targets = &one->target},
                                 .user = "u"};
    one->target.user_id = span_of(one->user);
    gateway_push(&fixture.node, &one->push);
    node_fixture_turn();
    cr_assert_eq(one->target.error, ERR_OK);
}

/* A position that passes it says nothing of what was withdrawn before the wait began. */
Test(push_waits, of_a_repeat_asks_what_has_become_of_the_first)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_with_key(&waiting, 0);
    purge_user("u");
    node_fixture_push("u", "2", 60);
    send_pong("1");
    send_pong("2");
    push_with_key(&waiting, 5000);
    cr_assert(waiting.target.is_duplicate);
    expect_answer(&waiting, GATEWAY_GONE, GAP_CANCELLED);
}

Test(push_waits, ends_when_the_inbox_is_purged)
{
    begin_wait(&waiting, "u", 60, 5000);
    purge_user("u");
    expect_answer(&waiting, GATEWAY_GONE, GAP_CANCELLED);
}

Test(push_waits, ends_when_a_notification_of_its_collapse_key_replaces_it)
{
    static struct waiting_push next;
    begin_push(&waiting, "u", "k", 60, 5000);
    node_fixture_turn();
    expect_waiting(&waiting);
    begin_push(&next, "u", "k", 60, 5000);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_GONE, GAP_COLLAPSED);
    expect_waiting(&next);
}

Test(push_waits, ends_when_its_notification_expires)
{
    begin_wait(&waiting, "u", 2, 5000);
    node_fixture_wait_ms(1950);
    expect_waiting(&waiting);
    node_fixture_wait_ms(100);
    expect_answer(&waiting, GATEWAY_GONE, GAP_EXPIRED);
}

Test(push_waits, ends_when_a_full_inbox_pushes_its_notification_out)
{
    begin_wait(&waiting, "u", 60, 5000);
    for (int i = 1; i < (int)fixture.options.inbox_max; i++)
        node_fixture_push("u", "2", 60);
    expect_waiting(&waiting);
    node_fixture_push("u", "3", 60);
    expect_answer(&waiting, GATEWAY_GONE, GAP_OVERFLOW);
}

/* ---- by its time, or its caller's ---- */

Test(push_waits, is_answered_as_pending_when_its_time_is_over)
{
    begin_wait(&waiting, "u", 60, 400);
    node_fixture_wait_ms(350);
    expect_waiting(&waiting);
    node_fixture_wait_ms(100);
    expect_answer(&waiting, GATEWAY_PENDING, GAP_NONE);
    cr_expect_eq(metrics_read(METRIC_WAITS), 0);
}

Test(push_waits, is_answered_soon_when_its_caller_has_gone_and_no_other_is)
{
    static struct waiting_push other;
    begin_wait(&other, "u", 60, 5000);
    begin_wait(&waiting, "u", 60, 5000);
    gateway_end_wait(&fixture.node, &waiting.push);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_PENDING, GAP_NONE);
    expect_waiting(&other);
    gateway_end_wait(&fixture.node, &waiting.push); /* it is answered already: left alone */
    node_fixture_turn();
    expect_waiting(&other);
    cr_expect_eq(waiting.n_answers, 1);
}

/* ---- the ceiling and the end ---- */

Test(push_waits, takes_no_more_than_its_ceiling_and_one_again_when_one_has_ended)
{
    static struct waiting_push all[WAITS_MAX];
    static struct waiting_push late;
    int64_t refused = metrics_read(METRIC_WAITS_REFUSED);
    for (unsigned i = 0; i < WAITS_MAX; i++) {
        char user[NAME_BYTES];
        snprintf(user, sizeof user, "u%u", i);
        begin_push(&all[i], user, "", 60, 5000);
    }
    for (unsigned i = 0; i < WAITS_MAX / 32; i++)
        node_fixture_turn(); /* one delivers a bounded number of letters */
    cr_assert_eq(metrics_read(METRIC_WAITS), WAITS_MAX);
    begin_push(&late, "late", "", 60, 5000);
    node_fixture_turn();
    cr_assert_eq(late.n_answers, 1, "it is answered at once");
    cr_expect_not(late.push.has_waited);
    cr_expect_eq(late.push.fate, GATEWAY_PENDING);
    cr_expect_eq(metrics_read(METRIC_WAITS_REFUSED), refused + 1);
    purge_user("u7");
    cr_assert_eq(all[7].n_answers, 1);
    begin_wait(&late, "late", 60, 5000);
    expect_waiting(&late);
}

/* A drain: what is kept is answered at once, before the sessions that would acknowledge go. */
Test(push_waits, ends_them_all_at_a_drain_and_takes_none_after_it)
{
    static struct waiting_push other;
    begin_wait(&waiting, "u", 60, 5000);
    begin_wait(&other, "v", 60, 5000);
    gateway_end_waits(&fixture.node);
    node_fixture_turn();
    expect_answer(&waiting, GATEWAY_PENDING, GAP_NONE);
    expect_answer(&other, GATEWAY_PENDING, GAP_NONE);
    begin_push(&waiting, "u", "", 60, 5000);
    node_fixture_turn();
    cr_expect_eq(waiting.n_answers, 1);
    cr_expect_not(waiting.push.has_waited);
    cr_expect_eq(waiting.target.seq, 2);
}

/* An event of a user is dropped where the table counts no wait of that hash. With more users than
 * it has places, the end of one wait must not hide the events of another. */
Test(push_waits, misses_no_event_however_many_users_wait)
{
    static struct waiting_push all[MANY_USERS];
    for (unsigned i = 0; i < MANY_USERS; i++) {
        char user[NAME_BYTES];
        snprintf(user, sizeof user, "u%u", i);
        begin_wait(&all[i], user, 60, 5000);
    }
    for (unsigned i = 0; i < MANY_USERS; i++) {
        expect_waiting(&all[i]);
        purge_user(all[i].user);
        expect_answer(&all[i], GATEWAY_GONE, GAP_CANCELLED);
    }
    cr_expect_eq(metrics_read(METRIC_WAITS), 0);
}
