/* What goes out. A notification is given to the connection at once while little waits there.
 * Otherwise it waits in the session's backlog, where it can still expire or be withdrawn, until the
 * socket takes more (TCP_NOTSENT_LOWAT keeps small what the kernel holds unsent). Backlog and
 * connection together hold at most --session-max-bytes; beyond that the session goes back to
 * reading the inbox.
 *
 * The reader's tail is the last number that was accepted, session_sent the last one that was given
 * to the connection: the same, unless there is a backlog. A plain WebSocket is pinged after each
 * notification, in the same write, unless a ping is under way.
 *
 * Numbers that the client must hide wait in the backlog as well, as a range. */
#include "gateway/session/session_write.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_say.h"
#include "proto/bytes/put.h"
#include "proto/note/envelope.h"
#include "proto/note/notification_forms.h"
#include "proto/note/sse.h"
#include "proto/ws/deflate.h"

#include <assert.h>

enum { TEXT_MAX_BYTES = 4096 };

/* ---- pings ---- */

/* Without memory the ping before it is forgotten, and its pong does not match. */
static void note_ping(struct session *session)
{
    struct session_extra *extra = session->n_unmatched == 0 ? NULL : session_extra(session);
    if (extra != NULL)
        extra->incoming.ping_before = session->reader.ping_number;
    session->n_unmatched = extra == NULL ? 1 : 2;
    session->reader.ping_number = (uint32_t)session_sent(session);
    session->ping_sent_ms = session_clock(session);
}

bool session_send_ping(struct session *session)
{
    char number[PUT_NUMBER_MAX_BYTES];
    size_t len = (size_t)(put_number(number, session_sent(session)) - number);
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    size_t n = ws_control_write(WS_PING, (struct span){number, len}, frame);
    if (!session_say(session, SAY_SIGN, frame, n))
        return false;
    session->has_ping_out = true;
    session->wants_ping = false;
    note_ping(session);
    metrics_count(METRIC_PINGS);
    return true;
}

/* ---- herald.v1 and SSE: what is said about notifications ---- */

/* Sends what `write` put into the buffer; out of memory ends the session. */
static void send_message(struct session *session, enum say why, struct buf *text, enum err error)
{
    if (error != ERR_OK)
        session_give_up(session);
    else if (session->level == LEVEL_SSE)
        session_say(session, why, text->bytes, text->len);
    else
        session_say_text(session, why, buf_span(text));
    buf_fini(text);
}

static void send_gap(struct session *session, enum say why, const struct gap *gap)
{
    struct buf text;
    if (!session_has_gaps(session))
        return;
    metrics_count(METRIC_GAPS);
    buf_init(&text, TEXT_MAX_BYTES);
    struct epoch epoch = session->client->epoch;
    enum err error =
        session->level == LEVEL_SSE ? sse_gap(&text, epoch, gap) : envelope_gap(&text, epoch, gap);
    send_message(session, why, &text, error);
}

static void send_cancel(struct session *session, uint64_t seq)
{
    struct buf text;
    metrics_count(METRIC_CANCELS_TOLD);
    buf_init(&text, TEXT_MAX_BYTES);
    struct epoch epoch = session->client->epoch;
    enum err error = session->level == LEVEL_SSE ? sse_cancel(&text, epoch, seq)
                                                 : envelope_cancel(&text, epoch, seq);
    send_message(session, SAY_INBOX, &text, error);
}

void session_send_goaway(struct session *session, uint32_t delay_ms, const char *reason)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    send_message(session, SAY_SIGN, &text, envelope_goaway(&text, delay_ms, reason));
}

void session_send_stay(struct session *session)
{
    struct buf text;
    buf_init(&text, WS_CONTROL_MAX_BYTES);
    send_message(session, SAY_SIGN, &text, envelope_stay(&text));
}

void session_send_error(struct session *session, const struct envelope_error *told, bool is_owed)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    send_message(session, is_owed ? SAY_OWED : SAY_ANSWER, &text, envelope_error(&text, told));
}

