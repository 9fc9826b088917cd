/* What becomes of alerts that are due (EVENTS, "Alerts"): who gets an event, and who gets none. */
#include "gateway/base/metrics.h"
#include "gateway/events/alerts.h"
#include "gateway/events/serving.h"
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { PARTITION = 3, ALERT_AFTER_MS = 30000, LATE_MS = ALERT_GRACE_LOCAL_MS + 200 };

static struct events events;
static struct alerts *alerts;

/* ---- what serves the partition, played ---- */

static struct serving_listener *listener;
static unsigned n_asked;
static uint32_t n_skipped;

void serving_listen(struct serving *serving, struct serving_listener *one)
{
    (void)serving;
    listener = one;
}

void serving_ask(struct serving *serving, unsigned partition)
{
    (void)serving;
    cr_expect_eq(partition, PARTITION);
    n_asked++;
}

void serving_skip_alerts(struct serving *serving, unsigned partition, uint32_t n)
{
    (void)serving;
    cr_expect_eq(partition, PARTITION);
    n_skipped = n;
}

static void start_alerts(void)
{
    static char played;
    node_fixture_start();
    store_double_start();
    worker_be_here(fixture.worker);
    events = (struct events){.node = &fixture.node,
                             .types = EVENT_BIT(EVENT_UNACKNOWLEDGED),
                             .serving = (struct serving *)(void *)&played};
    cr_assert_eq(alerts_new(&events, &alerts), ERR_OK);
    cr_assert_not_null(listener);
}

static void stop_alerts(void)
{
    alerts_stop(alerts);
    node_fixture_turn();
    alerts_free(alerts);
    node_fixture_stop();
}

TestSuite(alerts, .init = start_alerts, .fini = stop_alerts);

/* ---- steps ---- */

static void on_peeked(struct store_request *request)
{
    (void)request;
}

static struct epoch epoch_of(const char *user)
{
    struct store_peek peek = {.request = {.on_done = on_peeked}, .user_id = span_of(user)};
    store_peek(fixture.node.store, &peek);
    node_fixture_turn();
    cr_assert_eq(peek.error, ERR_OK);
    return peek.epoch;
}

/* The alert of a notification that was pushed ALERT_AFTER_MS ago. */
static struct store_alert alert_of(const char *user, uint64_t seq)
{
    int64_t now_ms = NODE_FIXTURE_WALL_MS + node_fixture_now_ms();
    struct store_alert alert = {.user_id_len = (uint8_t)strlen(user),
                                .epoch = epoch_of(user),
                                .seq = seq,
                                .pushed_ms = now_ms - ALERT_AFTER_MS,
                                .due_ms = now_ms};
    memcpy(alert.user_id, user, strlen(user));
    return alert;
}

static void hand_over(const struct store_alert *due, size_t n)
{
    listener->on_due(listener, PARTITION, due, n, n);
}

static void become_due(const char *user, uint64_t seq)
{
    struct store_alert alert = alert_of(user, seq);
    hand_over(&alert, 1);
}

static void acknowledge(const char *user, uint64_t seq)
{
    struct store_ack ack = {.request = {.on_done = on_peeked},
                            .user_id = span_of(user),
                            .epoch = epoch_of(user),
                            .seq = seq,
                            .written = seq};
    store_ack(fixture.node.store, &ack);
    node_fixture_turn();
    cr_assert_eq(ack.error, ERR_OK);
}

static void expect_no_event(unsigned n_ended)
{
    cr_expect_eq(store_double_last_alert_end().n, n_ended);
    cr_expect_str_empty(store_double_last_alert_end().event);
}

static void expect_event(unsigned n_ended, uint64_t seq, const char *part)
{
    struct store_double_alert_end end = store_double_last_alert_end();
    cr_expect_eq(end.n, n_ended);
    cr_expect_eq(end.seq, seq);
    cr_expect_not_null(strstr(end.event, part), "%s", end.event);
}

/* ---- who gets an event ---- */

Test(alerts, tell_of_what_still_waits_with_its_data)
{
    node_fixture_push("anna", "{\"n\":9007199254740993}", 60);
    become_due("anna", 1);
    node_fixture_wait_ms(LATE_MS);
    char expected[256];
    snprintf(expected, sizeof expected,
             "{\"type\":\"notification.unacknowledged\",\"userId\":\"anna\",\"notification\":"
             "\"%.8s-1\",\"pushed\":%lld,\"online\":false,\"cause\":\"waiting\","
             "\"data\":{\"n\":9007199254740993}}",
             epoch_of("anna").text,
             (long long)(NODE_FIXTURE_WALL_MS + node_fixture_now_ms() - LATE_MS - ALERT_AFTER_MS));
    cr_expect_str_eq(store_double_last_alert_end().event, expected);
    cr_expect_eq(metrics_read(METRIC_ALERTS_WAITING), 1);
}

