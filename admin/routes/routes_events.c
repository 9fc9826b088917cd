/* What backends read of the event log: GET /events, POST /events/ack, and the consumers.
 *
 * The happy path: a route checks the query or the body, asks the event log with a struct of
 * event_requests.h, and writes the answer once on_done has run. The failures: a bad field is
 * refused before the log is asked, as is the cursor of another consumer; an error of the log is a
 * problem; an answer for which the memory budget has no room is refused as busy, and nothing is
 * lost by it, because the same call answers the same events. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/events/event_requests.h"
#include "proto/json/json_members.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char name_detail[] = "consumer must be 1 to 64 of A-Z, a-z, 0-9, dot, _ and -";
static const char cursor_detail[] = "must be the cursor of an answer of GET /events, whole";
static const char other_detail[] = "the cursor is another consumer's";

static void refuse_events(struct request *request, enum err error, const char *detail)
{
    bool keeps_none = error == ERR_CONFLICT && detail == NULL;
    request_refuse_with(request, error, NULL,
                        keeps_none ? "this server keeps no events: see --events" : detail);
}

static void refuse_field(struct request *request, const char *field, const char *detail)
{
    request_refuse_with(request, ERR_INVALID_FIELD, field, detail);
}

/* ---- GET /events ---- */

enum { LIMIT_DEFAULT = 100, TYPES_MAX_BYTES = 256 };

struct events_call {
    struct request request;
    struct gateway_events op;
    char consumer[EVENT_CONSUMER_MAX_BYTES + 1];
    bool is_waiting; /* counted in its key's account */
};

static struct events_call *call_of(struct request *request)
{
    return CONTAINER_OF(request, struct events_call, request);
}

static void on_events_done(struct gateway_events *events)
{
    request_done(&CONTAINER_OF(events, struct events_call, op)->request);
}

static bool read_consumer(struct request *request)
{
    struct events_call *call = call_of(request);
    enum err error = request_query(request, "consumer", call->consumer, sizeof call->consumer);
    call->op.consumer = span_of(call->consumer);
    if (error == ERR_OK && event_consumer_is_valid(call->op.consumer))
        return true;
    refuse_field(request, "consumer", name_detail);
    return false;
}

/* A number of seconds, also with a fraction, as the wait of a push. */
static bool read_wait(struct request *request, uint32_t *ret_wait_ms)
{
    char text[32];
    char *end = text;
    double seconds = -1;
    enum err error = request_query(request, "wait", text, sizeof text);
    *ret_wait_ms = 0;
    if (error == ERR_NOT_FOUND)
        return true;
    if (error == ERR_OK && text[0] >= '0' && text[0] <= '9' && strpbrk(text, "xX") == NULL)
        seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds * 1000 <= EVENTS_MAX_WAIT_MS)) {
        refuse_field(request, "wait", "wait must be a number of seconds, 0..30");
        return false;
    }
    *ret_wait_ms = (uint32_t)(seconds * 1000 + 0.5);
    return true;
}

static bool add_type(struct request *request, struct span text, unsigned *inout_types)
{
    enum event_type type;
    char detail[200];
    if (event_type_find(text, &type)) {
        *inout_types |= EVENT_BIT(type);
        return true;
    }
    snprintf(detail, sizeof detail, "%.*s is no type of events; %s",
             (int)(text.len < 64 ? text.len : 64), text.bytes, event_type_hint(text));
    refuse_field(request, "types", detail);
    return false;
}

/* Names with commas between them; without the parameter all types. */
static bool read_types(struct request *request, unsigned *ret_types)
{
    char text[TYPES_MAX_BYTES];
    enum err error = request_query(request, "types", text, sizeof text);
    *ret_types = error == ERR_NOT_FOUND ? EVENT_BIT(EVENT_TYPES) - 1 : 0;
    if (error == ERR_NOT_FOUND)
        return true;
    if (error != ERR_OK) {
        refuse_field(request, "types", "types must be names of types with commas between them");
        return false;
    }
    char *rest = text;
    for (char *name = strsep(&rest, ","); name != NULL; name = strsep(&rest, ",")) {
        if (!add_type(request, span_of(name), ret_types))
            return false;
    }
    return true;
}

