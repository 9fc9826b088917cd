/* A message is handed to node->take_message, which keeps it in the event log, and answers by a
 * letter to the session's worker. By then the session may have gone: it is found again by its user
 * and the number of its connection, or not at all. What was taken is kept in any case.
 *
 * A herald.v1 client hears of each message once: accepted, in the order of its messages, or an
 * error. A plain client hears nothing; the connection of one that says what is not taken ends,
 * because it could learn of it in no other way. */
#include "gateway/session/session_message.h"

#include "gateway/base/metrics.h"
#include "gateway/node/client_message.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_unanswered.h"
#include "gateway/session/session_write.h"
#include "proto/json/json_scan.h"
#include "proto/ws/handshake.h"

/* ---- what it is told ---- */

/* Why a message was not taken or not kept, as a herald.v1 client is told. */
static struct envelope_error error_of(enum err error, struct span raw_id)
{
    struct envelope_error told = {.raw_id = raw_id};
    switch (error) {
    case ERR_RATE:
        told.code = "rate";
        told.detail = "more messages than this server takes from a user in a second";
        break;
    case ERR_TOO_LARGE:
        told.code = "too-large";
        told.field = "data";
        told.detail = "data is longer than this server takes";
        break;
    case ERR_FULL:
        told.code = "store-unavailable";
        told.detail = "the events that no backend has read fill three quarters of their room";
        break;
    default:
        told.code = "store-unavailable";
        told.detail = "the message could not be kept: send it again later";
    }
    return told;
}

static void close_plain(struct session *session, enum err error)
{
    uint32_t retry_ms = session_retry_ms(session);
    if (error == ERR_RATE)
        session_close_with(session, ERR_RATE, SPAN_LITERAL("rate"), retry_ms);
    else if (error == ERR_TOO_LARGE)
        session_close(session, ERR_MESSAGE_TOO_LARGE);
    else
        session_close_with(session, ERR_STORE_UNAVAILABLE,
                           SPAN_LITERAL("a message could not be kept"), retry_ms);
}

static struct session *find_session(const struct client_message *message)
{
    const struct worker *worker = message->worker;
    const struct client *client = client_map_find(worker->node->map, message->said.user_id);
    if (client == NULL)
        return NULL;
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (session->id == message->said.connection)
            return session;
    }
    return NULL;
}

static void on_answer(const struct client_message *message, enum err error)
{
    struct span raw_id = message->said.client_id;
    struct session *session = find_session(message);
    message->worker->n_unanswered--;
    if (session == NULL)
        return;
    if (error == ERR_FORBIDDEN) {
        session_close(session, ERR_BLOCKED);
        return;
    }
    if (session->level != LEVEL_V1 && error != ERR_OK) {
        close_plain(session, error);
        return;
    }
    if (session->level == LEVEL_V1 && error == ERR_OK) {
        session_send_accepted(session, raw_id);
    } else if (error != ERR_OK) {
        struct envelope_error told = error_of(error, raw_id);
        metrics_count(METRIC_BAD_MESSAGES);
        session_send_error(session, &told, true);
    }
    session_count_answered(session);
}

/* ---- what it says ---- */

/* Until its first page has come nobody knows. What follows such a message while it has no answer
 * goes the same way, so that none overtakes another. */
static bool may_be_blocked(const struct session *session)
{
    const struct session_extra *extra = session->extra;
    return !session->reader.has_begun || (extra->may_be_blocked && extra->n_unanswered > 0);
}

static enum err take_message(struct session *session, struct span client_id, struct span data)
{
    struct worker *worker = session_worker(session);
    const struct client *client = session->client;
    if (session_extra(session) == NULL)
        return ERR_NO_MEMORY;
    session->extra->may_be_blocked = may_be_blocked(session);
    const struct client_message message = {
        .said =
            {
                .user_id = client_user_id(client),
                .connection = session->id,
                .level = handshake_level_word((enum handshake_level)session->level),
                .device = position_device(
                    client_position_numbered(session->client, session->reader.position_number)),
                .client_id = client_id,
                .data = data,
            },
        .may_be_blocked = session->extra->may_be_blocked,
        .worker = worker,
        .on_answer = on_answer,
    };
    enum err error = client_message_take(worker->node, &message);
    if (error == ERR_OK)
        session_count_unanswered(session);
    return error;
}

static void refuse_message(struct session *session, const struct envelope_error *told)
{
    metrics_count(METRIC_BAD_MESSAGES);
    session_send_error(session, told, false);
}

static bool is_well_formed(struct session *session, const struct envelope_message *message)
{
    struct envelope_error told = {.code = "bad-message", .raw_id = message->client_id};
    if (message->client_id.len == 0) {
        told.field = "id";
        told.detail = "id must be a string of 1 to 64 bytes";
    } else if (message->data.bytes == NULL) {
        told.field = "data";
        told.detail = "data is missing";
    } else {
        return true;
    }
    refuse_message(session, &told);
    return false;
}

void session_on_message(struct session *session, const struct envelope_message *message)
{
    if (session_worker(session)->node->take_message == NULL) {
        const struct envelope_error told = {.code = "not-taken",
                                            .raw_id = message->client_id,
                                            .detail = "this server takes no messages from clients"};
        metrics_count(METRIC_MESSAGES_NOT_TAKEN);
        refuse_message(session, &told);
        return;
    }
    if (!is_well_formed(session, message))
        return;
    enum err error = take_message(session, message->client_id, message->data);
    if (error != ERR_OK) {
        struct envelope_error told = error_of(error, message->client_id);
        refuse_message(session, &told);
    }
    session_rest_if_full(session);
}

bool session_takes_texts(const struct session *session)
{
    return session_worker(session)->node->takes_plain_messages;
}

/* The value without the white space around it. */
static bool read_json(struct span text, struct span *ret_data)
{
    struct json_scan scan;
    json_scan_init(&scan, text.len > 0 ? text : SPAN_LITERAL(""));
    json_scan_space(&scan);
    return json_scan_value(&scan, ret_data) && json_scan_end(&scan);
}

void session_on_text(struct session *session, struct span text)
{
    struct span data;
    if (!read_json(text, &data)) {
        session_close(session, ERR_NOT_JSON);
        return;
    }
    enum err error = take_message(session, SPAN_NONE, data);
    if (error != ERR_OK)
        close_plain(session, error);
    else
        session_rest_if_full(session);
}
