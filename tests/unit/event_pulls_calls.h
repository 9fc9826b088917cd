/* Steps of the tests of GET /events: events that are written on the fixture's node, and calls that
 * read them from its memory store. */
#ifndef HERALD_TESTS_EVENT_PULLS_CALLS_H
#define HERALD_TESTS_EVENT_PULLS_CALLS_H

#include "gateway/events/event_log.h"
#include "gateway/events/event_pulls.h"
#include "gateway/events/event_requests.h"
#include "gateway/events/event_resets.h"
#include "gateway/events/events.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALL_TYPES = EVENT_BIT(EVENT_TYPES) - 1 };

static char *kept[] = {"user.online", "client.message"};

static inline void set_up(void)
{
    char why[200] = "";
    node_fixture_start();
    store_double_start();
    fixture.options.events = (struct option_list){kept, 2};
    fixture.options.events_max = 6250;
    fixture.options.events_max_bytes = 16 << 20;
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK);
    events_start(&fixture.node);
}

static inline void tear_down(void)
{
    node_fixture_turn();
    cr_expect_eq(atomic_load(&fixture.node.waits.n_readers), 0);
    events_stop(&fixture.node);
    node_fixture_stop();
    events_free(fixture.node.events);
    fixture.node.events = NULL;
}

/* What takes many steps, each with an answer of the store. */
static inline void turn(void)
{
    for (unsigned i = 0; i < 10; i++)
        node_fixture_turn();
}

/* ---- writing and reading ---- */

struct said {
    struct event_append append;
    char data[200];
    bool is_done;
};

static inline void on_said(struct event_append *append)
{
    struct said *said = CONTAINER_OF(append, struct said, append);
    cr_expect_eq(append->error, ERR_OK);
    free(said);
}

static inline void write_event(const char *type, const char *user_id, unsigned number)
{
    struct said *said = calloc(1, sizeof *said);
    snprintf(said->data, sizeof said->data, "{\"type\":\"%s\",\"userId\":\"%s\",\"data\":%u}", type,
             user_id, number);
    said->append = (struct event_append){
        .on_done = on_said, .user_id = span_of(user_id), .data = span_of(said->data)};
    cr_assert_eq(event_log_append(fixture.node.events->log, &said->append), ERR_OK);
    turn();
}

struct call {
    struct gateway_events op;
    unsigned n_answers;
    char cursor[EVENT_CURSOR_MAX_BYTES]; /* of its last answer */
};

static inline void on_answer(struct gateway_events *op)
{
    struct call *call = CONTAINER_OF(op, struct call, op);
    call->n_answers++;
    if (op->error == ERR_OK)
        memcpy(call->cursor, op->cursor, sizeof call->cursor);
}

static inline void begin(struct call *call, const char *consumer, uint32_t wait_ms)
{
    call->op.on_done = on_answer;
    call->op.consumer = span_of(consumer);
    call->op.limit = call->op.limit == 0 ? 100 : call->op.limit;
    call->op.types = call->op.types == 0 ? ALL_TYPES : call->op.types;
    call->op.wait_ms = wait_ms;
    call->n_answers = 0;
    gateway_events(&fixture.node, &call->op);
    turn();
}

/* The answer's events, as text; "" without one. */
static inline const char *read_events(struct call *call, const char *consumer)
{
    static char text[100000];
    begin(call, consumer, 0);
    cr_assert_eq(call->n_answers, 1);
    cr_assert_eq(call->op.error, ERR_OK, "%d", (int)call->op.error);
    snprintf(text, sizeof text, "%.*s", (int)call->op.events.len,
             call->op.events.len > 0 ? call->op.events.bytes : "");
    gateway_events_clear(&call->op);
    return text;
}

static inline const char *read_on(struct call *call, const char *consumer)
{
    call->op.has_ack = true;
    cr_assert_eq(event_cursor_read(span_of(call->cursor), &call->op.ack), ERR_OK);
    return read_events(call, consumer);
}

static inline unsigned count_in(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

#endif
