/* GET /events as the event log answers it (gateway/events/event_requests.h): cursors, consumers,
 * gaps and waiting, on the memory store. */
#include "tests/unit/event_pulls_calls.h"

TestSuite(event_pulls, .init = set_up, .fini = tear_down);

Test(event_pulls, shows_the_same_events_until_they_are_acknowledged)
{
    struct call call = {0};
    for (unsigned i = 0; i < 3; i++)
        write_event("user.online", "a", i);
    cr_expect_eq(count_in(read_events(&call, "orders"), "user.online"), 3);
    cr_expect_eq(count_in(read_events(&call, "orders"), "user.online"), 3);
    cr_expect_str_eq(read_on(&call, "orders"), "");
    write_event("user.online", "a", 7);
    call.op.has_ack = false;
    const char *text = read_events(&call, "orders");
    cr_expect_eq(count_in(text, "user.online"), 1);
    cr_expect_not_null(strstr(text, "\"data\":7"));
}

Test(event_pulls, merges_partitions_by_time_and_keeps_the_order_of_each)
{
    struct call call = {.op.limit = 1000};
    for (unsigned i = 0; i < 40; i++) {
        char user_id[2] = {(char)('a' + i % 7)};
        write_event("user.online", user_id, i);
        node_fixture_wait_ms(i % 3 == 0 ? 1 : 0);
    }
    const char *text = read_events(&call, "orders");
    int64_t last_ms = 0;
    unsigned n = 0;
    for (const char *at = strstr(text, "\"time\":"); at != NULL; at = strstr(at + 1, "\"time\":")) {
        int64_t time_ms = strtoll(at + strlen("\"time\":"), NULL, 10);
        cr_expect_geq(time_ms, last_ms);
        last_ms = time_ms;
        n++;
    }
    cr_expect_eq(n, 40);
}

Test(event_pulls, answers_no_more_than_the_limit_and_goes_on_behind_it)
{
    struct call call = {.op.limit = 25};
    unsigned n = 0;
    for (unsigned i = 0; i < 60; i++)
        write_event("user.online", "a", i);
    for (unsigned round = 0; round < 3; round++) {
        const char *text = round == 0 ? read_events(&call, "orders") : read_on(&call, "orders");
        unsigned here = count_in(text, "user.online");
        cr_expect_eq(here, round < 2 ? 25 : 10);
        for (unsigned i = 0; i < here; i++, n++) {
            char data[24];
            snprintf(data, sizeof data, "\"data\":%u}", n);
            cr_expect_not_null(strstr(text, data), "%s", data);
        }
    }
}

Test(event_pulls, passes_other_types_over_with_its_cursor)
{
    struct call call = {.op.types = EVENT_BIT(EVENT_MESSAGE)};
    for (unsigned i = 0; i < 30; i++)
        write_event("user.online", "a", i);
    cr_expect_str_eq(read_events(&call, "orders"), "");
    write_event("client.message", "a", 30);
    cr_expect_eq(count_in(read_on(&call, "orders"), "client.message"), 1);
    call.op.types = ALL_TYPES;
    cr_expect_str_eq(read_on(&call, "orders"), "", "what was passed over is acknowledged");
}

Test(event_pulls, begins_now_or_with_the_oldest_event)
{
    struct call late = {.op.from_now = true};
    struct call early = {0};
    write_event("user.online", "a", 1);
    cr_expect_str_eq(read_events(&late, "late"), "");
    cr_expect_eq(count_in(read_events(&early, "early"), "user.online"), 1);
    write_event("user.online", "a", 2);
    early.op.from_now = true;
    cr_expect_eq(count_in(read_events(&early, "early"), "user.online"), 2, "it exists already");
    cr_expect_eq(count_in(read_events(&late, "late"), "user.online"), 1);
}

