/* What comes in on a WebSocket: data messages of a plain client are counted and dropped, unless
 * --client-messages takes them; those of a herald.v1 client are read; pings are answered; a pong
 * that brings the number of a ping measures the round trip and acknowledges, for a plain client,
 * all that was written before that ping. */
#include "gateway/session/session_read.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_message.h"
#include "gateway/session/session_rate.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_unanswered.h"
#include "gateway/session/session_write.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/put.h"
#include "proto/note/envelope.h"
#include "proto/ws/deflate.h"

enum { INFLATED_PER_READ_BYTES = 1 << 20 };

/* ---- acknowledgements ---- */

/* The number in a pong's payload; false: it is not a number. */
static bool read_number(struct span text, uint64_t *ret_number)
{
    return text.len <= PUT_NUMBER_MAX_BYTES && decimal_read(text, UINT64_MAX, ret_number);
}

/* What a ping carried, from its low bits: not above `sent`, and not as far below as they repeat. */
static uint64_t ping_number(const struct session *session, uint32_t low_bits)
{
    uint64_t sent = session_sent(session);
    return sent - (uint32_t)((uint32_t)sent - low_bits);
}

static void measure_round_trip(struct session *session)
{
    uint32_t round_trip_ms = session_clock(session) - session->ping_sent_ms;
    session->round_trip_ms =
        (uint16_t)(round_trip_ms < UINT16_MAX ? round_trip_ms : UINT16_MAX - 1);
}

/* Is it the number of a ping that has had no pong yet? Then that ping and those before it count as
 * answered. */
static bool matches_ping(struct session *session, uint64_t number)
{
    if (session->n_unmatched >= 1 && number == ping_number(session, session->reader.ping_number)) {
        session->n_unmatched = 0;
        measure_round_trip(session);
        return true;
    }
    if (session->n_unmatched == 2 &&
        number == ping_number(session, session->extra->incoming.ping_before)) {
        session->n_unmatched = 1;
        return true;
    }
    return false;
}

/* Any pong ends the wait for the ping under way, because there are clients that do not echo, and
 * they would never be pinged again. Only one that brings the number of a ping acknowledges. */
static void on_pong(struct session *session, struct span payload)
{
    uint64_t number;
    session->has_ping_out = false;
    if (session->wants_ping) /* written while that ping was under way */
        conn_mark(&session->conn);
    if (!read_number(payload, &number) || !matches_ping(session, number)) {
        metrics_count(METRIC_PONGS_UNMATCHED);
        return;
    }
    metrics_count(METRIC_PONGS);
    if (session->level != LEVEL_V1 && !session_ack(session, number))
        metrics_count(METRIC_BAD_ACKS); /* a ping never carries more than was written */
}

/* ---- herald.v1 ---- */

static void refuse_message(struct session *session, const char *code, const char *detail)
{
    const struct envelope_error told = {.code = code, .detail = detail};
    metrics_count(METRIC_BAD_MESSAGES);
    session_send_error(session, &told, false);
}

static void on_v1_ack(struct session *session, const struct envelope_message *message)
{
    if (!epoch_equal(message->epoch, session->client->epoch)) {
        metrics_count(METRIC_BAD_ACKS);
        refuse_message(session, "bad-ack", "the id is of another epoch");
    } else if (!session_ack(session, message->seq)) {
        metrics_count(METRIC_BAD_ACKS);
        refuse_message(session, "bad-ack", "a notification with that id was not sent here");
    }
}

static void on_v1_text(struct session *session, struct span text)
{
    struct envelope_message message;
    const char *code;
    const char *detail;
    enum err error = envelope_read(text, &message, &code, &detail);
    if (session->state == SESSION_AUTH && (error != ERR_OK || message.kind != ENVELOPE_AUTH)) {
        session_refuse_auth(session, ERR_UNAUTHORIZED, "auth must come first");
        return;
    }
    if (error != ERR_OK) {
        refuse_message(session, code, detail);
        return;
    }
    switch (message.kind) {
    case ENVELOPE_ACK:
        on_v1_ack(session, &message);
        break;
    case ENVELOPE_AUTH:
        session_on_auth(session, message.token);
        break;
    case ENVELOPE_PING:
        session_send_pong(session);
        break;
    case ENVELOPE_MESSAGE:
        session_on_message(session, &message);
        break;
    case ENVELOPE_UNKNOWN:
        metrics_count(METRIC_MESSAGES_IGNORED);
        break;
    }
}

