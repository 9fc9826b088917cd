/* The request goes to the user's home worker and back. While streams of its position are open, it
 * acknowledges on each of them that the notification was written to. When no session of that
 * position is open, the position in the store is moved at once. */
#include "gateway/port/ack_route.h"

#include "gateway/delivery/positions.h"
#include "gateway/port/route_user.h"
#include "gateway/requests/push_waits.h"
#include "gateway/session/session.h"
#include "proto/note/subscribe_query.h"

#include <stdlib.h>

struct ack_work {
    struct letter letter;
    struct http_conn *http_conn;
    struct worker *from; /* the HTTP connection's */
    struct worker *home;
    struct ack_query query;
    struct store_ack ack;
    enum err error;
    const char *detail;
};

static struct span ack_user(const struct ack_work *work)
{
    return (struct span){work->query.user_id, work->query.user_id_len};
}

static struct span ack_device(const struct ack_work *work)
{
    return (struct span){work->query.device, work->query.device_len};
}

static void on_ack_answer(struct letter *letter)
{
    struct ack_work *work = CONTAINER_OF(letter, struct ack_work, letter);
    struct http_conn *http_conn = work->http_conn;
    if (http_conn_is_gone(http_conn) || http_conn_is_answered(http_conn)) {
        /* the peer has gone */
    } else if (work->error == ERR_OK) {
        http_conn_answer(http_conn, 204, NULL, NULL, (struct span){0});
    } else {
        http_conn_refuse(http_conn, work->error, work->detail,
                         error_http_status(work->error) == 409 ? "id" : NULL, NULL);
    }
    http_conn_unpin(http_conn);
    free(work);
}

static void answer_ack(struct ack_work *work, enum err error, const char *detail)
{
    work->error = error;
    work->detail = detail;
    worker_post(work->from, &work->letter, on_ack_answer);
}

static void on_stored(struct store_request *request)
{
    struct ack_work *work = CONTAINER_OF(request, struct ack_work, ack.request);
    answer_ack(work, work->ack.error,
               work->ack.error == ERR_STALE_EPOCH ? "no such notification was sent to this user"
                                                  : NULL);
}

static void ack_in_store(struct ack_work *work, const struct client *client)
{
    struct worker *home = work->home;
    struct ack_query query = work->query; /* the work may be over before store_ack has returned */
    work->ack = (struct store_ack){
        .request = {.on_done = on_stored, .lane = home->index},
        .user_id = ack_user(work),
        .device = ack_device(work),
        .is_held = client != NULL && client->shared.n_sessions > 0,
        .epoch = work->query.epoch,
        .seq = work->query.seq,
    };
    store_ack(home->node->store, &work->ack);
    /* they look at the store after this acknowledgement */
    push_waits_asked(home, (struct span){query.user_id, query.user_id_len});
}

static void ack_on_streams(struct ack_work *work, const struct client *client)
{
    bool is_open = false;
    bool is_acked = false;
    bool is_of_epoch = epoch_equal(client->epoch, work->query.epoch);
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (!span_equal(position_device(positions_of(session)), ack_device(work)))
            continue;
        is_open = true;
        if (session->level == LEVEL_SSE && is_of_epoch && session_ack(session, work->query.seq))
            is_acked = true;
    }
    if (!is_open)
        ack_in_store(work, client);
    else if (is_acked)
        answer_ack(work, ERR_OK, NULL);
    else
        answer_ack(work, ERR_CONFLICT, "no open stream of this user was sent that notification");
}

static void on_home(struct letter *letter)
{
    struct ack_work *work = CONTAINER_OF(letter, struct ack_work, letter);
    struct client *client = client_map_find(work->home->node->map, ack_user(work));
    if (client == NULL)
        ack_in_store(work, NULL);
    else
        ack_on_streams(work, client);
}

/* The peer has sent all that it has to send, and may read the answer. */
static void wait_for_answer(struct http_conn *http_conn)
{
    (void)http_conn;
}

static const struct http_request_ops ack_ops = {.on_half_closed = wait_for_answer};

void ack_route_serve(struct http_conn *http_conn)
{
    if (!http_conn_take_turn(http_conn)) {
        if (http_conn_is_late(http_conn))
            http_conn_refuse(http_conn, ERR_BUSY, NULL, NULL, NULL);
        return;
    }
    const char *field;
    const char *detail;
    struct span query = http_conn_part(http_conn, http_conn_head(http_conn)->query);
    struct ack_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        http_conn_refuse(http_conn, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    if (ack_query_parse(query, &work->query, &field, &detail) != ERR_OK) {
        http_conn_refuse(http_conn, ERR_INVALID_FIELD, detail, field, NULL);
        free(work);
        return;
    }
    if (!route_user_identify(http_conn, work->query.user_id, &work->query.user_id_len)) {
        free(work);
        return;
    }
    struct node *node = http_conn_node(http_conn);
    http_conn_count_work(http_conn, WORKER_ASK_US);
    http_conn_own(http_conn, &ack_ops, work);
    http_conn_pin(http_conn);
    http_conn_await(http_conn);
    work->http_conn = http_conn;
    work->from = http_conn_worker(http_conn);
    work->home = node_home(node, ack_user(work));
    worker_post(work->home, &work->letter, on_home);
}
