#include "gateway/port/handover.h"

#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_hold.h"
#include "gateway/session/session_life.h"
#include "proto/bytes/put.h"
#include "proto/http/http_answer.h"

#include <stdlib.h>

struct handover *handover_new(struct span user_agent, struct span origin, struct span early)
{
    struct handover *handover =
        calloc(1, sizeof *handover + user_agent.len + origin.len + early.len);
    if (handover == NULL)
        return NULL;
    struct admission *admission = &handover->admission;
    char *at = put_span(handover->bytes, user_agent);
    admission->user_agent = (struct span){handover->bytes, user_agent.len};
    admission->origin = (struct span){at, origin.len};
    at = put_span(at, origin);
    admission->early = (uint8_t *)at;
    admission->n_early = early.len;
    put_span(at, early);
    return handover;
}

/* ---- a session that waited until its user was known ---- */

static struct handover *handover_of_session(const struct session *session, struct span rest)
{
    const struct session_wish *wish = session->extra->wish;
    struct span agent = {0};
    if (session->agent != NULL)
        agent = (struct span){session->agent->text, session->agent->len};
    struct handover *handover = handover_new(agent, (struct span){0}, rest);
    if (handover == NULL)
        return NULL;
    memcpy(handover->query.user_id, wish->user_id, wish->user_id_len);
    handover->query.user_id_len = wish->user_id_len;
    memcpy(handover->query.device, wish->device, wish->device_len);
    struct admission *admission = &handover->admission;
    admission->is_open = true;
    admission->is_draining = session->is_draining;
    admission->drain_at_ms = session->drain_at_ms;
    admission->level = (enum handshake_level)session->level;
    admission->resume = session->extra->resume;
    admission->until_ms = (int64_t)session->until_s * 1000;
    admission->deflate.window_bits = session->window_bits;
    admission->device = (struct span){handover->query.device, wish->device_len};
    return handover;
}

void handover_identified(struct session *session)
{
    struct worker *worker = session_worker(session);
    struct handover *handover = handover_of_session(session, conn_rest(&session->conn));
    if (handover == NULL) {
        session_give_up(session);
        return;
    }
    /* The new session's places among the sessions and the sockets; this one gives its own back. */
    atomic_fetch_add(&worker->node->n_sessions, 1);
    atomic_fetch_add(&worker->node->n_sockets, 1);
    uint8_t *bytes;
    size_t len;
    handover->admission.socket = conn_release(&session->conn, &bytes, &len);
    free(bytes);
    handover->admission.peer = session->peer;
    session->peer = NULL;
    session_detach(session);
    handover_send(handover, worker);
}

/* ---- on the home worker ---- */

static void drop(struct handover *handover)
{
    transport_close(handover->admission.socket);
    peer_leave(handover->admission.peer);
    atomic_fetch_sub(&handover->home->node->n_sockets, 1);
    atomic_fetch_sub(&handover->home->node->n_sessions, 1);
}

/* Kicked event streams come back by themselves: 204 makes them stop. */
static bool is_kicked(struct handover *handover)
{
    if (handover->admission.level != LEVEL_SSE || epoch_is_none(handover->admission.resume.epoch) ||
        !kicked_streams_take(handover->home, handover_user(handover)))
        return false;
    struct buf answer;
    struct http_terms terms = {.date = worker_date(handover->home),
                               .reader = handover->admission.origin};
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    /* The socket buffer is empty, and this is short: it goes out at once or not at all. */
    if (http_answer(&answer, 204, NULL, NULL, &terms, (struct span){0}) == ERR_OK)
        transport_say(handover->admission.socket, answer.bytes, answer.len);
    buf_fini(&answer);
    drop(handover);
    return true;
}

static enum err enter(struct session *session, const struct handover *handover)
{
    struct span device = handover->admission.device;
    return handover->admission.is_unknown
               ? session_await_auth(session, handover_user(handover), device)
               : delivery_enter(session, handover_user(handover), device);
}

static void open_session(struct handover *handover)
{
    struct worker *home = handover->home;
    struct session *session;
    if (is_kicked(handover))
        return;
    if (atomic_load(&home->node->is_stopping) ||
        session_new(home, &handover->admission, &session) != ERR_OK) {
        drop(handover);
        return;
    }
    if (handover->admission.is_open) {
        session_note_verified(session);
        session_send_auth(session);
    }
    if (enter(session, handover) != ERR_OK) {
        session_close(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    if (handover->admission.is_draining)
        session_drain_at(session, handover->admission.drain_at_ms);
    else if (atomic_load(&home->node->is_draining))
        session_drain(session); /* it was on its way when the drain began */
    if (handover->admission.n_early > 0)
        conn_feed(&session->conn, handover->admission.early, handover->admission.n_early);
}

static void on_move(struct letter *letter)
{
    struct handover *handover = CONTAINER_OF(letter, struct handover, letter);
    open_session(handover);
    free(handover);
}

void handover_send(struct handover *handover, struct worker *from)
{
    struct node *node = from->node;
    /* Until the user is known, one worker is as good as another. */
    handover->home =
        handover->query.user_id_len == 0 ? from : node_home(node, handover_user(handover));
    handover->letter.deliver = on_move;
    if (handover->home == from)
        on_move(&handover->letter);
    else
        mailbox_post(worker_mailbox(handover->home), &handover->letter);
}