Test(event_pulls, does_not_go_back_for_an_older_cursor)
{
    struct call call = {0};
    struct call other = {0};
    (void)read_events(&other, "keeps-them");
    write_event("user.online", "a", 1);
    (void)read_events(&call, "orders");
    char older[EVENT_CURSOR_MAX_BYTES];
    memcpy(older, call.cursor, sizeof older);
    write_event("user.online", "a", 2);
    (void)read_on(&call, "orders");
    cr_expect_str_eq(read_on(&call, "orders"), "");
    memcpy(call.cursor, older, sizeof older);
    cr_expect_str_eq(read_on(&call, "orders"), "");
}

Test(event_pulls, tells_a_gap_where_events_were_pushed_out_unread)
{
    struct call call = {0};
    cr_expect_str_eq(read_events(&call, "orders"), "");
    for (unsigned i = 0; i < NODE_FIXTURE_EVENTS_MAX + 10; i++)
        write_event("user.online", "a", i);
    const char *text = read_events(&call, "orders");
    cr_expect_eq(count_in(text, "user.online"), NODE_FIXTURE_EVENTS_MAX);
    cr_expect_eq(strstr(text, "\"type\":\"gap\"") - text, strstr(text, "\"type\"") - text,
                 "it comes first");
    cr_expect_not_null(strstr(text, "\"from\":1,\"to\":10,\"cause\":\"overflow\""), "%s", text);
    cr_expect_str_eq(read_on(&call, "orders"), "");
}

Test(event_pulls, tells_a_reset_until_it_is_acknowledged)
{
    struct call call = {0};
    write_event("user.online", "a", 1);
    (void)read_events(&call, "orders");
    cr_assert_eq(event_cursor_read(span_of(call.cursor), &call.op.ack), ERR_OK);
    unsigned partition = store_partition_of(span_of("a"));
    memcpy(call.op.ack.positions[partition].epoch.text, "zzzzzzzz", EPOCH_LEN);
    call.op.has_ack = true;
    const char *text = read_events(&call, "orders");
    cr_expect_eq(count_in(text, "\"cause\":\"reset\""), 1, "%s", text);
    cr_expect_eq(count_in(text, "user.online"), 1);
    call.op.has_ack = false;
    cr_expect_eq(count_in(read_events(&call, "orders"), "\"cause\":\"reset\""), 1);
    cr_expect_str_eq(read_on(&call, "orders"), "");
    call.op.has_ack = false;
    cr_expect_str_eq(read_events(&call, "orders"), "");
}

/* The cursor of an epoch that is gone was acknowledged at another node: this one finds the loss by
 * what it has read before. */
Test(event_pulls, tells_a_reset_to_a_call_without_a_cursor_that_has_read_before_it)
{
    struct event_resets *resets = fixture.node.events->resets;
    struct call call = {0};
    struct event_known known;
    write_event("user.online", "a", 1);
    cr_expect_eq(count_in(read_events(&call, "orders"), "\"cause\":\"reset\""), 0);
    unsigned partition = store_partition_of(span_of("a"));
    event_resets_get(resets, SPAN_LITERAL("orders"), &known);
    cr_assert_eq(known.resets, 0);
    memcpy(known.positions[partition].epoch.text, "zzzzzzzz", EPOCH_LEN); /* it was that */
    event_resets_set(resets, SPAN_LITERAL("orders"), &known);
    cr_expect_eq(count_in(read_events(&call, "orders"), "\"cause\":\"reset\""), 1);
    cr_expect_eq(count_in(read_events(&call, "orders"), "\"cause\":\"reset\""), 1);
    event_resets_get(resets, SPAN_LITERAL("orders"), &known);
    cr_expect_str_eq(read_on(&call, "orders"), "");
    call.op.has_ack = false;
    event_resets_set(resets, SPAN_LITERAL("orders"),
                     &known); /* another node has taken the cursor */
    cr_expect_str_eq(read_events(&call, "orders"), "");
}

/* ---- waiting ---- */

