/* A connection takes a slot among the node's sockets before it is accepted. Without a free slot it
 * cannot be given a time to retry: an EventSource that is refused before its request is read gives
 * up for good. So connections that are answered already make room, here or at another worker, and
 * meanwhile new ones stay in the kernel's backlog: the acceptor stops watching the listening
 * sockets and looks again after PAUSE_MS. Only where no slot will be free soon, because all are
 * held by sessions and by heads that take their time, is a connection accepted and refused at once
 * (early_refusal.h).
 *
 * When the process has no descriptor left, a spare one is given up for a moment to accept the
 * connection, refuse it and close it. */
#include "gateway/http/acceptor.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/http/early_refusal.h"
#include "gateway/http/listeners.h"
#include "gateway/http/proxy_conn.h"
#include "gateway/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* UNSENT_BYTES: 64 KiB makes no flush faster. 128 KiB saves a fifth of the CPU of a flush of 500
 * notifications to a user and nothing of one of 50, which is not worth the notifications that could
 * no longer be withdrawn. */
enum {
    ACCEPTS_PER_TURN = 16, /* so that a storm of connections does not starve the sessions */
    UNSENT_BYTES = 16 * 1024,
    FRESH_MS = 1000, /* a head that is not complete by then takes its time */
    PAUSE_MS = 10,
};

/* A listening socket, which all workers watch. */
struct listening {
    struct reactor_watch watch;
    struct acceptor *acceptor;
};

struct acceptor {
    struct worker *worker;
    struct http_conns http_conns;
    struct list proxy_conns; /* connections of trusted proxies whose first bytes are awaited */
    int spare_fd;            /* given up for a moment when the process has no descriptor left */
    struct timer pause;      /* runs while no slot is free, and nothing is accepted */
    bool is_open;
    bool is_paused;
    size_t n_listening;
    struct listening listening[];
};

/* EMFILE, ENFILE: the connection stays in the backlog and would wake us again and again. */
static void refuse_without_descriptor(struct acceptor *acceptor, int listen_fd, int code)
{
    close(acceptor->spare_fd);
    struct peer_address from;
    int fd = listener_accept(listen_fd, &from);
    if (fd >= 0)
        early_refusal_send(acceptor->worker, fd, ERR_FULL);
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    static struct log_limit failures = LOG_LIMIT(1000);
    log_limited(&failures, span_of("any"), LOG_WARN,
                "no descriptor left for a connection: raise the limit of open files",
                LOG_TEXT("error", strerrordesc_np(code)));
}

/* Its slot is taken. */
static void take_connection(struct acceptor *acceptor, int fd, const struct peer_address *from)
{
    struct node *node = acceptor->worker->node;
    struct peer *peer = NULL;
    int64_t due_ms = worker_now_ms(acceptor->worker) + node->options->head_timeout;
    enum err error = peer_arrive(node->peers, from->has_ip ? &from->ip : NULL, &peer);
    atomic_store_explicit(&node->arrived_ms, worker_now_ms(acceptor->worker), memory_order_relaxed);
    if (error == ERR_CROWDED) {
        atomic_fetch_sub(&node->n_sockets, 1);
        early_refusal_send(acceptor->worker, fd, ERR_CROWDED);
        return;
    }
    if (error == ERR_OK && peer_is_unresolved(peer))
        error = proxy_conn_new(acceptor->worker, fd, peer, &acceptor->proxy_conns,
                               &acceptor->http_conns);
    else if (error == ERR_OK)
        error = http_conn_new(acceptor->worker, fd, peer, &from->ip, due_ms, &acceptor->http_conns);
    if (error == ERR_OK)
        return;
    peer_leave(peer);
    atomic_fetch_sub(&node->n_sockets, 1);
    early_refusal_send(acceptor->worker, fd, ERR_FULL);
}

static void set_pause_timer(struct acceptor *acceptor)
{
    worker_set_timer(acceptor->worker, &acceptor->pause,
                     worker_now_ms(acceptor->worker) + PAUSE_MS);
}

/* At all listening sockets, or at none. */
static enum err listen_again(struct acceptor *acceptor)
{
    struct reactor *reactor = acceptor->worker->reactor;
    enum err error = ERR_OK;
    size_t n = 0;
    while (n < acceptor->n_listening && error == ERR_OK) {
        error = reactor_watch_add(reactor, &acceptor->listening[n].watch, EPOLLIN | EPOLLEXCLUSIVE);
        n += error == ERR_OK;
    }
    while (error != ERR_OK && n > 0)
        reactor_watch_remove(reactor, &acceptor->listening[--n].watch);
    acceptor->is_paused = error != ERR_OK;
    return error;
}

static void stop_listening(struct acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->n_listening; i++)
        reactor_watch_remove(acceptor->worker->reactor, &acceptor->listening[i].watch);
    acceptor->is_paused = true;
}

enum slot { SLOT_TAKEN, SLOT_SOON, SLOT_NONE };

