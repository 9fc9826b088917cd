/* GET /events with `types`: what is passed over costs few requests of the store, and a call ends
 * while there is more to pass over. */
#include "tests/unit/event_pulls_calls.h"

TestSuite(event_pulls_types, .init = set_up, .fini = tear_down);

/* A partition of messages, as many as the store keeps. */
static void write_many(void)
{
    for (unsigned i = 0; i < NODE_FIXTURE_EVENTS_MAX; i++)
        write_event("client.message", "a", i);
}

Test(event_pulls_types, pass_others_over_in_large_pages_whatever_the_limit_is)
{
    struct call call = {.op = {.limit = 1, .types = EVENT_BIT(EVENT_ONLINE)}};
    write_many();
    unsigned before = store_double_count(STORE_OP_PAGE);
    cr_expect_str_eq(read_events(&call, "orders"), "");
    /* Each partition once before the consumer is made, and once after. */
    cr_expect_leq(store_double_count(STORE_OP_PAGE) - before, 2 * STORE_PARTITIONS);
    write_event("user.online", "a", 1);
    cr_expect_eq(count_in(read_on(&call, "orders"), "user.online"), 1);
}

static void on_large(struct event_append *append)
{
    (void)append;
}

/* So large that a page has a few of them. */
static void write_large(unsigned n)
{
    enum { LARGE_BYTES = 60000 };
    struct event_append append = {.on_done = NULL};
    char *data = malloc(LARGE_BYTES);
    cr_assert_not_null(data);
    memset(data, '1', LARGE_BYTES);
    int len =
        snprintf(data, LARGE_BYTES, "{\"type\":\"client.message\",\"userId\":\"a\",\"data\":");
    data[len] = '1';
    data[LARGE_BYTES - 1] = '}';
    for (unsigned i = 0; i < n; i++) {
        append = (struct event_append){
            .on_done = on_large, .user_id = SPAN_LITERAL("a"), .data = {data, LARGE_BYTES}};
        cr_assert_eq(event_log_append(fixture.node.events->log, &append), ERR_OK);
        turn();
        cr_assert_eq(append.error, ERR_OK);
    }
    free(data);
}

/* The cursor says up to where, so that the next call goes on there. */
Test(event_pulls_types, end_a_call_whose_client_has_gone_though_there_is_more)
{
    struct call call = {.op = {.types = EVENT_BIT(EVENT_ONLINE)}};
    begin(&call, "orders", 50); /* the node hears of events from a call that waits on */
    node_fixture_wait_ms(100);
    cr_assert_eq(call.n_answers, 1);
    write_large(14);
    unsigned before = store_double_count(STORE_OP_PAGE);
    store_double_hold(STORE_OP_PAGE);
    begin(&call, "orders", 20000);
    gateway_events_give_up(&fixture.node, &call.op);
    turn();
    store_double_release(STORE_OP_PAGE);
    turn();
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_OK);
    cr_expect_eq(call.op.events.len, 0);
    cr_expect_eq(store_double_count(STORE_OP_PAGE) - before, STORE_PARTITIONS, "no further page");
    gateway_events_clear(&call.op);
}

Test(event_pulls_types, end_a_call_that_takes_long_and_go_on_behind_what_it_passed_over)
{
    struct call call = {.op = {.types = EVENT_BIT(EVENT_ONLINE)}};
    (void)read_events(&call, "orders");
    write_large(14);
    store_double_hold(STORE_OP_PAGE);
    begin(&call, "orders", 20000);
    node_fixture_wait_ms(6000);
    store_double_release(STORE_OP_PAGE);
    turn();
    cr_expect_eq(call.n_answers, 1);
    cr_expect_eq(call.op.error, ERR_OK);
    cr_expect_eq(call.op.events.len, 0);
    gateway_events_clear(&call.op);
    call.op.types = ALL_TYPES;
    struct gateway_events *op = &call.op;
    op->has_ack = true;
    cr_assert_eq(event_cursor_read(span_of(call.cursor), &op->ack), ERR_OK);
    begin(&call, "orders", 0);
    unsigned n_left = 0;
    for (size_t i = 0; i + 13 < op->events.len; i++)
        n_left += memcmp(op->events.bytes + i, "client.message", 14) == 0;
    cr_expect_gt(n_left, 0);
    cr_expect_lt(n_left, 14);
    gateway_events_clear(op);
}
