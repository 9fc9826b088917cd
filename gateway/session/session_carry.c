/* Reads a session out: what stands in its struct, in what only some sessions have (carry_extra) and
 * in its connection. Nothing is changed, because the process that would take it over may not. */
#include "gateway/session/session_carry.h"

#include "gateway/session/session_answer.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_rate.h"

bool session_is_carried(const struct session *session)
{
    return (session->state == SESSION_AUTH || session->state == SESSION_ENTERED) &&
           !session->is_given_up && conn_may_be_left(&session->conn);
}

static int32_t ago_ms(const struct session *session, uint32_t at_ms)
{
    return (int32_t)(session_clock(session) - at_ms);
}

static int32_t in_ms(const struct session *session, uint32_t at_ms)
{
    return (int32_t)(at_ms - session_clock(session));
}

/* The moments of the last ping, and of the last token, may have been weeks ago, and are left out
 * when nobody asks for them any more. */
static void carry_pings(const struct session *session, struct carried_session *carried)
{
    carried->heard_ago_ms = ago_ms(session, session->heard_ms);
    carried->next_ping_in_ms = in_ms(session, session->next_ping_ms);
    carried->n_unmatched = session->n_unmatched;
    carried->has_ping_out = session->has_ping_out;
    carried->wants_ping = session->wants_ping;
    carried->round_trip_ms = (uint16_t)session->round_trip_ms;
    if (session->n_unmatched > 0 || session->has_ping_out)
        carried->ping_sent_ago_ms = ago_ms(session, session->ping_sent_ms);
    if (session->n_unmatched > 0)
        carried->ping_number = session->reader.ping_number;
    if (session->n_unmatched == 2)
        carried->ping_before = session->extra->incoming.ping_before;
    carried->is_draining = session->is_draining;
    carried->is_aging = session->is_aging;
    if (session->is_draining)
        carried->drain_in_ms = in_ms(session, session->drain_at_ms);
}

static void carry_user(const struct session *session, struct carried_session *carried)
{
    if (session->state == SESSION_AUTH) {
        const struct session_auth *auth = &session->extra->auth;
        carried->is_stranger = true;
        carried->is_known = auth->claim->is_known;
        carried->user_id = claim_user(auth->claim);
        carried->device = claim_device(auth->claim);
        carried->auth_in_ms = carried->is_known ? 0 : in_ms(session, auth->by_ms);
        return;
    }
    struct position *position =
        client_position_numbered(session->client, session->reader.position_number);
    carried->user_id = client_user_id(session->client);
    carried->device = position_device(position);
    carried->epoch = session->client->epoch;
}

static void carry_stream(const struct session *session, struct carried_stream *carried)
{
    const struct session_stream *stream = &session->extra->stream;
    carried->is_explicit = stream->is_explicit;
    carried->progress_bytes = stream->progress_bytes;
    carried->progress_ago_ms = ago_ms(session, stream->progress_ms);
    carried->mark_seq = stream->mark_seq;
    if (stream->mark_seq == 0)
        return;
    carried->mark_bytes = stream->mark_bytes;
    carried->check_in_ms = in_ms(session, stream->check_ms);
    carried->check_after_ms = stream->check_after_ms;
}

static void carry_incoming(const struct session *session, struct carried_session *carried)
{
    const struct session_incoming *incoming = &session->extra->incoming;
    carried->is_unfinished = session->is_unfinished;
    if (session->is_unfinished)
        carried->begun_ago_ms = ago_ms(session, incoming->begun_ms);
    if (!ws_decoder_is_in_message(&incoming->decoder))
        return;
    carried->decoder = incoming->decoder;
    carried->message = buf_span(&incoming->message);
}

static void carry_extra(const struct session *session, struct carried_session *carried)
{
    const struct session_extra *extra = session->extra;
    if (extra == NULL)
        return;
    if (session->level == LEVEL_SSE)
        carry_stream(session, &carried->stream);
    else
        carry_incoming(session, carried);
    carried->wants_resume = !carried->has_begun && !epoch_is_none(extra->resume.epoch);
    if (carried->wants_resume) {
        carried->resume = extra->resume.epoch;
        carried->resume_seq = extra->resume.seq;
    }
    carried->is_unanswered = session_is_unanswered(session);
    if (carried->is_unanswered) {
        carried->answer = span_of(extra->answer.text);
        carried->answer_deflate = extra->answer.deflate;
    }
    if (session_is_holding(session))
        carried->token = (struct span){extra->hold.token, extra->hold.len};
    carried->waits_second = carried->token.bytes != NULL && extra->hold.waits_second;
    carried->has_verified = session_verify_wait_ms(session) > 0;
    if (carried->has_verified)
        carried->verified_ago_ms = ago_ms(session, extra->hold.verified_ms);
    carried->has_rates =
        session_rates_left(session, &carried->messages_full_in_us, &carried->bytes_full_in_us);
}

static enum err carry_conn(const struct session *session, struct buf *scratch,
                           struct carried_session *carried)
{
    size_t before = scratch->len;
    enum err error = conn_copy_unwritten(&session->conn, scratch);
    if (error != ERR_OK)
        return error;
    carried->rest = conn_rest(&session->conn);
    if (scratch->len == before)
        return ERR_OK;
    carried->unwritten = (struct span){scratch->bytes + before, scratch->len - before};
    if (conn_moved_ms(&session->conn) != 0)
        carried->moved_ago_ms =
            (int32_t)(worker_now_ms(session_worker(session)) - conn_moved_ms(&session->conn));
    return ERR_OK;
}

enum err session_carry(const struct session *session, struct buf *scratch,
                       struct carried_session *ret_carried)
{
    struct carried_peer peer;
    peer_carry(session->peer, &peer);
    struct carried_session carried = {
        .id = session->id,
        .level = (enum handshake_level)session->level,
        .since_s = session_since_s(session),
        .until_s = session->until_s,
        .window_bits = session->window_bits,
        .has_begun = reader_has_begun(&session->reader),
        .is_proxied = peer.is_proxied,
        .address = peer.address,
    };
    if (session->agent != NULL)
        carried.agent = (struct span){session->agent->text, session->agent->len};
    if (carried.has_begun) {
        carried.sent = session_sent(session);
        carried.acked = session->acked;
    }
    carry_user(session, &carried);
    carry_pings(session, &carried);
    carry_extra(session, &carried);
    enum err error = carry_conn(session, scratch, &carried);
    if (error == ERR_OK)
        *ret_carried = carried;
    return error;
}

void session_let_go(struct session *session)
{
    session_leave(session, OFFLINE_DRAINED);
    session_finish(session);
}