/* SOON: connections that are answered, here or at another worker, are about to end, or heads that
 * have just begun are about to be answered. */
static enum slot take_socket_slot(struct acceptor *acceptor)
{
    struct node *node = acceptor->worker->node;
    if (atomic_fetch_add(&node->n_sockets, 1) < node->max_sockets ||
        http_conns_make_room(&acceptor->http_conns))
        return SLOT_TAKEN;
    atomic_fetch_sub(&node->n_sockets, 1);
    int64_t quiet_ms = worker_now_ms(acceptor->worker) - atomic_load(&node->arrived_ms);
    return atomic_load(&node->n_lingering) > 0 || quiet_ms < FRESH_MS ? SLOT_SOON : SLOT_NONE;
}

static void resume_accepting(struct timer *timer)
{
    struct acceptor *acceptor = CONTAINER_OF(timer, struct acceptor, pause);
    if (listen_again(acceptor) != ERR_OK)
        set_pause_timer(acceptor);
}

/* Not watched meanwhile: the backlog would wake us again and again. */
static void pause_for_slots(struct acceptor *acceptor)
{
    stop_listening(acceptor);
    set_pause_timer(acceptor);
    worker_command_all(acceptor->worker->node, COMMAND_MAKE_ROOM);
}

void acceptor_make_room(struct worker *worker)
{
    if (worker->acceptor != NULL)
        http_conns_drop_resting(&worker->acceptor->http_conns);
}

static void on_listening_ready(struct reactor_watch *watch, uint32_t events)
{
    struct acceptor *acceptor = CONTAINER_OF(watch, struct listening, watch)->acceptor;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        enum slot slot = take_socket_slot(acceptor);
        if (slot == SLOT_SOON) {
            pause_for_slots(acceptor);
            return;
        }
        struct peer_address from;
        int fd = listener_accept(watch->fd, &from);
        int code = errno;
        if (fd >= 0) {
            metrics_count(METRIC_ACCEPTED);
            if (slot == SLOT_TAKEN)
                take_connection(acceptor, fd, &from);
            else
                early_refusal_send(acceptor->worker, fd, ERR_FULL);
            continue;
        }
        if (slot == SLOT_TAKEN)
            atomic_fetch_sub(&acceptor->worker->node->n_sockets, 1);
        if (code == EAGAIN)
            return;
        if (code == ECONNABORTED || code == EINTR)
            continue;
        metrics_count(METRIC_ACCEPT_ERRORS);
        refuse_without_descriptor(acceptor, watch->fd, code);
        return;
    }
}

/* Accepted sockets inherit both. Bytes that the kernel holds unsent can neither expire nor be
 * withdrawn any more, so it may hold few. On a unix socket both calls fail, and nothing is to be
 * set. */
static void prepare_sockets(int listen_fd)
{
    int one = 1;
    int unsent = UNSENT_BYTES;
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static void init_listening(struct acceptor *acceptor, const struct listeners *listeners)
{
    acceptor->n_listening = listeners_count(listeners);
    for (size_t i = 0; i < acceptor->n_listening; i++) {
        int fd = listeners_fd(listeners, i);
        prepare_sockets(fd);
        acceptor->listening[i].acceptor = acceptor;
        acceptor->listening[i].watch =
            (struct reactor_watch){.on_ready = on_listening_ready, .fd = fd};
    }
}

enum err acceptor_new(struct worker *worker, http_request_fn *on_request)
{
    const struct listeners *listeners = worker->node->listeners;
    struct acceptor *acceptor =
        calloc(1, sizeof *acceptor + listeners_count(listeners) * sizeof acceptor->listening[0]);
    if (acceptor == NULL)
        return ERR_NO_MEMORY;
    acceptor->worker = worker;
    http_conns_init(&acceptor->http_conns, on_request);
    list_init(&acceptor->proxy_conns);
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    init_listening(acceptor, listeners);
    timer_init(&acceptor->pause, resume_accepting);
    enum err error = listen_again(acceptor);
    if (error != ERR_OK) {
        close(acceptor->spare_fd);
        free(acceptor);
        return error;
    }
    acceptor->is_open = true;
    worker->acceptor = acceptor;
    return ERR_OK;
}

void acceptor_close(struct worker *worker)
{
    struct acceptor *acceptor = worker->acceptor;
    if (!acceptor->is_open)
        return;
    acceptor->is_open = false;
    worker_cancel_timer(worker, &acceptor->pause);
    if (!acceptor->is_paused)
        stop_listening(acceptor);
    proxy_conns_drop_all(&acceptor->proxy_conns);
    http_conns_drop_unfinished(&acceptor->http_conns);
}

void acceptor_free(struct worker *worker)
{
    if (worker->acceptor == NULL)
        return;
    proxy_conns_drop_all(&worker->acceptor->proxy_conns);
    http_conns_drop_all(&worker->acceptor->http_conns);
    close(worker->acceptor->spare_fd);
    free(worker->acceptor);
    worker->acceptor = NULL;
}
