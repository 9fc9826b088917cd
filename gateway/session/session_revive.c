/* Checks that what was carried does not contradict itself, makes the connection, what the session
 * needs besides (revive_extra) and its peer, and then fills in the struct. All that can fail comes
 * before anything is counted.
 *
 * While a session is held its clock stands at 0 (session_clock), so what was 3 s ago stands at -3 s
 * in it, and what it notes meanwhile at 0. When it goes on, the present is added to all of its
 * moments. So silence, pings and deadlines are counted on from where they were, however long it was
 * held: the peer could not be heard meanwhile. */
#include "gateway/session/session_revive.h"

#include "gateway/base/metrics.h"
#include "gateway/identity/peers.h"
#include "gateway/net/listener.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_life.h"
#include "gateway/session/session_rate.h"
#include "proto/http/http_answer.h"
#include "proto/note/sse.h"
#include "proto/ws/ws_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* This process serves already, and few are turned away. */
enum { TURNED_AWAY_RETRY_MS = 500 };

/* ---- is it sound? ---- */

static bool is_sound_decoder(const struct carried_session *carried)
{
    const struct ws_decoder *decoder = &carried->decoder;
    if (!ws_decoder_is_in_message(decoder))
        return carried->message.len == 0;
    return carried->level != LEVEL_SSE && decoder->message_len <= decoder->max_message &&
           decoder->remaining <= decoder->message_len &&
           carried->message.len <= decoder->message_len - decoder->remaining;
}

static bool is_sound_answer(const struct carried_session *carried)
{
    if (!carried->is_unanswered)
        return true;
    bool is_whole = carried->level == LEVEL_SSE || carried->answer.len == HANDSHAKE_ACCEPT_LEN;
    return is_whole && !carried->has_begun && carried->unwritten.len == 0;
}

static bool is_sound_user(const struct carried_session *carried)
{
    bool is_named = carried->user_id.len > 0;
    if (carried->user_id.len > USER_ID_MAX_BYTES || carried->device.len > DEVICE_MAX_BYTES)
        return false;
    if (!carried->is_stranger)
        return is_named;
    return carried->level == LEVEL_V1 && !carried->has_begun && !carried->is_unanswered &&
           (is_named || !carried->is_known);
}

static bool is_sound(const struct carried_session *carried)
{
    unsigned bits = carried->window_bits;
    return carried->level <= LEVEL_SSE && is_sound_user(carried) && is_sound_decoder(carried) &&
           is_sound_answer(carried) && carried->id >> SESSION_ID_BITS == 0 &&
           carried->acked <= carried->sent && (carried->has_begun || carried->sent == 0) &&
           carried->n_unmatched <= 2 && (bits == 0 || (bits >= 8 && bits <= 15)) &&
           carried->rest.len <= CONN_REST_MAX_BYTES &&
           (carried->token.bytes == NULL || carried->level == LEVEL_V1) &&
           !(carried->wants_resume && epoch_is_none(carried->resume));
}

/* ---- what it needs ---- */

static enum err revive_claim(struct session *session, const struct carried_session *carried)
{
    struct claim *claim = calloc(1, sizeof *claim);
    if (claim == NULL)
        return ERR_NO_MEMORY;
    session->extra->auth.claim = claim;
    session->extra->auth.by_ms = (uint32_t)carried->auth_in_ms;
    if (carried->user_id.len > 0)
        memcpy(claim->identity.user_id, carried->user_id.bytes, carried->user_id.len);
    claim->identity.user_id_len = carried->user_id.len;
    claim->identity.expires_ms = (int64_t)carried->until_s * 1000;
    if (carried->device.len > 0)
        memcpy(claim->device, carried->device.bytes, carried->device.len);
    claim->device_len = carried->device.len;
    claim->is_known = carried->is_known;
    return ERR_OK;
}

static void revive_stream(struct session_stream *stream, const struct carried_stream *carried)
{
    *stream = (struct session_stream){
        .mark_seq = carried->mark_seq,
        .mark_bytes = carried->mark_bytes,
        .progress_bytes = carried->progress_bytes,
        .progress_ms = 0 - (uint32_t)carried->progress_ago_ms,
        .check_ms = (uint32_t)carried->check_in_ms,
        .check_after_ms = carried->check_after_ms,
        .is_explicit = carried->is_explicit,
    };
}

/* Of a plain client, what has come of a message was kept only where such messages are taken. */
static bool is_torn(const struct carried_session *carried)
{
    const struct ws_decoder *decoder = &carried->decoder;
    return ws_decoder_is_in_message(decoder) && carried->level != LEVEL_V1 &&
           carried->message.len < decoder->message_len - decoder->remaining;
}

