#include "gateway/port/handover.h"

#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/requests/drain.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_hold.h"
#include "gateway/session/session_life.h"
#include "proto/bytes/put.h"
#include "proto/http/http_answer.h"

#include <stdlib.h>

struct handover *handover_new(const struct admission *admission, struct span early)
{
    struct span agent = admission->user_agent;
    struct span origin = admission->origin;
    struct handover *handover = calloc(1, sizeof *handover + agent.len + origin.len + early.len);
    if (handover == NULL)
        return NULL;
    handover->admission = *admission;
    char *at = put_span(handover->bytes, agent);
    handover->admission.user_agent = (struct span){handover->bytes, agent.len};
    handover->admission.origin = (struct span){at, origin.len};
    at = put_span(at, origin);
    handover->early = (uint8_t *)at;
    handover->n_early = early.len;
    put_span(at, early);
    return handover;
}

/* ---- a session that waited until its user was known ---- */

static struct handover *handover_of_session(const struct session *session)
{
    struct admission admission = {
        .claim = *session->extra->auth.claim,
        .resume = session->extra->resume,
        .level = (enum handshake_level)session->level,
        .deflate.window_bits = session->window_bits,
        .is_answered = true,
        .is_draining = session->is_draining,
        .drain_at_ms = session->drain_at_ms,
    };
    if (session->agent != NULL)
        admission.user_agent = (struct span){session->agent->text, session->agent->len};
    return handover_new(&admission, conn_rest(&session->conn));
}

void handover_identified(struct session *session)
{
    struct worker *worker = session_worker(session);
    struct handover *handover = handover_of_session(session);
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

static void drop_handover(struct handover *handover)
{
    transport_close(handover->admission.socket);
    peer_leave(handover->admission.peer);
    atomic_fetch_sub(&handover->home->node->n_sockets, 1);
    atomic_fetch_sub(&handover->home->node->n_sessions, 1);
}

/* Kicked event streams come back by themselves: 204 makes them stop. */
static bool answer_if_kicked(struct handover *handover)
{
    if (handover->admission.level != LEVEL_SSE || epoch_is_none(handover->admission.resume.epoch) ||
        !kicked_streams_take(handover->home, claim_user(&handover->admission.claim)))
        return false;
    struct buf answer;
    struct http_terms terms = {.date = worker_date(handover->home),
                               .reader = handover->admission.origin};
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    /* The socket buffer is empty, and this is short: it goes out at once or not at all. */
    if (http_answer(&answer, 204, NULL, NULL, &terms, SPAN_NONE) == ERR_OK)
        transport_send_last(handover->admission.socket, answer.bytes, answer.len);
    buf_fini(&answer);
    drop_handover(handover);
    return true;
}

static enum err enter_session(struct session *session, const struct claim *claim)
{
    return claim->is_known ? delivery_enter(session, claim_user(claim), claim_device(claim))
                           : session_await_auth(session, claim);
}

static void open_session(struct handover *handover)
{
    struct worker *home = handover->home;
    struct session *session;
    if (answer_if_kicked(handover))
        return;
    if (atomic_load(&home->node->is_stopping) ||
        session_new(home, &handover->admission, &session) != ERR_OK) {
        drop_handover(handover);
        return;
    }
    if (handover->admission.is_answered) {
        session_note_verified(session);
        session_send_auth(session);
    }
    if (enter_session(session, &handover->admission.claim) != ERR_OK) {
        session_close_with(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    drain_arrived(session, &handover->admission);
    if (handover->n_early > 0)
        conn_feed(&session->conn, handover->early, handover->n_early);
}

static void on_handover(struct letter *letter)
{
    struct handover *handover = CONTAINER_OF(letter, struct handover, letter);
    open_session(handover);
    free(handover);
}

void handover_send(struct handover *handover, struct worker *from)
{
    struct node *node = from->node;
    /* Until the user is known, one worker is as good as another. */
    struct span user_id = claim_user(&handover->admission.claim);
    handover->home = user_id.len == 0 ? from : node_home(node, user_id);
    handover->letter.deliver = on_handover;
    if (handover->home == from)
        on_handover(&handover->letter);
    else
        mailbox_post(worker_mailbox(handover->home), &handover->letter);
}
