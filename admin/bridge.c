/* The happy path: bridge_carry writes the request into a bridge, the library answers,
 * on_answer_bytes reads the head of the answer and passes its body on, and the bridge is kept for
 * another request.
 *
 * A bridge has two ends with lives of their own: the connection here, and the library's. When the
 * client goes, ours is closed; the library notices it in its next turn. When both are closed the
 * memory is freed. */
#include "admin/bridge.h"

#include "admin/bridge_head.h"
#include "admin/library.h"
#include "gateway/http/http_conn.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct bridges {
    struct admin_worker *home;
    const struct bridges_ops *ops;
    struct list busy;    /* bridges that carry a request */
    struct list spare;   /* bridges that carry none */
    struct list waiting; /* requests, until it is their turn */
    struct reactor_task next;
    uint64_t turn; /* the one that n_begun belongs to */
    unsigned n_begun;
    unsigned n_spare;
};

struct bridge {
    struct conn conn;
    struct library_conn exchange;
    struct bridges *all;
    struct list link;
    struct request *request; /* NULL: none */
    size_t left;             /* of the answer's body */
    bool is_head;            /* the method is HEAD: the answer has no body */
    bool is_answering;       /* the answer's head is written */
    bool is_open;            /* our end */
    bool is_known;           /* to the library */
    struct deferred_free deferred;
};

/* ---- the end of a bridge ---- */

static void free_bridge(struct deferred_free *deferred)
{
    free(CONTAINER_OF(deferred, struct bridge, deferred));
}

static void free_if_closed(struct bridge *bridge)
{
    if (!bridge->is_open && !bridge->is_known)
        worker_free_later(bridge->all->home->worker, &bridge->deferred, free_bridge);
}

/* The library finds out that its end has no other one, also if it has suspended it: it may not be
 * stopped before. */
static void close_bridge(struct bridge *bridge)
{
    list_remove(&bridge->link);
    bridge->request = NULL;
    bridge->is_open = false;
    conn_abandon(&bridge->conn);
    library_resume(&bridge->exchange);
    free_if_closed(bridge);
}

static void on_library_closed(struct library_conn *exchange)
{
    struct bridge *bridge = CONTAINER_OF(exchange, struct bridge, exchange);
    bridge->is_known = false;
    free_if_closed(bridge);
}

static void break_bridge(struct bridge *bridge)
{
    struct request *request = bridge->request;
    const struct bridges_ops *ops = bridge->all->ops;
    close_bridge(bridge);
    if (request != NULL)
        ops->on_broken(request);
}

static void on_bridge_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    break_bridge(CONTAINER_OF(conn, struct bridge, conn));
}

/* ---- the answer ---- */

/* The library may still have the request when its answer is read, in theory: then the bridge is not
 * used again. */
static void end_answer(struct bridge *bridge)
{
    struct bridges *all = bridge->all;
    struct request *request = bridge->request;
    bridge->request = NULL;
    if (bridge->exchange.request == NULL && all->n_spare < BRIDGES_SPARE) {
        list_remove(&bridge->link);
        list_append(&all->spare, &bridge->link);
        all->n_spare++;
    } else {
        close_bridge(bridge);
    }
    all->ops->on_sent(request);
}

/* Answers how many bytes the head has; 0: it is not complete, or the bridge is broken. */
static size_t begin_answer(struct bridge *bridge, struct span bytes)
{
    struct bridge_answer answer;
    struct request *request = bridge->request;
    size_t len;
    if (bridge_head_read(bytes, &answer, &len) != ERR_OK) {
        conn_break(&bridge->conn);
        return 0;
    }
    if (len == 0)
        return 0;
    bridge->is_answering = true;
    bridge->left = bridge->is_head ? 0 : answer.body_len;
    http_conn_keep(request->conn);
    http_conn_begin_answer(request->conn, answer.status, answer.content_type, answer.fields,
                           (int64_t)answer.body_len);
    return len;
}

/* Answers how many bytes were passed on. */
static size_t pass_body(struct bridge *bridge, struct span bytes)
{
    struct http_conn *client = bridge->request->conn;
    size_t unsent = http_conn_unsent(client);
    size_t room = unsent < BRIDGE_UNSENT_BYTES ? BRIDGE_UNSENT_BYTES - unsent : 0;
    size_t len = bytes.len < bridge->left ? bytes.len : bridge->left;
    if (len > room)
        len = room;
    bridge->left -= len;
    if (len > 0 || bridge->left == 0)
        http_conn_send_piece(client, (struct span){bytes.bytes, len}, bridge->left == 0);
    return len;
}

static size_t on_answer_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct bridge *bridge = CONTAINER_OF(conn, struct bridge, conn);
    struct span rest = {(const char *)bytes, len};
    if (bridge->request == NULL) {
        conn_break(conn); /* the library speaks unasked */
        return len;
    }
    if (!bridge->is_answering) {
        size_t head_len = begin_answer(bridge, rest);
        if (head_len == 0)
            return 0;
        rest = (struct span){rest.bytes + head_len, rest.len - head_len};
    }
    size_t passed = pass_body(bridge, rest);
    size_t taken = len - rest.len + passed;
    if (bridge->left == 0)
        end_answer(bridge);
    else if (passed < rest.len)
        conn_pause(conn); /* until the client has read */
    return taken;
}

void bridge_on_room(struct request *request)
{
    struct library_conn *exchange = request->exchange;
    if (exchange != NULL)
        conn_resume(&CONTAINER_OF(exchange, struct bridge, exchange)->conn);
}

/* ---- a request ---- */

static const struct conn_ops bridge_conn_ops = {.on_bytes = on_answer_bytes,
                                                .on_gone = on_bridge_gone};