/* A message that was begun may become as long as was allowed when it began. */
static enum err revive_incoming(struct session_incoming *incoming,
                                const struct carried_session *carried)
{
    incoming->ping_before = carried->ping_before;
    incoming->begun_ms = 0 - (uint32_t)carried->begun_ago_ms;
    if (!ws_decoder_is_in_message(&carried->decoder))
        return ERR_OK;
    incoming->decoder = carried->decoder;
    incoming->message.max = carried->decoder.max_message;
    return buf_append_span(&incoming->message, carried->message);
}

static enum err revive_hold(struct session_hold *hold, const struct carried_session *carried)
{
    hold->has_verified = carried->has_verified;
    hold->verified_ms = 0 - (uint32_t)carried->verified_ago_ms;
    hold->waits_second = carried->waits_second;
    if (carried->token.bytes == NULL)
        return ERR_OK;
    hold->token = session_copy(carried->token);
    hold->len = carried->token.len;
    return hold->token == NULL ? ERR_NO_MEMORY : ERR_OK;
}

static bool needs_extra(const struct carried_session *carried)
{
    return carried->level == LEVEL_SSE || carried->is_stranger || carried->is_unanswered ||
           carried->is_unfinished || carried->n_unmatched == 2 || carried->has_rates ||
           carried->wants_resume || carried->token.bytes != NULL || carried->has_verified ||
           ws_decoder_is_in_message(&carried->decoder);
}

static enum err revive_extra(struct session *session, const struct carried_session *carried)
{
    if (!needs_extra(carried))
        return ERR_OK;
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return ERR_NO_MEMORY;
    if (carried->wants_resume)
        extra->resume = (struct resume){carried->resume, carried->resume_seq};
    extra->answer.deflate = carried->answer_deflate;
    if (carried->is_unanswered)
        extra->answer.text = session_copy(carried->answer);
    enum err error = carried->is_unanswered && extra->answer.text == NULL ? ERR_NO_MEMORY : ERR_OK;
    extra->is_torn = is_torn(carried);
    if (carried->level == LEVEL_SSE)
        revive_stream(&extra->stream, &carried->stream);
    else if (error == ERR_OK)
        error = revive_incoming(&extra->incoming, carried);
    if (error == ERR_OK)
        error = revive_hold(&extra->hold, carried);
    if (error == ERR_OK && carried->is_stranger)
        error = revive_claim(session, carried);
    if (error == ERR_OK && carried->has_rates)
        error = session_rates_set(session, carried->messages_full_in_us, carried->bytes_full_in_us);
    return error;
}

static enum err revive_peer(struct session *session, struct peers *peers,
                            const struct carried_session *carried)
{
    struct peer_address from = listener_peer_address(session->conn.watch.fd);
    struct carried_peer peer = {.is_proxied = carried->is_proxied, .address = carried->address};
    return peer_adopt(peers, from.has_ip ? &from.ip : NULL, &peer, &session->peer);
}

/* What is not read before its turn, or at all, because the session waits for something else. What
 * the process before had read and not looked at may be whole messages, and has its turn as well. */
static void stop_reading(struct session *session)
{
    bool has_rest = session->level != LEVEL_SSE && conn_rest(&session->conn).len > 0;
    bool is_waiting = session_is_holding(session) ? session->extra->hold.waits_second
                                                  : session_is_identified(session);
    if (!has_rest && !session_is_holding(session) && !is_waiting)
        return;
    conn_pause(&session->conn);
    if (!is_waiting)
        conn_resume(&session->conn); /* its turn comes behind those that wait already */
}

static void revive_struct(struct session *session, const struct carried_session *carried)
{
    struct worker *worker = session_worker(session);
    list_init(&session->link);
    timer_init(&session->timer, session_on_timer);
    session->timer.owned = carried->since_s;
    reader_init(&session->reader);
    reader_move_tail(&session->reader, carried->sent);
    session->reader.ping_number = carried->ping_number;
    session->acked = carried->acked;
    session->id = carried->id % (UINT64_C(1) << SESSION_ID_BITS);
    session->round_trip_ms = carried->round_trip_ms;
    session->agent = user_agents_get(&worker->agents, carried->agent);
    session->until_s = carried->until_s;
    session->window_bits = carried->window_bits & 0xfu;
    session->heard_ms = 0 - (uint32_t)carried->heard_ago_ms;
    session->next_ping_ms = (uint32_t)carried->next_ping_in_ms;
    session->ping_sent_ms = 0 - (uint32_t)carried->ping_sent_ago_ms;
    session->n_unmatched = carried->n_unmatched & 3u;
    session->has_ping_out = carried->has_ping_out;
    session->wants_ping = carried->wants_ping;
    session->is_unfinished = carried->is_unfinished;
    session->is_draining = carried->is_draining;
    session->is_aging = carried->is_aging;
    session->drain_at_ms = (uint32_t)carried->drain_in_ms;
    if (carried->is_stranger) {
        session_become(session, SESSION_AUTH);
        list_append(&worker->unauthenticated, &session->link);
    }
    stop_reading(session);
}