Test(alerts, say_that_the_user_is_online_here)
{
    node_fixture_enter_clients(1);
    node_fixture_push("c0", "1", 60);
    become_due("c0", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(1, 1, "\"online\":true,\"cause\":\"waiting\"");
    node_fixture_leave_clients();
}

Test(alerts, say_that_the_user_is_online_at_another_node)
{
    store_double_set_shared();
    store_double_set_nodes(1);
    node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    node_fixture_wait_ms(ALERT_GRACE_SHARED_MS + 200);
    expect_event(1, 1, "\"online\":true");
}

Test(alerts, wait_for_acknowledgements_on_their_way)
{
    node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    node_fixture_wait_ms(ALERT_GRACE_LOCAL_MS - 200);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 0);
    acknowledge("anna", 1);
    node_fixture_wait_ms(400);
    expect_no_event(1);
    cr_expect_eq(metrics_read(METRIC_ALERTS_DROPPED), 1);
}

/* The three seconds that EVENTS allows are over soon after the grace. */
Test(alerts, are_looked_at_at_once_where_their_time_is_long_over)
{
    node_fixture_push("anna", "1", 60);
    struct store_alert alert = alert_of("anna", 1);
    alert.due_ms -= 60000;
    hand_over(&alert, 1);
    node_fixture_turn();
    expect_event(1, 1, "\"cause\":\"waiting\"");
}

Test(alerts, are_not_put_off_by_a_clock_that_was_set_back)
{
    node_fixture_push("anna", "1", 60);
    struct store_alert alert = alert_of("anna", 1);
    alert.due_ms += 60000;
    hand_over(&alert, 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(1, 1, "\"cause\":\"waiting\"");
}

Test(alerts, tell_of_what_a_full_inbox_has_pushed_out)
{
    for (int64_t i = 0; i <= fixture.options.inbox_max; i++)
        node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(1, 1, "\"cause\":\"overflow\"}");
    cr_expect_eq(metrics_read(METRIC_ALERTS_OVERFLOW), 1);
}

/* alertAfter is less than the ttl: when the alert was due the notification waited. */
Test(alerts, tell_of_what_has_expired_since_they_were_due)
{
    node_fixture_push("anna", "1", 1);
    node_fixture_wait_ms(1100);
    become_due("anna", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(1, 1, "\"cause\":\"waiting\"}");
}

/* The acknowledgement may have come when it had expired, and counted no more. */
Test(alerts, do_not_tell_of_what_has_expired_since_a_session_had_it)
{
    node_fixture_push("anna", "1", 1);
    node_fixture_wait_ms(1100);
    acknowledge("anna", 1);
    become_due("anna", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_no_event(1);
}

Test(alerts, tell_of_what_the_store_has_lost)
{
    node_fixture_push("anna", "1", 60);
    become_due("anna", 9); /* the store has a lower head than it had */
    node_fixture_wait_ms(LATE_MS);
    expect_event(1, 9, "\"cause\":\"unknown\"}");
    struct store_alert alert = alert_of("anna", 1);
    memcpy(alert.epoch.text, "00000000", EPOCH_LEN);
    hand_over(&alert, 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(2, 1, "\"notification\":\"00000000-1\"");
    become_due("nobody", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_event(3, 1, "\"cause\":\"unknown\"}");
    cr_expect_eq(metrics_read(METRIC_ALERTS_UNKNOWN), 3);
}

/* ---- who gets none ---- */

Test(alerts, end_without_an_event_for_what_was_withdrawn)
{
    node_fixture_push("anna", "1", 60);
    struct store_withdraw withdraw = {
        .request = {.on_done = on_peeked}, .user_id = SPAN_LITERAL("anna"), .is_all = true};
    store_withdraw(fixture.node.store, &withdraw);
    node_fixture_turn();
    cr_assert_eq(withdraw.n_removed, 1);
    become_due("anna", 1);
    node_fixture_wait_ms(LATE_MS);
    expect_no_event(1);
}

/* ---- when something fails ---- */

Test(alerts, are_tried_again_with_the_next_answer_while_the_store_is_away)
{
    node_fixture_push("anna", "1", 60);
    struct store_alert alert = alert_of("anna", 1);
    hand_over(&alert, 1);
    store_double_set_away(true);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 1);
    cr_expect_eq(store_double_last_alert_end().n, 0);
    node_fixture_wait_ms(5000);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 1);
    store_double_set_away(false);
    hand_over(&alert, 1);
    node_fixture_turn();
    expect_event(1, 1, "\"cause\":\"waiting\"");
}

Test(alerts, are_ended_once_however_often_they_are_handed_over)
{
    node_fixture_push("anna", "1", 60);
    struct store_alert alert = alert_of("anna", 1);
    hand_over(&alert, 1);
    node_fixture_wait_ms(500);
    hand_over(&alert, 1);
    store_double_hold(STORE_OP_LOOK);
    node_fixture_wait_ms(LATE_MS);
    hand_over(&alert, 1);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_expect_eq(store_double_last_alert_end().n, 1);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 1);
}

/* The page comes after the acknowledgement that the look has not seen. */
Test(alerts, look_again_when_the_notification_has_left_meanwhile)
{
    node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    store_double_hold(STORE_OP_LOOK);
    node_fixture_wait_ms(LATE_MS);
    acknowledge("anna", 1);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 2);
    expect_no_event(1);
}

Test(alerts, are_left_to_another_node_with_the_partition)
{
    node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    cr_expect_eq(metrics_read(METRIC_ALERTS_PENDING), 1);
    listener->on_lost(listener, PARTITION);
    cr_expect_eq(metrics_read(METRIC_ALERTS_PENDING), 0);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_count(STORE_OP_LOOK), 0);
}