/* The kernel charges what the library has written, and nobody has read, to its end. */
static enum err make_sockets(int ret_fds[2])
{
    int unsent = BRIDGE_UNSENT_BYTES / 2; /* the kernel doubles it */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) != 0)
        return ERR_SYSTEM;
    setsockopt(ret_fds[1], SOL_SOCKET, SO_SNDBUF, &unsent, sizeof unsent);
    return ERR_OK;
}

static struct bridge *make_bridge(struct bridges *all)
{
    int fds[2];
    struct bridge *bridge = calloc(1, sizeof *bridge);
    if (bridge == NULL)
        return NULL;
    if (make_sockets(fds) != ERR_OK)
        goto free_it;
    struct transport_socket socket = {fds[0], &transport_plain};
    if (conn_open(&bridge->conn, &all->home->worker->loop, &bridge_conn_ops, socket) != ERR_OK)
        goto close_sockets;
    conn_set_kind(&bridge->conn, HTTP_KIND_ADMIN);
    conn_set_uncounted(&bridge->conn);
    conn_set_bulk(&bridge->conn, true);
    bridge->all = all;
    bridge->exchange.on_closed = on_library_closed;
    list_append(&all->busy, &bridge->link);
    bridge->is_open = bridge->is_known = true;
    if (library_add(all->home->library, &bridge->exchange, fds[1]) == ERR_OK)
        return bridge;
    bridge->is_known = false; /* the library has closed its end */
    close_bridge(bridge);
    return NULL;

close_sockets:
    close(fds[0]);
    close(fds[1]);
free_it:
    free(bridge);
    return NULL;
}

static struct bridge *take_bridge(struct bridges *all)
{
    if (list_is_empty(&all->spare))
        return make_bridge(all);
    struct bridge *bridge = CONTAINER_OF(all->spare.next, struct bridge, link);
    list_remove(&bridge->link);
    list_append(&all->busy, &bridge->link);
    all->n_spare--;
    return bridge;
}

static enum err write_request(struct bridge *bridge, struct request *request)
{
    struct buf head;
    buf_init(&head, (size_t)2 * HTTP_HEAD_MAX_BYTES);
    request_find_head(request);
    bridge->is_head = span_equal(http_part_span(request->head_bytes, request->head->method),
                                 SPAN_LITERAL("HEAD"));
    enum err error =
        bridge_head_write(&head, request->head, request->head_bytes, request->body.len);
    if (error == ERR_OK)
        error = conn_write_bytes(&bridge->conn, head.bytes, head.len);
    if (error == ERR_OK && request->body.len > 0)
        error = conn_write_bytes(&bridge->conn, request->body.bytes, request->body.len);
    buf_fini(&head);
    buf_clear(&request->body); /* the library brings it again */
    return error;
}

static void carry_now(struct bridges *all, struct request *request)
{
    struct bridge *bridge = take_bridge(all);
    if (bridge == NULL) {
        all->ops->on_unserved(request);
        return;
    }
    bridge->request = request;
    bridge->is_answering = false;
    library_expect(&bridge->exchange, request);
    if (write_request(bridge, request) != ERR_OK)
        break_bridge(bridge);
}

static bool has_turn(struct bridges *all)
{
    uint64_t turn = reactor_turns(all->home->worker->reactor);
    if (turn != all->turn)
        all->n_begun = 0;
    all->turn = turn;
    return all->n_begun < BRIDGE_REQUESTS_PER_TURN;
}

static void wait_for_next_turn(struct bridges *all)
{
    if (!list_is_empty(&all->waiting))
        reactor_in_next_turn(all->home->worker->reactor, &all->next);
}

void bridge_carry(struct bridges *all, struct request *request)
{
    if (has_turn(all) && list_is_empty(&all->waiting)) {
        all->n_begun++;
        carry_now(all, request);
        return;
    }
    list_append(&all->waiting, &request->turn);
    wait_for_next_turn(all);
}

static void on_next_turn(struct reactor_task *task)
{
    struct bridges *all = CONTAINER_OF(task, struct bridges, next);
    while (has_turn(all) && !list_is_empty(&all->waiting)) {
        struct request *request = CONTAINER_OF(all->waiting.next, struct request, turn);
        list_remove(&request->turn);
        all->n_begun++;
        carry_now(all, request);
    }
    wait_for_next_turn(all);
}

void bridge_abandon(struct request *request)
{
    struct library_conn *exchange = request->exchange;
    list_remove(&request->turn);
    if (exchange != NULL)
        close_bridge(CONTAINER_OF(exchange, struct bridge, exchange));
}

/* ---- all of them ---- */

enum err bridges_new(struct admin_worker *home, const struct bridges_ops *ops,
                     struct bridges **ret_bridges)
{
    struct bridges *all = calloc(1, sizeof *all);
    if (all == NULL)
        return ERR_NO_MEMORY;
    all->home = home;
    all->ops = ops;
    list_init(&all->busy);
    list_init(&all->spare);
    list_init(&all->waiting);
    list_init(&all->next.link);
    all->next.run = on_next_turn;
    *ret_bridges = all;
    return ERR_OK;
}

void bridges_close(struct bridges *all)
{
    if (all == NULL)
        return;
    reactor_task_cancel(&all->next);
    LIST_FOR_EACH_SAFE(link, &all->busy)
    {
        close_bridge(CONTAINER_OF(link, struct bridge, link));
    }
    LIST_FOR_EACH_SAFE(link, &all->spare)
    {
        close_bridge(CONTAINER_OF(link, struct bridge, link));
    }
}

void bridges_free(struct bridges *all)
{
    free(all);
}