static bool read_from(struct request *request, bool *ret_from_now)
{
    char text[16] = "earliest";
    enum err error = request_query(request, "from", text, sizeof text);
    *ret_from_now = strcmp(text, "now") == 0;
    if (error == ERR_NOT_FOUND ||
        (error == ERR_OK && (*ret_from_now || strcmp(text, "earliest") == 0)))
        return true;
    refuse_field(request, "from", "from must be now or earliest");
    return false;
}

static bool take_cursor(struct request *request, const char *field, struct span text,
                        struct span consumer, struct event_cursor *ret_cursor)
{
    char detail[96];
    if (event_cursor_read(text, ret_cursor) != ERR_OK) {
        snprintf(detail, sizeof detail, "%s %s", field, cursor_detail);
        refuse_field(request, field, detail);
        return false;
    }
    if (span_equal((struct span){ret_cursor->consumer, ret_cursor->consumer_len}, consumer))
        return true;
    request_refuse_with(request, ERR_CONFLICT, field, other_detail);
    return false;
}

static bool read_ack(struct request *request, struct gateway_events *op)
{
    char text[EVENT_CURSOR_MAX_BYTES];
    enum err error = request_query(request, "ack", text, sizeof text);
    op->has_ack = error != ERR_NOT_FOUND;
    if (!op->has_ack)
        return true;
    struct span cursor = error == ERR_OK ? span_of(text) : SPAN_NONE;
    return take_cursor(request, "ack", cursor, op->consumer, &op->ack);
}

static void give_up_events(struct request *request)
{
    gateway_events_give_up(request->service->node, &call_of(request)->op);
}

/* One whose key has too many that wait already is answered without waiting. */
static void begin_wait(struct request *request, uint32_t wait_ms)
{
    struct events_call *call = call_of(request);
    unsigned most = access_is_shared(&request->home->view) ? WAITS_MAX / 2 : WAITS_MAX;
    if (wait_ms == 0)
        return;
    if (atomic_fetch_add(&request->account->n_waiting, 1) >= most) {
        atomic_fetch_sub(&request->account->n_waiting, 1);
        return;
    }
    call->is_waiting = true;
    call->op.wait_ms = wait_ms;
    request->wait_ms = wait_ms;
    request->give_up = give_up_events;
}

static void run_events(struct request *request)
{
    struct gateway_events *op = &call_of(request)->op;
    uint64_t limit = LIMIT_DEFAULT;
    uint32_t wait_ms;
    if (!read_consumer(request) ||
        !request_query_number(request, "limit", 1, EVENTS_LIMIT_MAX, &limit) ||
        !read_wait(request, &wait_ms) || !read_types(request, &op->types) ||
        !read_from(request, &op->from_now) || !read_ack(request, op))
        return;
    op->limit = (uint32_t)limit;
    op->on_done = on_events_done;
    begin_wait(request, wait_ms);
    request_hand_over(request);
    gateway_events(request->service->node, op);
}

static void finish_events(struct request *request)
{
    struct events_call *call = call_of(request);
    struct gateway_events *op = &call->op;
    struct json_out *out = &request->out;
    if (op->error != ERR_OK) {
        refuse_events(request, op->error, op->detail[0] == '\0' ? NULL : op->detail);
        return;
    }
    if (!request_charge(request, op->events.len + sizeof op->cursor)) {
        request_refuse_with(request, ERR_BUSY, NULL, "too many large requests at once");
        return;
    }
    json_out_text(out, "{\"events\":[");
    json_out_raw(out, buf_span(&op->events));
    json_out_printf(out, "],\"cursor\":\"");
    json_out_text(out, op->cursor);
    json_out_text(out, "\"}");
    buf_clear(&op->events);
    request_reply(request, 200);
}