/* The bytes of one read could inflate to a hundred times as many, and take this worker's time. So
 * at most INFLATED_PER_READ_BYTES of one read are inflated; a client that sends more is closed. In
 * the turn's budget for reading, inflated bytes count as read. */
static bool may_inflate(struct session *session)
{
    if (session_worker(session)->inflated_bytes < INFLATED_PER_READ_BYTES)
        return true;
    metrics_count(METRIC_LIMITED_INFLATED);
    session_close_with(session, ERR_RATE, SPAN_LITERAL("rate"), session_retry_ms(session));
    return false;
}

static void on_text(struct session *session, struct span text)
{
    if (session->level == LEVEL_V1)
        on_v1_text(session, text);
    else
        session_on_text(session, text);
}

static void on_compressed(struct session *session, struct span compressed)
{
    struct buf text;
    if (!may_inflate(session))
        return;
    size_t max = inflate_ceiling(compressed.len, (size_t)session_options(session)->max_message);
    buf_init(&text, SIZE_MAX); /* the inflater keeps to its ceiling */
    enum err error = inflater_message(session_worker(session)->inflater, compressed, max, &text);
    session_worker(session)->inflated_bytes += text.len;
    conn_count_read(&session->conn, text.len);
    if (error == ERR_OK && !utf8_is_valid(buf_span(&text)))
        error = ERR_BAD_UTF8;
    if (error == ERR_OK)
        on_text(session, buf_span(&text));
    else if (error == ERR_NO_MEMORY)
        session_give_up(session);
    else
        session_close(session, error);
    buf_fini(&text);
}

static void on_whole_text(struct session *session, const struct ws_event *event, struct span text)
{
    if (event->is_compressed)
        on_compressed(session, text);
    else
        on_text(session, text);
}

/* A message in one piece is read where it lies; its pieces are kept otherwise. The decoder has its
 * ceiling, so the buffer has none of its own. */
static void read_text(struct session *session, const struct ws_event *event)
{
    if (event->is_first && event->is_last) {
        on_whole_text(session, event, event->payload);
        return;
    }
    struct session_extra *extra = session_extra(session);
    if (extra == NULL || buf_append_span(&extra->incoming.message, event->payload) != ERR_OK) {
        session_give_up(session);
        return;
    }
    if (!event->is_last)
        return;
    struct buf *kept = &extra->incoming.message;
    on_whole_text(session, event, buf_span(kept));
    if (session_is_open(session))
        buf_clear(kept);
}

/* Of a message that began in another process, which has not kept its pieces, the rest is dropped as
 * well. */
static bool takes_text(struct session *session, const struct ws_event *event)
{
    bool is_torn = session->extra != NULL && session->extra->is_torn;
    if (is_torn && event->is_last)
        session->extra->is_torn = false;
    return !is_torn && session_takes_texts(session);
}

/* ---- frames ---- */

static void on_data(struct session *session, const struct ws_event *event)
{
    if (!session_is_open(session))
        return;
    if (event->opcode == WS_BINARY) {
        session_close(session, ERR_BINARY);
        return;
    }
    if (session->level == LEVEL_V1 || takes_text(session, event))
        read_text(session, event);
    else if (event->is_last)
        metrics_count(METRIC_CLIENT_MESSAGES);
}

static void on_ping(struct session *session, struct span payload)
{
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    session_say(session, SAY_ANSWER, frame, ws_control_write(WS_PONG, payload, frame));
}

static void on_peer_close(struct session *session, const struct ws_event *event)
{
    session->has_peer_close = true;
    if (session->state == SESSION_CLOSING) {
        if (conn_queued_bytes(&session->conn) == 0)
            session_finish(session);
        return;
    }
    metrics_count(METRIC_CLOSED_CLIENT);
    session_log(session, "session ended", "closed by the client");
    session_begin_closing(session, OFFLINE_CLOSED);
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    unsigned code = event->close_code == 1005 ? 0 : event->close_code;
    session_say(session, SAY_ONCE, frame, ws_close_write(code, SPAN_NONE, frame));
}

