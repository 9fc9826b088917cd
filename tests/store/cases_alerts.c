/* Alerts: pending from the push that asked for one until they are ended, and shown when due. */
#include "tests/store/contract_fixture.h"
#include "tests/store/presence_calls.h"

static struct store_serve look(unsigned partition)
{
    struct store_serve serve = serve_run(store, serve_asked(partition, "node-a"));
    cr_assert_eq(serve.error, ERR_OK);
    return serve;
}

/* Waits until so many are due. */
static struct store_serve wait_for_due(unsigned partition, size_t n)
{
    int64_t until_ms = clock_wall_ms() + ANSWER_MAX_S * 1000;
    struct store_serve serve = look(partition);
    while (serve.n_alerts < n) {
        cr_assert_lt(clock_wall_ms(), until_ms, "no alert is due");
        free(serve.alerts);
        sleep_until_wall_ms(clock_wall_ms() + 20);
        serve = look(partition);
    }
    return serve;
}

static unsigned partition_of(const char *user)
{
    return store_partition_of(span_of(user));
}

Test(store_contract, an_alert_is_due_after_its_time)
{
    struct store_target pushed = push_with_alert(store, "anna", 1, "");
    cr_assert_eq(pushed.error, ERR_OK);
    struct store_serve serve = wait_for_due(partition_of("anna"), 1);
    const struct store_alert *alert = &serve.alerts[0];
    cr_assert_eq(serve.n_alerts, 1);
    cr_assert_eq(serve.n_pending_alerts, 1);
    cr_assert(span_equal((struct span){alert->user_id, alert->user_id_len}, span_of("anna")));
    cr_assert(epoch_equal(alert->epoch, pushed.epoch));
    cr_assert_eq(alert->seq, pushed.seq);
    cr_assert_eq(alert->pushed_ms, pushed.time_ms);
    cr_assert_eq(alert->due_ms, pushed.time_ms + 1000);
    free(serve.alerts);
    serve = look(partition_of("anna"));
    cr_assert_eq(serve.n_alerts, 1, "it stays until it is ended");
    free(serve.alerts);
}

Test(store_contract, an_alert_is_not_due_before_its_time)
{
    struct store_target pushed = push_with_alert(store, "anna", 500, "");
    cr_assert_eq(push_with_alert(store, "anna", 900, "").error, ERR_OK);
    struct store_serve serve = look(partition_of("anna"));
    cr_assert_eq(serve.n_alerts, 0);
    cr_assert_eq(serve.n_pending_alerts, 2);
    cr_assert_eq(serve.next_alert_ms, pushed.time_ms + 500 * 1000);
    free(serve.alerts);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    serve = look(partition_of("anna"));
    cr_assert_eq(serve.n_pending_alerts, 2, "only who asks for one has one");
    free(serve.alerts);
}

Test(store_contract, an_alert_ends_with_its_event_once)
{
    unsigned partition = partition_of("anna");
    cr_assert_eq(push_with_alert(store, "anna", 1, "").error, ERR_OK);
    struct store_serve serve = wait_for_due(partition, 1);
    struct store_alert alert = serve.alerts[0];
    free(serve.alerts);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(alert_end(store, partition, alert, "{\"alert\":1}"), ERR_OK);
    cr_assert_eq(consumers_list(store, partition).head, 1);
    expect_event(store, partition, 1, "{\"alert\":1}");
    serve = look(partition);
    cr_assert_eq(serve.n_pending_alerts, 0);
    cr_assert_eq(serve.n_alerts, 0);
    cr_assert_eq(serve.next_alert_ms, 0);
    free(serve.alerts);
}

Test(store_contract, an_alert_may_end_without_an_event)
{
    unsigned partition = partition_of("anna");
    cr_assert_eq(push_with_alert(store, "anna", 1, "").error, ERR_OK);
    struct store_serve serve = wait_for_due(partition, 1);
    cr_assert_eq(alert_end(store, partition, serve.alerts[0], ""), ERR_OK);
    free(serve.alerts);
    cr_assert_eq(consumers_list(store, partition).head, 0);
    serve = look(partition);
    cr_assert_eq(serve.n_pending_alerts, 0);
    free(serve.alerts);
}