Test(event_pulls, waits_until_an_event_comes)
{
    struct call call = {0};
    begin(&call, "orders", 20000);
    cr_expect_eq(call.n_answers, 0);
    cr_expect_eq(atomic_load(&fixture.node.waits.n_readers), 1);
    node_fixture_wait_ms(5000);
    cr_expect_eq(call.n_answers, 0);
    write_event("user.online", "a", 1);
    cr_assert_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_OK);
    cr_expect_gt(call.op.events.len, 0);
    gateway_events_clear(&call.op);
}

Test(event_pulls, waits_no_longer_than_it_is_asked_to)
{
    struct call call = {0};
    begin(&call, "orders", 1500);
    node_fixture_wait_ms(1400);
    cr_expect_eq(call.n_answers, 0);
    node_fixture_wait_ms(200);
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_OK);
    cr_expect_gt(strlen(call.op.cursor), 0);
}

Test(event_pulls, waits_on_when_the_event_is_of_another_type)
{
    struct call call = {.op.types = EVENT_BIT(EVENT_MESSAGE)};
    begin(&call, "orders", 20000);
    write_event("user.online", "a", 1);
    cr_expect_eq(call.n_answers, 0);
    write_event("client.message", "a", 2);
    cr_expect_eq(call.n_answers, 1);
    gateway_events_clear(&call.op);
}

Test(event_pulls, hears_of_an_event_that_comes_while_it_reads)
{
    struct call call = {0};
    struct call first = {0};
    begin(&first, "orders", 1);
    node_fixture_wait_ms(50);
    store_double_hold(STORE_OP_PAGE);
    begin(&call, "orders", 20000);
    write_event("user.online", "a", 1); /* the pages were read before it */
    store_double_release(STORE_OP_PAGE);
    turn();
    cr_expect_eq(call.n_answers, 1);
    cr_expect_gt(call.op.events.len, 0);
    gateway_events_clear(&call.op);
}

static void begin_behind(struct call *call, const char *consumer, uint32_t wait_ms)
{
    call->op.has_ack = true;
    cr_assert_eq(event_cursor_read(span_of(call->cursor), &call->op.ack), ERR_OK);
    begin(call, consumer, wait_ms);
}

Test(event_pulls, answers_the_earlier_of_two_that_wait_for_one_consumer_a_second_later)
{
    struct call first = {0};
    struct call second = {0};
    struct call other = {0};
    begin(&first, "orders", 20000);
    begin(&other, "others", 20000);
    begin(&second, "orders", 20000);
    node_fixture_wait_ms(900);
    cr_expect_eq(first.n_answers, 0, "its client would ask again at once");
    write_event("user.online", "ada", 1);
    cr_expect_eq(second.n_answers, 1, "what comes is for the later one");
    cr_expect_gt(second.op.events.len, 0);
    gateway_events_clear(&second.op);
    begin_behind(&second, "orders", 20000);
    node_fixture_wait_ms(200);
    cr_expect_eq(first.n_answers, 1);
    cr_expect_eq(first.op.events.len, 0);
    cr_expect_eq(second.n_answers, 0);
    cr_expect_eq(other.n_answers, 1);
    gateway_events_clear(&other.op);
    begin_behind(&other, "others", 20000);
    event_pulls_end_waits(fixture.node.events->pulls, fixture.worker);
    cr_expect_eq(second.n_answers, 1);
    cr_expect_eq(other.n_answers, 1);
}

Test(event_pulls, does_not_wait_when_too_many_do_or_waits_have_ended)
{
    struct call call = {0};
    atomic_store(&fixture.node.waits.n_pushes, WAITS_MAX);
    begin(&call, "orders", 20000);
    cr_expect_eq(call.n_answers, 1);
    atomic_store(&fixture.node.waits.n_pushes, 0);
    atomic_store(&fixture.node.waits.have_ended, true);
    begin(&call, "orders", 20000);
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_OK);
}

Test(event_pulls, ends_the_wait_of_a_client_that_has_gone)
{
    struct call call = {0};
    begin(&call, "orders", 20000);
    gateway_events_give_up(&fixture.node, &call.op);
    turn();
    cr_expect_eq(call.n_answers, 1);
}

