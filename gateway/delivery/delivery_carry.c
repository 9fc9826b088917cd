/* A user's sessions come one by one, and while they are held not all of them may be here yet. So
 * what concerns all of them waits for delivery_go: a kick, and how far the user has acknowledged.
 * What concerns one (its inbox has begun anew, its user is blocked) closes it at once; its socket
 * hears of that in delivery_go. */
#include "gateway/delivery/delivery_carry.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicks.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/session/session_carry.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_revive.h"
#include "gateway/session/session_write.h"

#include <stdlib.h>

/* ---- old ---- */

struct visit {
    void (*visit)(struct session *session, void *argument);
    void *argument;
};

static void visit_list(struct list *sessions, const struct visit *visit)
{
    LIST_FOR_EACH_SAFE(link, sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (session_is_carried(session))
            visit->visit(session, visit->argument);
    }
}

static void visit_client(struct client *client, void *argument)
{
    visit_list(&client->sessions, argument);
}

void delivery_each_carried(struct worker *worker,
                           void (*visit)(struct session *session, void *argument), void *argument)
{
    struct visit each = {visit, argument};
    client_map_each(worker->node->map, worker->index, visit_client, &each);
    visit_list(&worker->unauthenticated, &each);
}

static unsigned count_unnumbered(const struct session *session)
{
    const struct backlog *backlog = session_backlog(session);
    unsigned n = 0;
    for (uint32_t i = 0; backlog != NULL && backlog->first + i < backlog->end; i++) {
        const struct notification *note = backlog_note(&backlog->items[backlog->first + i]);
        n += note != NULL && note->seq == 0;
    }
    return n;
}

void delivery_let_go(struct session *session)
{
    if (session->client != NULL) {
        metrics_add(METRIC_EPHEMERAL_DROPPED, count_unnumbered(session));
        delivery_part(session);
    }
    session_let_go(session);
}

/* ---- new ---- */

struct worker *delivery_carried_home(const struct node *node, const struct carried_session *carried,
                                     unsigned any)
{
    return carried->user_id.len > 0 ? node_home(node, carried->user_id)
                                    : node->workers[any % node->n_workers];
}

/* false: the inbox that it has read from is not its user's any more. */
static bool learn_epoch(struct session *session, const struct carried_session *carried)
{
    struct client *client = session->client;
    if (epoch_is_none(carried->epoch))
        return true;
    if (!epoch_is_none(client->epoch) && !epoch_equal(client->epoch, carried->epoch))
        return !carried->has_begun;
    client_map_learn(session_worker(session)->node->map, client, carried->epoch, carried->sent, 0);
    return true;
}

static void begin_here(struct session *session, const struct carried_session *carried)
{
    session_log(session, "session goes on", NULL);
    if (!learn_epoch(session, carried)) {
        session_reset(session);
        session_close(session, ERR_RESYNC);
    } else if (carried->has_begun) {
        replay_go_on(session);
    } else {
        replay_arrive(session);
    }
}

static void give_back(struct session *session)
{
    uint8_t *rest;
    size_t n_rest;
    conn_release(&session->conn, &rest, &n_rest);
    free(rest);
    session_detach(session);
}

enum err delivery_adopt(struct worker *worker, struct peers *peers,
                        const struct carried_session *carried, int fd)
{
    struct session *session;
    enum err error = session_revive(worker, peers, carried, fd, &session);
    if (error != ERR_OK || carried->is_stranger)
        return error;
    error = delivery_join(session, carried->user_id, carried->device);
    if (error == ERR_OK) {
        session->client->is_present = true;
        begin_here(session, carried);
    } else {
        give_back(session);
    }
    return error;
}

/* ---- it goes on ---- */

static void go_list(struct list *sessions)
{
    LIST_FOR_EACH(link, sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (session_is_held(session))
            session_go(session);
    }
}

static void go_client(struct client *client, void *argument)
{
    (void)argument;
    go_list(&client->sessions);
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (reader_has_begun(&session->reader))
            positions_revived(session);
    }
}

void delivery_go(struct worker *worker)
{
    kicks_carry_out(worker);
    client_map_each(worker->node->map, worker->index, go_client, NULL);
    go_list(&worker->unauthenticated);
    go_list(&worker->closing);
}