Test(store_contract, the_oldest_due_alerts_are_shown_first)
{
    enum { ALERTS = STORE_SERVE_ALERTS + 6 };
    unsigned partition = partition_of("anna");
    int64_t next_ms = 0;
    for (int i = 0; i < ALERTS; i++) {
        struct store_target pushed = push_with_alert(store, "anna", 1, "");
        cr_assert_eq(pushed.error, ERR_OK);
        if (i == STORE_SERVE_ALERTS)
            next_ms = pushed.time_ms + 1000;
    }
    sleep_until_wall_ms(clock_wall_ms() + 1000); /* all are due */
    struct store_serve serve = wait_for_due(partition, STORE_SERVE_ALERTS);
    cr_assert_eq(serve.n_alerts, STORE_SERVE_ALERTS);
    cr_assert_eq(serve.n_pending_alerts, ALERTS);
    cr_assert_eq(serve.next_alert_ms, next_ms, "the first that is not shown, due as well");
    for (size_t i = 0; i < serve.n_alerts; i++) {
        if (i > 0)
            cr_assert_leq(serve.alerts[i - 1].due_ms, serve.alerts[i].due_ms);
        cr_assert_eq(alert_end(store, partition, serve.alerts[i], ""), ERR_OK);
    }
    free(serve.alerts);
    serve = wait_for_due(partition, 6);
    cr_assert_eq(serve.n_alerts, 6);
    cr_assert_eq(serve.next_alert_ms, 0);
    free(serve.alerts);
}

/* So that those that cannot be looked up do not keep back the others. */
Test(store_contract, the_oldest_due_alerts_can_be_passed_over)
{
    enum { ALERTS = 5, PASSED = 2 };
    unsigned partition = partition_of("anna");
    for (int i = 0; i < ALERTS; i++) {
        sleep_until_wall_ms(clock_wall_ms() + 2); /* so that they have an order */
        cr_assert_eq(push_with_alert(store, "anna", 1, "").error, ERR_OK);
    }
    struct store_serve all = wait_for_due(partition, ALERTS);
    struct store_serve asked = serve_asked(partition, "node-a");
    asked.skip_alerts = PASSED;
    struct store_serve serve = serve_run(store, asked);
    cr_assert_eq(serve.n_alerts, ALERTS - PASSED);
    cr_assert_eq(serve.n_pending_alerts, ALERTS);
    for (size_t i = 0; i < serve.n_alerts; i++)
        cr_assert_eq(serve.alerts[i].seq, all.alerts[PASSED + i].seq);
    free(serve.alerts);
    free(all.alerts);
    asked.skip_alerts = ALERTS + 1;
    serve = serve_run(store, asked);
    cr_assert_eq(serve.n_alerts, 0);
    cr_assert_eq(serve.n_pending_alerts, ALERTS);
    cr_assert_eq(serve.next_alert_ms, 0);
    free(serve.alerts);
}

Test(store_contract, a_repeated_push_has_one_alert)
{
    struct store_target pushed = push_with_alert(store, "anna", 500, "key");
    cr_assert_eq(pushed.error, ERR_OK);
    struct store_target repeated = push_with_alert(store, "anna", 500, "key");
    cr_assert_eq(repeated.error, ERR_OK);
    cr_assert(repeated.is_duplicate);
    cr_assert_eq(repeated.seq, pushed.seq);
    struct store_serve serve = look(partition_of("anna"));
    cr_assert_eq(serve.n_pending_alerts, 1);
    free(serve.alerts);
}

/* "Each change is written once": the answer to the push may be lost for longer than alertAfter. */
Test(store_contract, a_push_that_is_repeated_after_its_event_has_no_second_alert)
{
    unsigned partition = partition_of("anna");
    cr_assert_eq(push_with_alert(store, "anna", 1, "key").error, ERR_OK);
    struct store_serve serve = wait_for_due(partition, 1);
    cr_assert_eq(alert_end(store, partition, serve.alerts[0], "{\"alert\":1}"), ERR_OK);
    free(serve.alerts);
    struct store_target repeated = push_with_alert(store, "anna", 1, "key");
    cr_assert_eq(repeated.error, ERR_OK);
    cr_assert(repeated.is_duplicate);
    serve = look(partition);
    cr_expect_eq(serve.n_pending_alerts, 0);
    cr_expect_eq(serve.n_alerts, 0);
    free(serve.alerts);
    cr_assert_eq(consumers_list(store, partition).head, 1);
}

Test(store_contract, refuses_a_push_with_one_alert_too_many)
{
    contract_open_events((struct store_config){.alerts_max = 3});
    for (int i = 0; i < 3; i++)
        cr_assert_eq(push_with_alert(store, "anna", 500, "").error, ERR_OK);
    cr_assert_eq(push_with_alert(store, "anna", 500, "").error, ERR_FULL);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK, "without one it is taken");
    struct store_serve serve = look(partition_of("anna"));
    cr_assert_eq(serve.n_pending_alerts, 3);
    free(serve.alerts);
}

/* An alert that is due becomes an event, and the event must not push others out at once. */
Test(store_contract, refuses_an_alert_where_the_partition_is_filling)
{
    contract_open_events((struct store_config){.events_max = 16});
    event_append_numbers(store, partition_of("anna"), 1, 12);
    cr_assert_eq(push_with_alert(store, "anna", 500, "").error, ERR_FULL);
    cr_assert_eq(consumer_add(store, partition_of("anna"), "wnew", true).error, ERR_OK);
    cr_assert_eq(push_with_alert(store, "anna", 500, "").error, ERR_OK, "nobody will read those");
}