static void on_event(struct session *session, const struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_DATA:
        on_data(session, event);
        break;
    case WS_EVENT_PING:
        if (session_is_open(session))
            on_ping(session, event->payload);
        break;
    case WS_EVENT_PONG:
        if (session_is_open(session))
            on_pong(session, event->payload);
        break;
    case WS_EVENT_CLOSE:
        on_peer_close(session, event);
        break;
    case WS_EVENT_MALFORMED:
        session->is_deaf = true;
        session_close(session, event->error);
        /* Its close frame would not be recognised: FIN asks it to go. */
        conn_shutdown(&session->conn);
        break;
    case WS_EVENT_MORE:
        break;
    }
}

/* A message counts when it begins, and so does each empty piece of one, which could come for ever.
 */
static bool is_counted(const struct ws_event *event)
{
    return event->kind != WS_EVENT_DATA || event->is_first || event->payload.len == 0;
}

/* ---- what has begun must end ---- */

/* All that has come is read. The pieces of a message that never ends would stay in memory, as would
 * the bytes of a frame. A client that sends so fast that another message has begun each time this
 * is asked is not late. */
static void note_unfinished(struct session *session, bool is_unfinished)
{
    if (is_unfinished == session->is_unfinished || !session_is_open(session))
        return;
    struct session_extra *extra = is_unfinished ? session_extra(session) : NULL;
    if (is_unfinished && extra == NULL) {
        session_give_up(session);
        return;
    }
    session->is_unfinished = is_unfinished;
    if (!is_unfinished)
        return;
    extra->incoming.begun_ms = session_clock(session);
    session_set_timer(session);
}

/* ---- the decoder, which is kept while a message is under way ---- */

static struct ws_decoder take_decoder(const struct session *session)
{
    struct ws_decoder decoder;
    if (session->extra != NULL && ws_decoder_is_in_message(&session->extra->incoming.decoder))
        return session->extra->incoming.decoder;
    ws_decoder_init(&decoder, (uint32_t)session_options(session)->max_message);
    if (session->window_bits != 0)
        ws_decoder_allow_compressed(&decoder);
    return decoder;
}

static void keep_decoder(struct session *session, const struct ws_decoder *decoder)
{
    bool is_needed = ws_decoder_is_in_message(decoder);
    struct session_extra *extra = is_needed ? session_extra(session) : session->extra;
    if (extra != NULL)
        extra->incoming.decoder = *decoder;
    else if (is_needed)
        session_give_up(session);
}

static bool may_read_on(const struct session *session)
{
    return !session_is_identified(session) && !session_is_holding(session) && !session->is_deaf &&
           !session->is_resting && !session->has_peer_close && session->state != SESSION_CLOSED;
}

static size_t read_frames(struct session *session, uint8_t *bytes, size_t len)
{
    if (session_worker(session)->holds_messages && !session_is_holding(session))
        session_rest_while_held(session);
    struct ws_decoder decoder = take_decoder(session);
    size_t taken = 0;
    while (taken < len && may_read_on(session)) {
        struct ws_event event;
        taken += ws_decoder_next(&decoder, bytes + taken, len - taken, &event);
        if (event.kind == WS_EVENT_MORE)
            break;
        if (!ws_decoder_is_in_message(&decoder))
            session->is_unfinished = false;
        if (is_counted(&event))
            session_count_in(session, 1, 0);
        if (!session->is_deaf)
            on_event(session, &event);
    }
    keep_decoder(session, &decoder);
    if (may_read_on(session)) {
        note_unfinished(session, taken < len || ws_decoder_is_in_message(&decoder));
        return taken;
    }
    if (session_is_identified(session) || session_is_holding(session) || session->is_resting)
        return taken; /* the rest moves along, or waits for what is before it */
    return len;       /* what follows a close frame or an error is not looked at */
}

static void note_sign_of_life(struct session *session)
{
    session->heard_ms = session_clock(session);
    if (session->is_suspect) {
        session->is_suspect = false;
        session_set_timer(session);
    }
}

size_t session_on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    struct worker *worker = session_worker(session);
    worker->inflated_bytes = 0;
    worker->answering = session;
    if (session_is_holding(session))
        session_on_held_auth(session);
    else
        note_sign_of_life(session);
    /* There is nothing to say on an event stream. */
    size_t taken = session->level == LEVEL_SSE ? len : read_frames(session, bytes, len);
    worker->answering = NULL;
    session_count_in(session, 0, taken);
    if (session_is_open(session))
        session_trim(session);
    return taken;
}