void session_send_accepted(struct session *session, struct span raw_id)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    send_message(session, SAY_OWED, &text, envelope_accepted(&text, raw_id));
}

void session_send_pong(struct session *session)
{
    struct buf text;
    buf_init(&text, WS_CONTROL_MAX_BYTES);
    send_message(session, SAY_ANSWER, &text, envelope_pong(&text));
}

static enum err write_hello(struct session *session, struct buf *text, uint64_t head,
                            bool is_resumed)
{
    char connection[SESSION_NAME_MAX_BYTES];
    size_t len = session_name(session, connection);
    struct envelope_hello hello = {
        .connection = {connection, len},
        .user_id = client_user_id(session->client),
        .epoch = session->client->epoch,
        .acked = reader_tail(&session->reader),
        .head = head,
        .is_resumed = is_resumed,
        .ping_interval_ms = session_options(session)->ping_interval,
    };
    return envelope_hello(text, &hello);
}

void session_greet(struct session *session, uint64_t head, bool is_resumed)
{
    struct buf text;
    if (!session_has_gaps(session))
        return;
    buf_init(&text, TEXT_MAX_BYTES);
    enum err error = session->level == LEVEL_SSE
                         ? sse_begin(&text, session_retry_ms(session), session->client->epoch,
                                     reader_tail(&session->reader))
                         : write_hello(session, &text, head, is_resumed);
    send_message(session, SAY_ONCE, &text, error);
}

/* ---- notifications ---- */

static enum notification_form form_of(const struct session *session)
{
    if (session->level == LEVEL_V1)
        return FORM_V1;
    return session->level == LEVEL_SSE ? FORM_SSE : FORM_PLAIN;
}

/* The bytes for this session: compressed where that was agreed, is worth it and fits its window. */
static struct payload *payload_for(struct session *session, struct notification *note)
{
    struct payload *whole = notification_form(note, form_of(session));
    if (whole == NULL || whole->len < DEFLATE_MIN_BYTES ||
        !deflate_fits(session->window_bits, whole->len))
        return whole;
    struct payload *small =
        notification_compressed(note, form_of(session), session_worker(session)->deflater);
    if (small == NULL)
        return whole;
    metrics_add(METRIC_BYTES_SAVED, payload_frame(whole).len - payload_frame(small).len);
    return small;
}

/* Without a backlog it is the tail, which the caller moves. */
static void note_sent(struct session *session, uint64_t seq)
{
    struct backlog *backlog = session_backlog(session);
    if (backlog != NULL)
        backlog->sent = seq;
}

static enum err write_note(struct session *session, struct notification *note)
{
    struct payload *payload = payload_for(session, note);
    enum err error = payload == NULL ? ERR_NO_MEMORY : session_say_payload(session, payload);
    if (error != ERR_OK) {
        session_give_up(session);
        return error;
    }
    if (note->seq != 0) {
        note_sent(session, note->seq);
        session->wants_ping = session->level <= LEVEL_PLAIN_NAMED;
    }
    return ERR_OK;
}

static void write_inbox_gap(struct session *session, const struct gap *gap)
{
    send_gap(session, SAY_INBOX, gap);
    note_sent(session, gap->to);
}

static bool has_note_expired(const struct session *session, const struct notification *note)
{
    const struct node *node = session_worker(session)->node;
    return note->seq != 0 &&
           note->expires_ms <= store_now_of(node->store, client_user_id(session->client));
}

/* With the last one the backlog ends: all up to the tail was handed over. */
static void drop_first(struct session *session)
{
    struct session_extra *extra = session->extra;
    uint64_t sent = extra->backlog->sent;
    backlog_drop_first(&extra->backlog);
    assert(extra->backlog != NULL || sent == reader_tail(&session->reader));
    (void)sent;
}

/* The first number of a range in the backlog; the rest of it stays there. */
static void send_first_cancel(struct session *session, struct backlog_item *item)
{
    if (item->from > session->acked)
        send_cancel(session, item->from);
    item->from++;
    if (--item->n_missing == 0)
        drop_first(session);
}