static enum err revive_parts(struct session *session, struct peers *peers,
                             const struct carried_session *carried)
{
    session->level = carried->level & 0xf;
    enum err error = revive_extra(session, carried);
    if (error == ERR_OK && carried->window_bits != 0)
        error = worker_make_deflate(session_worker(session));
    if (error == ERR_OK)
        error = revive_peer(session, peers, carried);
    return error;
}

enum err session_revive(struct worker *worker, struct peers *peers,
                        const struct carried_session *carried, int fd, struct session **ret_session)
{
    if (!is_sound(carried))
        return ERR_PROTOCOL;
    struct conn_left left = {carried->rest, carried->unwritten, carried->moved_ago_ms};
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NO_MEMORY;
    enum err error = conn_open_held(&session->conn, &worker->loop, &session_conn_ops, fd, &left);
    if (error != ERR_OK)
        goto undo_alloc;
    error = revive_parts(session, peers, carried);
    if (error != ERR_OK)
        goto undo_conn;
    revive_struct(session, carried);
    atomic_fetch_add(&worker->node->n_sessions, 1);
    atomic_fetch_add(&worker->node->n_sockets, 1);
    metrics_gauge_add(METRIC_CONNECTIONS, 1);
    metrics_gauge_add(METRIC_LEAVING, session->is_draining);
    *ret_session = session;
    return ERR_OK;

undo_conn:;
    uint8_t *rest;
    size_t n_rest;
    conn_release(&session->conn, &rest, &n_rest);
    free(rest);
    session_extra_free(session);
undo_alloc:
    free(session);
    return error;
}

/* ---- it goes on ---- */

static void move_moments(struct session *session, uint32_t now_ms)
{
    struct session_extra *extra = session->extra;
    session->heard_ms += now_ms;
    session->next_ping_ms += now_ms;
    session->ping_sent_ms += now_ms;
    session->drain_at_ms += now_ms;
    if (extra == NULL)
        return;
    extra->auth.by_ms += now_ms;
    extra->hold.verified_ms += now_ms;
    if (session->level == LEVEL_SSE) {
        extra->stream.progress_ms += now_ms;
        extra->stream.check_ms += now_ms;
    } else {
        extra->incoming.begun_ms += now_ms;
    }
}

void session_go(struct session *session)
{
    move_moments(session, (uint32_t)worker_now_ms(session_worker(session)));
    conn_go(&session->conn);
    if (!session_is_open(session)) {
        session_linger(session);
        return;
    }
    session_set_timer(session);
    if (session_is_identified(session) || session->wants_ping)
        conn_mark(&session->conn); /* it is handed over, or pinged, at the end of the turn */
}

/* ---- it does not ---- */

static enum err write_close(struct buf *out, uint32_t retry_ms)
{
    char reason[WS_CONTROL_MAX_BYTES];
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    snprintf(reason, sizeof reason, "%s retry_ms=%u", error_title(ERR_RESTART), retry_ms);
    size_t n = ws_close_write(error_close_code(ERR_RESTART), span_of(reason), frame);
    return buf_append(out, frame, n);
}

static enum err write_end(struct buf *out, const struct carried_session *carried, uint64_t random)
{
    struct http_terms terms = {0};
    uint32_t retry_ms = 1 + (uint32_t)(random % TURNED_AWAY_RETRY_MS);
    if (carried->level == LEVEL_SSE) {
        terms.reader = carried->answer;
        enum err error = carried->is_unanswered ? http_stream_head(out, &terms) : ERR_OK;
        return error == ERR_OK ? sse_retry(out, retry_ms) : error;
    }
    if (carried->is_unanswered)
        return http_refusal(out, ERR_RESTART, NULL, NULL, NULL, &terms, random);
    return write_close(out, retry_ms);
}

void session_turn_away(int fd, const struct carried_session *carried)
{
    struct buf last;
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = carried->id;
    buf_init(&last, SIZE_MAX);
    if (buf_append_span(&last, carried->unwritten) == ERR_OK &&
        write_end(&last, carried, random) == ERR_OK)
        transport_send_last((struct transport_socket){fd, &transport_plain}, last.bytes, last.len);
    buf_fini(&last);
    transport_close((struct transport_socket){fd, &transport_plain});
}