/* ---- consumers ---- */

static void on_forgotten(struct gateway_event_forget *forget)
{
    (void)forget;
}

static enum err forget(const char *consumer, uint64_t *ret_unread)
{
    struct gateway_event_forget op = {.on_done = on_forgotten, .consumer = span_of(consumer)};
    gateway_event_forget(&fixture.node, &op);
    turn();
    *ret_unread = op.unread;
    return op.error;
}

Test(event_pulls, refuses_a_consumer_too_many_with_the_names_of_the_others)
{
    struct call call = {0};
    char names[STORE_MAX_CONSUMERS][8];
    for (unsigned i = 0; i < STORE_MAX_CONSUMERS; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        (void)read_events(&call, names[i]);
    }
    begin(&call, "one-more", 0);
    cr_assert_eq(call.op.error, ERR_CONFLICT);
    cr_expect_not_null(strstr(call.op.detail, " n0"), "%s", call.op.detail);
    cr_expect_not_null(strstr(call.op.detail, " n14"), "%s", call.op.detail);
    uint64_t unread;
    cr_assert_eq(forget("n3", &unread), ERR_OK);
    (void)read_events(&call, "one-more");
}

Test(event_pulls, counts_what_a_forgotten_consumer_has_not_read)
{
    struct call call = {0};
    uint64_t unread;
    (void)read_events(&call, "orders");
    write_event("user.online", "a", 1);
    write_event("user.online", "b", 1);
    cr_expect_eq(forget("orders", &unread), ERR_OK);
    cr_expect_eq(unread, 2);
    cr_expect_eq(forget("orders", &unread), ERR_NOT_FOUND);
}

Test(event_pulls, takes_a_new_consumer_back_where_a_partition_fails)
{
    struct call call = {0};
    store_double_fail_consumers(7);
    begin(&call, "orders", 0);
    cr_expect_eq(call.op.error, ERR_STORE_UNAVAILABLE);
    store_double_fail_consumers(STORE_PARTITIONS);
    uint64_t unread;
    cr_expect_eq(forget("orders", &unread), ERR_NOT_FOUND);
}

Test(event_pulls, does_not_make_a_consumer_again_that_is_deleted_while_it_waits)
{
    struct call call = {0};
    uint64_t unread;
    (void)read_events(&call, "orders"); /* it is there when the call comes that waits */
    begin(&call, "orders", 5000);
    cr_assert_eq(forget("orders", &unread), ERR_OK);
    write_event("user.online", "a", 1);
    node_fixture_wait_ms(6000);
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.events.len, 0);
    cr_expect_eq(forget("orders", &unread), ERR_NOT_FOUND);
}

static void on_acked(struct gateway_event_ack *ack)
{
    (void)ack;
}

Test(event_pulls, acknowledges_by_itself_and_says_what_is_left)
{
    struct call call = {.op.limit = 2};
    struct gateway_event_ack ack = {.on_done = on_acked};
    for (unsigned i = 0; i < 5; i++)
        write_event("user.online", "a", i);
    (void)read_events(&call, "orders");
    cr_assert_eq(event_cursor_read(span_of(call.cursor), &ack.cursor), ERR_OK);
    gateway_event_ack(&fixture.node, &ack);
    turn();
    cr_expect_eq(ack.error, ERR_OK);
    cr_expect_eq(ack.lag, 3);
    uint64_t unread;
    cr_assert_eq(forget("orders", &unread), ERR_OK);
    gateway_event_ack(&fixture.node, &ack);
    turn();
    cr_expect_eq(ack.error, ERR_NOT_FOUND);
}

Test(event_pulls, answers_who_reads_when_the_node_stops)
{
    struct call call = {0};
    store_double_hold(STORE_OP_PAGE);
    begin(&call, "orders", 20000);
    events_stop(&fixture.node);
    store_double_release(STORE_OP_PAGE);
    turn();
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_STORE_UNAVAILABLE);
}