/* As much of the backlog as the connection may have. */
void session_feed(struct session *session)
{
    struct backlog_item *item;
    while ((item = backlog_first(session_backlog(session))) != NULL && session_is_open(session) &&
           session_takes_more(session)) {
        struct notification *note = backlog_note(item);
        if (backlog_is_cancel(item)) {
            send_first_cancel(session, item);
            continue;
        }
        if (note == NULL) {
            struct gap gap = backlog_gap(item);
            write_inbox_gap(session, &gap);
        } else if (has_note_expired(session, note)) {
            metrics_count(METRIC_UNSENT_EXPIRED);
            write_inbox_gap(session, &(struct gap){note->seq, note->seq, GAP_EXPIRED});
        } else if (write_note(session, note) != ERR_OK) {
            return;
        }
        drop_first(session);
    }
}

/* Queues a note, or else a gap or a range of numbers to be hidden, after what waits already.
 * ERR_FULL: there is no room. After any other error the session ends. */
static enum err queue_in_backlog(struct session *session, struct notification *note,
                                 const struct gap *gap)
{
    if (!session_has_room(session, note != NULL ? note->payload->len : sizeof(struct backlog_item)))
        return ERR_FULL;
    struct session_extra *extra = session_extra(session);
    enum err error = ERR_NO_MEMORY;
    bool is_first = extra != NULL && extra->backlog == NULL;
    if (is_first)
        session_set_timer(session); /* from here on --slow-timeout is looked at */
    if (extra != NULL && note != NULL)
        error = backlog_add(&extra->backlog, note);
    else if (extra != NULL)
        error = backlog_add_gap(&extra->backlog, gap);
    if (error != ERR_OK)
        session_give_up(session);
    else if (is_first)
        extra->backlog->sent = reader_tail(&session->reader);
    return error;
}

void session_begin_at(struct session *session, uint64_t seq)
{
    note_sent(session, seq);
    reader_move_tail(&session->reader, seq);
    session->acked = seq;
}

enum err session_write(struct session *session, struct notification *note)
{
    if (!session_has_room(session, note->payload->len))
        return ERR_FULL;
    if (has_note_expired(session, note))
        return session_gap(session, &(struct gap){note->seq, note->seq, GAP_EXPIRED});
    enum err error = session_is_busy(session) ? queue_in_backlog(session, note, NULL)
                                              : write_note(session, note);
    if (error == ERR_OK && note->seq != 0)
        reader_move_tail(&session->reader, note->seq);
    return error;
}

enum err session_gap(struct session *session, const struct gap *gap)
{
    enum err error = ERR_OK;
    if (session_is_busy(session))
        error = queue_in_backlog(session, NULL, gap);
    else
        write_inbox_gap(session, gap);
    if (error == ERR_OK)
        reader_move_tail(&session->reader, gap->to);
    return error;
}

void session_reset(struct session *session)
{
    uint64_t tail = reader_tail(&session->reader);
    struct gap gap = {tail > 0 ? 1 : 0, tail, GAP_RESET};
    send_gap(session, SAY_ONCE, &gap);
}

/* Some at once, and the rest of the range when there is room for it. */
static enum err send_cancels(struct session *session, uint64_t from, uint64_t to)
{
    for (; from <= to && !session_is_busy(session); from++)
        send_cancel(session, from);
    if (from > to)
        return ERR_OK;
    struct gap rest = {from, to, (enum gap_cause)BACKLOG_CANCEL};
    return queue_in_backlog(session, NULL, &rest);
}

enum err session_withdraw(struct session *session, uint64_t from, uint64_t to, enum gap_cause cause)
{
    uint64_t unsent = session_sent(session) + 1;
    if (to >= unsent)
        metrics_add(METRIC_UNSENT_WITHDRAWN,
                    backlog_withdraw(session_backlog(session), from, to, cause));
    if (from <= session->acked)
        from = session->acked + 1;
    if (to >= unsent)
        to = unsent - 1;
    return session_has_gaps(session) && from <= to ? send_cancels(session, from, to) : ERR_OK;
}