static void end_events(struct request *request)
{
    struct events_call *call = call_of(request);
    if (call->is_waiting)
        atomic_fetch_sub(&request->account->n_waiting, 1);
    gateway_events_clear(&call->op);
}

const struct route_action events_action = {.request_bytes = sizeof(struct events_call),
                                           .run = run_events,
                                           .finish = finish_events,
                                           .end = end_events};

/* ---- POST /events/ack ---- */

struct ack_call {
    struct request request;
    struct gateway_event_ack op;
};

static void on_ack_done(struct gateway_event_ack *ack)
{
    request_done(&CONTAINER_OF(ack, struct ack_call, op)->request);
}

/* false: the request is refused. */
static bool take_text(struct request *request, const char *field, struct span raw, char *out,
                      size_t cap, struct span *ret_text)
{
    struct json_problem bad;
    size_t len = 0;
    if (raw.bytes == NULL || !json_is_string(raw)) {
        char detail[64];
        snprintf(detail, sizeof detail, raw.bytes == NULL ? "%s is missing" : "%s must be a string",
                 field);
        refuse_field(request, field, detail);
        return false;
    }
    if (json_decode(buf_span(&request->body), raw, out, cap, &len, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return false;
    }
    *ret_text = len <= cap ? (struct span){out, len} : SPAN_NONE;
    return true;
}

static void run_ack(struct request *request)
{
    static const char *const names[] = {"consumer", "cursor", NULL};
    struct gateway_event_ack *op = &CONTAINER_OF(request, struct ack_call, request)->op;
    struct json_members members = {.names = names};
    struct json_problem bad;
    char consumer[EVENT_CONSUMER_MAX_BYTES];
    char cursor[EVENT_CURSOR_MAX_BYTES];
    struct span name;
    struct span text;
    if (json_members_scan(buf_span(&request->body), &members, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    if (!take_text(request, "consumer", members.raw[0], consumer, sizeof consumer, &name))
        return;
    if (!event_consumer_is_valid(name)) {
        refuse_field(request, "consumer", name_detail);
        return;
    }
    if (!take_text(request, "cursor", members.raw[1], cursor, sizeof cursor, &text) ||
        !take_cursor(request, "cursor", text, name, &op->cursor))
        return;
    op->on_done = on_ack_done;
    request_hand_over(request);
    gateway_event_ack(request->service->node, op);
}

static void refuse_unknown(struct request *request, enum err error)
{
    refuse_events(request, error,
                  error == ERR_NOT_FOUND ? "there is no such consumer: see GET /events/consumers"
                                         : NULL);
}

static void finish_ack(struct request *request)
{
    const struct gateway_event_ack *op = &CONTAINER_OF(request, struct ack_call, request)->op;
    struct json_out *out = &request->out;
    if (op->error != ERR_OK) {
        refuse_unknown(request, op->error);
        return;
    }
    json_out_text(out, "{\"consumer\":");
    json_out_string(out, (struct span){op->cursor.consumer, op->cursor.consumer_len});
    json_out_printf(out, ",\"lag\":%" PRIu64 "}", op->lag);
    request_reply(request, 200);
}

const struct route_action event_ack_action = {
    .request_bytes = sizeof(struct ack_call), .run = run_ack, .finish = finish_ack};

/* ---- GET /events/consumers ---- */

/* Too large for the struct of a request, which every request is allocated with (admin/route.h). */
struct consumers_work {
    struct gateway_event_consumers op;
    struct request *request;
};

struct consumers_call {
    struct request request;
    struct consumers_work *work;
};

static struct consumers_call *consumers_of(struct request *request)
{
    return CONTAINER_OF(request, struct consumers_call, request);
}

static void on_consumers_done(struct gateway_event_consumers *consumers)
{
    request_done(CONTAINER_OF(consumers, struct consumers_work, op)->request);
}

static void run_consumers(struct request *request)
{
    struct consumers_work *work = calloc(1, sizeof *work);
    consumers_of(request)->work = work;
    if (work == NULL) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    work->request = request;
    work->op.on_done = on_consumers_done;
    request_hand_over(request);
    gateway_event_consumers(request->service->node, &work->op);
}

static void write_consumers(struct json_out *out, const struct gateway_event_consumers *op,
                            bool are_webhooks)
{
    bool is_first = true;
    for (size_t i = 0; i < op->n; i++) {
        const struct gateway_event_consumer *listed = &op->list[i];
        if (listed->is_webhook != are_webhooks)
            continue;
        json_out_text(out, is_first ? "{\"name\":" : ",{\"name\":");
        json_out_string(out, span_of(listed->name));
        json_out_printf(
            out, ",\"lag\":%" PRIu64 ",\"lagSeconds\":%" PRId64 ".%03d,\"lastCall\":%" PRId64,
            listed->lag, listed->lag_ms / 1000, (int)(listed->lag_ms % 1000), listed->called_ms);
        if (are_webhooks)
            json_out_text(out, listed->is_in_file ? ",\"inFile\":true" : ",\"inFile\":false");
        json_out_text(out, "}");
        is_first = false;
    }
}

static void finish_consumers(struct request *request)
{
    const struct gateway_event_consumers *op = &consumers_of(request)->work->op;
    struct json_out *out = &request->out;
    if (op->error != ERR_OK) {
        refuse_events(request, op->error, NULL);
        return;
    }
    json_out_text(out, "{\"consumers\":[");
    write_consumers(out, op, false);
    json_out_text(out, "],\"webhooks\":[");
    write_consumers(out, op, true);
    json_out_text(out, "]}");
    request_reply(request, 200);
}

static void end_consumers(struct request *request)
{
    free(consumers_of(request)->work);
}

const struct route_action event_consumers_action = {.request_bytes = sizeof(struct consumers_call),
                                                    .run = run_consumers,
                                                    .finish = finish_consumers,
                                                    .end = end_consumers};

/* ---- DELETE /events/consumers/NAME ---- */

struct forget_call {
    struct request request;
    struct gateway_event_forget op;
    char consumer[EVENT_CONSUMER_MAX_BYTES];
};

static void on_forget_done(struct gateway_event_forget *forget)
{
    request_done(&CONTAINER_OF(forget, struct forget_call, op)->request);
}

static void run_forget(struct request *request)
{
    struct forget_call *call = CONTAINER_OF(request, struct forget_call, request);
    struct gateway_event_forget *op = &call->op;
    if (!request_path_name(request, call->consumer, sizeof call->consumer, &op->consumer) ||
        !event_consumer_is_valid(op->consumer)) {
        refuse_field(request, "consumer", name_detail);
        return;
    }
    op->on_done = on_forget_done;
    request_hand_over(request);
    gateway_event_forget(request->service->node, op);
}

static void finish_forget(struct request *request)
{
    const struct gateway_event_forget *op = &CONTAINER_OF(request, struct forget_call, request)->op;
    struct json_out *out = &request->out;
    if (op->error == ERR_CONFLICT && op->is_in_use) {
        refuse_events(request, ERR_CONFLICT,
                      "a node has this webhook in its file, or had it 25 s ago: take its line out");
        return;
    }
    if (op->error != ERR_OK) {
        refuse_unknown(request, op->error);
        return;
    }
    json_out_text(out, "{\"consumer\":");
    json_out_string(out, op->consumer);
    json_out_printf(out, ",\"unread\":%" PRIu64 "}", op->unread);
    request_reply(request, 200);
}

const struct route_action event_forget_action = {
    .request_bytes = sizeof(struct forget_call), .run = run_forget, .finish = finish_forget};
