/* The inbox of a user, and the state of one notification (CONTRACT section 3).
 *
 * The happy path: a route checks the address, asks the gateway with a struct of requests.h, and
 * writes the answer once on_done has run. The failures: a bad address is refused before the gateway
 * is asked, an error of the gateway is answered as a problem, and a page for which the memory
 * budget has no room is refused as busy. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"

#include <inttypes.h>
#include <stdio.h>

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 };

/* A page ends with the notification that reaches this size: 1000 of them could be 64 MiB. */
static const size_t page_max_bytes = (size_t)4 << 20;

/* GET /users/ID/inbox */

struct inbox_call {
    struct request request;
    struct gateway_inbox op;
};

static struct gateway_inbox *inbox_op_of(struct request *request)
{
    return &CONTAINER_OF(request, struct inbox_call, request)->op;
}

static void on_inbox_done(struct gateway_inbox *inbox)
{
    request_done(&CONTAINER_OF(inbox, struct inbox_call, op)->request);
}

static void run_inbox(struct request *request)
{
    struct gateway_inbox *op = inbox_op_of(request);
    uint64_t limit = PAGE_DEFAULT;
    if (!request_path_user(request, &op->user_id) ||
        !request_query_number(request, "after", 0, UINT64_MAX, &op->after) ||
        !request_query_number(request, "limit", 1, PAGE_MAX, &limit))
        return;
    op->limit = (uint32_t)limit;
    op->on_done = on_inbox_done;
    request_hand_over(request);
    gateway_inbox(request->service->node, op);
}

static void write_note(struct json_out *out, const struct notification *note)
{
    char id[MESSAGE_ID_MAX_BYTES];
    struct span key = payload_key(note->payload);
    message_id_write(note->epoch, note->seq, id);
    json_out_printf(out,
                    "{\"id\":\"%s\",\"seq\":%" PRIu64 ",\"time\":%" PRId64 ",\"expires\":%" PRId64
                    ",\"collapseKey\":",
                    id, note->seq, note->time_ms, note->expires_ms);
    if (key.len == 0)
        json_out_text(out, "null");
    else
        json_out_string(out, key);
    json_out_text(out, ",\"data\":");
    json_out_raw(out, payload_data(note->payload));
    json_out_text(out, "}");
}

/* Returns the `after` of the next page; 0: this is the last page. */
static uint64_t write_notes(struct json_out *out, const struct gateway_inbox *inbox)
{
    size_t begin = out->buf.len;
    for (size_t i = 0; i < inbox->n_notes; i++) {
        json_out_text(out, i == 0 ? "" : ",");
        write_note(out, inbox->notes[i]);
        if (out->buf.len - begin >= page_max_bytes && i + 1 < inbox->n_notes)
            return inbox->notes[i]->seq;
    }
    return inbox->next;
}

static void finish_inbox(struct request *request)
{
    const struct gateway_inbox *inbox = inbox_op_of(request);
    struct json_out *out = &request->out;
    if (inbox->error != ERR_OK) {
        request_refuse_with(request, inbox->error, NULL, NULL);
        return;
    }
    json_out_text(out, "{\"userId\":");
    json_out_string(out, inbox->user_id);
    json_out_text(out, ",\"epoch\":");
    if (epoch_is_none(inbox->epoch))
        json_out_text(out, "null");
    else
        json_out_string(out, (struct span){inbox->epoch.text, EPOCH_LEN});
    json_out_printf(out, ",\"head\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"notifications\":[",
                    inbox->head, inbox->acked);
    uint64_t next = write_notes(out, inbox);
    json_out_text(out, "],\"next\":");
    if (next == 0)
        json_out_text(out, "null}");
    else
        json_out_printf(out, "%" PRIu64 "}", next);
    if (request_charge(request, out->buf.cap))
        request_reply(request, 200);
    else
        request_refuse_with(request, ERR_BUSY, NULL, "too many large requests at once");
}

static void end_inbox(struct request *request)
{
    gateway_inbox_clear(inbox_op_of(request));
}

const struct route_action inbox_action = {.request_bytes = sizeof(struct inbox_call),
                                          .run = run_inbox,
                                          .finish = finish_inbox,
                                          .end = end_inbox};

/* DELETE /users/ID/inbox */

struct purge_call {
    struct request request;
    struct gateway_purge op;
};

static void on_purge_done(struct gateway_purge *purge)
{
    request_done(&CONTAINER_OF(purge, struct purge_call, op)->request);
}