Test(alerts, ask_the_store_nothing_once_they_are_stopped)
{
    node_fixture_push("anna", "1", 60);
    become_due("anna", 1);
    store_double_hold(STORE_OP_LOOK);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_under_way(STORE_OP_LOOK), 1);
    alerts_stop(alerts);
    store_double_release(STORE_OP_LOOK);
    node_fixture_turn();
    cr_expect_eq(store_double_count(STORE_OP_PAGE), 0);
    cr_expect_eq(store_double_last_alert_end().n, 0);
}

/* ---- many ---- */

static size_t alerts_of(const char *user, struct store_alert *ret_many, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        node_fixture_push(user, "1", 60);
        ret_many[i] = alert_of(user, i + 1);
    }
    return n;
}

static size_t many_alerts(struct store_alert *ret_many, size_t n)
{
    return alerts_of("anna", ret_many, n);
}

/* Of n that are due: what the store shows at a look. */
static void look_at_due(const struct store_alert *due, size_t n)
{
    size_t from = n_skipped < n ? n_skipped : n;
    hand_over(due + from, n - from < STORE_SERVE_ALERTS ? n - from : STORE_SERVE_ALERTS);
    node_fixture_wait_ms(LATE_MS);
}

Test(alerts, ask_the_store_about_a_few_at_a_time)
{
    struct store_alert many[STORE_SERVE_ALERTS];
    hand_over(many, many_alerts(many, STORE_SERVE_ALERTS));
    store_double_hold(STORE_OP_LOOK);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_under_way(STORE_OP_LOOK), ALERTS_AT_ONCE);
    cr_expect_eq(n_asked, 0);
    store_double_release(STORE_OP_LOOK);
    node_fixture_wait_ms(200);
    cr_expect_eq(store_double_last_alert_end().n, STORE_SERVE_ALERTS);
    cr_expect_eq(n_asked, 1, "the store is asked for more once");
}

Test(alerts, ask_for_more_only_where_there_may_be_more)
{
    struct store_alert many[STORE_SERVE_ALERTS];
    hand_over(many, many_alerts(many, STORE_SERVE_ALERTS - 1));
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_last_alert_end().n, STORE_SERVE_ALERTS - 1);
    cr_expect_eq(n_asked, 0);
}

Test(alerts, do_not_ask_for_more_after_a_failure)
{
    struct store_alert many[STORE_SERVE_ALERTS];
    size_t n = many_alerts(many, STORE_SERVE_ALERTS);
    hand_over(many, n);
    store_double_set_away(true);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(n_asked, 0);
    store_double_set_away(false);
    hand_over(many, n);
    node_fixture_wait_ms(LATE_MS);
    cr_expect_eq(store_double_last_alert_end().n, n);
    cr_expect_eq(n_asked, 1);
}

/* One primary of a Cluster is away: the alerts of its users are the oldest that are due. */
Test(alerts, are_not_kept_back_by_those_that_cannot_be_looked_up)
{
    enum { STUCK = STORE_SERVE_ALERTS + 10, OTHERS = 20 };
    struct store_alert due[STUCK + OTHERS];
    alerts_of("bert", due, STUCK);
    alerts_of("anna", due + STUCK, OTHERS);
    store_double_fail_looks("bert");
    look_at_due(due, STUCK + OTHERS);
    cr_expect_eq(store_double_last_alert_end().n, 0);
    cr_expect_eq(n_asked, 0, "all have failed: there is time until the next look");
    cr_expect_eq(n_skipped, STORE_SERVE_ALERTS);
    look_at_due(due, STUCK + OTHERS);
    cr_expect_eq(store_double_last_alert_end().n, OTHERS);
    cr_expect_eq(n_skipped, 0, "that were the last: the next look begins with the oldest");
    store_double_fail_looks(NULL);
    look_at_due(due, STUCK);
    cr_expect_eq(store_double_last_alert_end().n, OTHERS + STORE_SERVE_ALERTS);
    cr_expect_eq(n_skipped, 0);
}

Test(alerts, ask_for_more_where_only_some_cannot_be_looked_up)
{
    enum { STUCK = STORE_SERVE_ALERTS / 2, ENDED = STORE_SERVE_ALERTS - STUCK };
    struct store_alert due[STORE_SERVE_ALERTS];
    alerts_of("bert", due, STUCK);
    alerts_of("anna", due + STUCK, ENDED);
    store_double_fail_looks("bert");
    look_at_due(due, STORE_SERVE_ALERTS);
    cr_expect_eq(store_double_last_alert_end().n, ENDED);
    cr_expect_eq(n_asked, 1);
    cr_expect_eq(n_skipped, STUCK);
    listener->on_lost(listener, PARTITION);
    look_at_due(due, STUCK);
    cr_expect_eq(n_skipped, STUCK, "the serving forgets it by itself");
}
