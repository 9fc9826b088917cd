#include "gateway/port/handover.h"

#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicked_streams.h"
#include "proto/bytes/put.h"
#include "proto/http/http_answer.h"

#include <stdlib.h>

struct move *move_new(struct span user_agent, struct span origin, struct span early)
{
    struct move *move = calloc(1, sizeof *move + user_agent.len + origin.len + early.len);
    if (move == NULL)
        return NULL;
    struct admission *admission = &move->admission;
    char *at = put_span(move->bytes, user_agent);
    admission->user_agent = (struct span){move->bytes, user_agent.len};
    admission->origin = (struct span){at, origin.len};
    at = put_span(at, origin);
    admission->early = (uint8_t *)at;
    admission->n_early = early.len;
    put_span(at, early);
    return move;
}

/* ---- on the home worker ---- */

static void drop(struct move *move)
{
    transport_close(move->admission.socket);
    peer_leave(move->admission.peer);
    atomic_fetch_sub(&move->home->node->n_sockets, 1);
    atomic_fetch_sub(&move->home->node->n_sessions, 1);
}

/* Kicked event streams come back by themselves: 204 makes them stop. */
static bool is_kicked(struct move *move)
{
    if (move->admission.level != LEVEL_SSE || epoch_is_none(move->admission.resume.epoch) ||
        !kicks_take(move->home, move_user(move)))
        return false;
    struct buf answer;
    struct http_terms terms = {.date = worker_date(move->home), .reader = move->admission.origin};
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    /* The socket buffer is empty, and this is short: it goes out at once or not at all. */
    if (http_answer(&answer, 204, NULL, NULL, &terms, (struct span){0}) == ERR_OK)
        transport_say(move->admission.socket, answer.bytes, answer.len);
    buf_fini(&answer);
    drop(move);
    return true;
}

static enum err enter(struct session *session, const struct move *move)
{
    struct span device = move->admission.device;
    return move->admission.is_unknown ? session_await_auth(session, move_user(move), device)
                                      : delivery_enter(session, move_user(move), device);
}

static void open_session(struct move *move)
{
    struct worker *home = move->home;
    struct session *session;
    if (is_kicked(move))
        return;
    if (atomic_load(&home->node->is_stopping) ||
        session_new(home, &move->admission, &session) != ERR_OK) {
        drop(move);
        return;
    }
    if (move->admission.is_open) {
        session_note_verified(session);
        session_send_auth(session);
    }
    if (enter(session, move) != ERR_OK) {
        session_close(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    if (move->admission.is_draining)
        session_drain_at(session, move->admission.drain_at_ms);
    else if (atomic_load(&home->node->is_draining))
        session_drain(session); /* it was on its way when the drain began */
    if (move->admission.n_early > 0)
        conn_feed(&session->conn, move->admission.early, move->admission.n_early);
}

static void on_move(struct letter *letter)
{
    struct move *move = CONTAINER_OF(letter, struct move, letter);
    open_session(move);
    free(move);
}

void move_send(struct move *move, struct worker *from)
{
    struct node *node = from->node;
    /* Until the user is known, one worker is as good as another. */
    move->home = move->query.user_id_len == 0 ? from : node_home(node, move_user(move));
    move->letter.deliver = on_move;
    if (move->home == from)
        on_move(&move->letter);
    else
        mailbox_post(worker_mailbox(move->home), &move->letter);
}