static void run_purge(struct request *request)
{
    struct gateway_purge *op = &CONTAINER_OF(request, struct purge_call, request)->op;
    if (!request_path_user(request, &op->user_id))
        return;
    op->on_done = on_purge_done;
    request_hand_over(request);
    gateway_purge(request->service->node, op);
}

static void finish_purge(struct request *request)
{
    const struct gateway_purge *purge = &CONTAINER_OF(request, struct purge_call, request)->op;
    if (purge->error != ERR_OK) {
        request_refuse_with(request, purge->error, NULL, NULL);
        return;
    }
    json_out_printf(&request->out, "{\"purged\":%" PRIu64 "}", purge->purged);
    request_reply(request, 200);
}

const struct route_action purge_action = {
    .request_bytes = sizeof(struct purge_call), .run = run_purge, .finish = finish_purge};

/* GET /users/ID/messages/MSGID */

struct message_call {
    struct request request;
    struct gateway_message op;
};

static void on_message_done(struct gateway_message *message)
{
    request_done(&CONTAINER_OF(message, struct message_call, op)->request);
}

static void run_message(struct request *request)
{
    struct gateway_message *op = &CONTAINER_OF(request, struct message_call, request)->op;
    if (!request_path_user(request, &op->user_id) ||
        !request_path_message(request, &op->epoch, &op->seq))
        return;
    op->on_done = on_message_done;
    request_hand_over(request);
    gateway_message(request->service->node, op);
}

static void refuse_message(struct request *request, enum err error)
{
    request_refuse_with(request, error, NULL,
                        error == ERR_NOT_FOUND ? "the user has never had a notification of that id"
                                               : NULL);
}

static void write_status(struct request *request, struct epoch epoch, uint64_t seq,
                         const char *status)
{
    char id[MESSAGE_ID_MAX_BYTES];
    message_id_write(epoch, seq, id);
    json_out_printf(&request->out, "{\"id\":\"%s\",\"status\":\"%s\"", id, status);
}

static void finish_message(struct request *request)
{
    static const char *const status[] = {
        [GATEWAY_PENDING] = "pending", [GATEWAY_DELIVERED] = "delivered", [GATEWAY_GONE] = "gone"};
    const struct gateway_message *op = &CONTAINER_OF(request, struct message_call, request)->op;
    if (op->error != ERR_OK) {
        refuse_message(request, op->error);
        return;
    }
    write_status(request, op->epoch, op->seq, status[op->fate]);
    if (op->fate == GATEWAY_GONE)
        json_out_printf(&request->out, ",\"cause\":\"%s\"", gap_cause_text(op->cause));
    json_out_text(&request->out, "}");
    request_reply(request, 200);
}

const struct route_action message_action = {
    .request_bytes = sizeof(struct message_call), .run = run_message, .finish = finish_message};

/* DELETE /users/ID/messages/MSGID */

struct cancel_call {
    struct request request;
    struct gateway_cancel op;
};

static void on_cancel_done(struct gateway_cancel *cancel)
{
    request_done(&CONTAINER_OF(cancel, struct cancel_call, op)->request);
}

static void run_cancel(struct request *request)
{
    struct gateway_cancel *op = &CONTAINER_OF(request, struct cancel_call, request)->op;
    if (!request_path_user(request, &op->user_id) ||
        !request_path_message(request, &op->epoch, &op->seq))
        return;
    op->on_done = on_cancel_done;
    request_hand_over(request);
    gateway_cancel(request->service->node, op);
}

static void finish_cancel(struct request *request)
{
    const struct gateway_cancel *op = &CONTAINER_OF(request, struct cancel_call, request)->op;
    char detail[80];
    if (op->error != ERR_OK) {
        refuse_message(request, op->error);
        return;
    }
    switch (op->fate) {
    case GATEWAY_DELIVERED:
        request_refuse_with(request, ERR_CONFLICT, NULL, "it was delivered");
        return;
    case GATEWAY_GONE:
        snprintf(detail, sizeof detail, "it has left the inbox already: %s",
                 gap_cause_text(op->cause));
        request_refuse_with(request, ERR_NOT_FOUND, NULL, detail);
        return;
    case GATEWAY_PENDING:
        break;
    }
    write_status(request, op->epoch, op->seq, "cancelled");
    json_out_printf(&request->out, ",\"written\":%s}", op->is_written ? "true" : "false");
    request_reply(request, 200);
}

const struct route_action cancel_action = {
    .request_bytes = sizeof(struct cancel_call), .run = run_cancel, .finish = finish_cancel};
