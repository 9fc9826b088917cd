/* A connection takes a slot among the node's sockets before it is accepted. Without a free slot it
 * cannot be given a time to retry: an EventSource that is refused before its request is read gives
 * up for good. So connections that are answered already make room, and heads that are not complete
 * where heads give way (http_conns_make_room), here or at another worker, and meanwhile new ones
 * stay in the kernel's backlog: the acceptor stops watching the listening sockets and looks again
 * after PAUSE_MS. Only where no slot will be free soon, because all are held by sessions and by
 * heads that take their time, is a connection accepted and refused at once (early_refusal.h).
 *
 * When the process has no descriptor left, a spare one is given up for a moment to accept the
 * connection, refuse it and close it. If another thread has taken that one, too, nothing is
 * accepted for PAUSE_MS. */
#include "gateway/http/acceptor.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/http/early_refusal.h"
#include "gateway/http/held_conns.h"
#include "gateway/http/listeners.h"
#include "gateway/http/proxy_conn.h"
#include "gateway/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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
    PAUSE_MS = 10,
    YIELDS_MAX = 4, /* another worker may take the place that was made */
};

/* A listening socket, which all workers watch. */
struct listening {
    struct reactor_watch watch;
    struct acceptor *acceptor;
};

struct acceptor {
    struct worker *worker;
    struct http_port *port;
    struct letter ask; /* from another acceptor of the port: make room */
    atomic_bool is_asked;
    struct http_conns http_conns;
    struct list proxy_conns; /* connections of trusted proxies whose first bytes are awaited */
    struct list held;        /* from another process, and not touched yet */
    int spare_fd;            /* given up for a moment when the process has no descriptor left */
    struct timer pause;      /* runs while no slot is free, and nothing is accepted */
    bool is_open;
    bool is_paused; /* the listening sockets are not watched */
    bool is_last;   /* what waits in the kernel is accepted now, or reset */
    size_t n_listening;
    struct listening listening[];
};

/* EMFILE, ENFILE: the connection stays in the backlog and would wake us again and again. false: it
 * does. */
static bool refuse_without_descriptor(struct acceptor *acceptor, int listen_fd, int code)
{
    close(acceptor->spare_fd);
    struct peer_address from;
    int fd = listener_accept(listen_fd, &from);
    if (fd >= 0)
        early_refusal_send(acceptor->worker, acceptor->port, fd, ERR_FULL);
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    static struct log_limit failures = LOG_LIMIT(1000);
    log_limited(&failures, span_of("any"), LOG_WARN,
                "no descriptor left for a connection: raise the limit of open files",
                LOG_TEXT("error", strerrordesc_np(code)));
    return fd >= 0;
}

static enum err peer_of(const struct http_port *port, const struct peer_address *from,
                        struct peer **ret_peer)
{
    *ret_peer = NULL;
    return port->peers == NULL
               ? ERR_OK
               : peer_arrive(port->peers, from->has_ip ? &from->ip : NULL, ret_peer);
}

/* Its slot is taken. */
static void take_connection(struct acceptor *acceptor, int fd, const struct peer_address *from)
{
    struct http_port *port = acceptor->port;
    struct peer *peer;
    int64_t now_ms = worker_now_ms(acceptor->worker);
    int64_t due_ms = now_ms + atomic_load(&port->limits.head_timeout_ms);
    enum err error = peer_of(port, from, &peer);
    for (int i = 0; error == ERR_CROWDED && i < YIELDS_MAX &&
                    http_conns_yield_to(&acceptor->http_conns, &from->ip);
         i++)
        error = peer_of(port, from, &peer);
    atomic_store_explicit(&port->arrived_ms, now_ms, memory_order_relaxed);
    if (error == ERR_OK && peer_is_unresolved(peer))
        error = proxy_conn_new(acceptor->worker, fd, peer, 0, &acceptor->proxy_conns,
                               &acceptor->http_conns);
    else if (error == ERR_OK)
        error = http_conn_new(acceptor->worker, fd, peer, &from->ip, due_ms, &acceptor->http_conns);
    if (error == ERR_OK)
        return;
    peer_leave(peer);
    atomic_fetch_sub(port->n_sockets, 1);
    early_refusal_send(acceptor->worker, port, fd, error == ERR_CROWDED ? ERR_CROWDED : ERR_FULL);
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

enum slot { SLOT_TAKEN, SLOT_SOON, SLOT_NONE, SLOT_NOT_NEEDED };

static bool can_yield(const struct http_port *port)
{
    for (unsigned i = 0; i < port->node->n_workers; i++) {
        if (http_conns_can_yield(&port->acceptors[i]->http_conns))
            return true;
    }
    return false;
}

/* NOT_NEEDED: nobody waits, for whom others would have to go. SOON: connections that are answered,
 * here or at another worker, are about to end, or heads that have just begun are about to be
 * answered. */
static enum slot take_socket_slot(struct acceptor *acceptor, int listen_fd)
{
    struct http_port *port = acceptor->port;
    if (atomic_fetch_add(port->n_sockets, 1) < port->max_sockets)
        return SLOT_TAKEN;
    bool is_needed = poll(&(struct pollfd){.fd = listen_fd, .events = POLLIN}, 1, 0) > 0;
    if (is_needed && http_conns_make_room(&acceptor->http_conns))
        return SLOT_TAKEN;
    atomic_fetch_sub(port->n_sockets, 1);
    if (!is_needed)
        return SLOT_NOT_NEEDED;
    int64_t quiet_ms = worker_now_ms(acceptor->worker) - atomic_load(&port->arrived_ms);
    return can_yield(port) || quiet_ms < HTTP_FRESH_MS ? SLOT_SOON : SLOT_NONE;
}

static void resume_accepting(struct timer *timer)
{
    struct acceptor *acceptor = CONTAINER_OF(timer, struct acceptor, pause);
    if (listen_again(acceptor) != ERR_OK)
        set_pause_timer(acceptor);
}

/* Another worker has no room for a connection. */
static void on_asked(struct letter *letter)
{
    struct acceptor *acceptor = CONTAINER_OF(letter, struct acceptor, ask);
    atomic_store(&acceptor->is_asked, false);
    http_conns_yield(&acceptor->http_conns);
}

static void ask_all_for_room(const struct http_port *port)
{
    for (unsigned i = 0; i < port->node->n_workers; i++) {
        struct acceptor *acceptor = port->acceptors[i];
        if (!atomic_exchange(&acceptor->is_asked, true))
            worker_post(acceptor->worker, &acceptor->ask, on_asked);
    }
}

/* Not watched meanwhile: the backlog would wake us again and again. */
static void pause_for_slots(struct acceptor *acceptor)
{
    stop_listening(acceptor);
    set_pause_timer(acceptor);
    ask_all_for_room(acceptor->port);
}

/* What accepting a connection came to. */
enum accepted { ACCEPTED_ONE, ACCEPTED_NONE, ACCEPTED_LATER };

static enum accepted accept_one(struct acceptor *acceptor, int listen_fd)
{
    struct http_port *port = acceptor->port;
    struct peer_address from;
    enum slot slot = take_socket_slot(acceptor, listen_fd);
    if (slot == SLOT_SOON && acceptor->is_last)
        slot = SLOT_NONE;
    if (slot == SLOT_SOON || slot == SLOT_NOT_NEEDED)
        return slot == SLOT_SOON ? ACCEPTED_LATER : ACCEPTED_NONE;
    int fd = listener_accept(listen_fd, &from);
    int code = errno;
    if (fd >= 0) {
        metrics_count(port->accepted);
        if (slot == SLOT_TAKEN)
            take_connection(acceptor, fd, &from);
        else
            early_refusal_send(acceptor->worker, port, fd, ERR_FULL);
        return ACCEPTED_ONE;
    }
    if (slot == SLOT_TAKEN)
        atomic_fetch_sub(port->n_sockets, 1);
    if (code == ECONNABORTED || code == EINTR)
        return ACCEPTED_ONE;
    if (code != EAGAIN) {
        metrics_count(port->accept_errors);
        if (!refuse_without_descriptor(acceptor, listen_fd, code))
            return ACCEPTED_LATER;
    }
    return ACCEPTED_NONE;
}

static void on_listening_ready(struct reactor_watch *watch, uint32_t events)
{
    struct acceptor *acceptor = CONTAINER_OF(watch, struct listening, watch)->acceptor;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        enum accepted accepted = accept_one(acceptor, watch->fd);
        if (accepted == ACCEPTED_LATER)
            pause_for_slots(acceptor);
        if (accepted != ACCEPTED_ONE)
            return;
    }
}

/* Accepted sockets inherit the first two. Bytes that the kernel holds unsent can neither expire nor
 * be withdrawn any more, so it may hold few. A connection that is accepted with its request needs
 * no turn of its own to be read. On a unix socket the calls fail, and nothing is to be set. */
static void prepare_sockets(int listen_fd, bool awaits_bytes)
{
    int one = 1;
    int unsent = UNSENT_BYTES;
    int seconds = awaits_bytes; /* another process may have set it the other way */
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(listen_fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

static void init_listening(struct acceptor *acceptor, const struct listeners *listeners)
{
    acceptor->n_listening = listeners_count(listeners);
    for (size_t i = 0; i < acceptor->n_listening; i++) {
        int fd = listeners_fd(listeners, i);
        prepare_sockets(fd, acceptor->http_conns.port->awaits_bytes);
        acceptor->listening[i].acceptor = acceptor;
        acceptor->listening[i].watch =
            (struct reactor_watch){.on_ready = on_listening_ready, .fd = fd};
    }
}

struct acceptor *acceptor_new(struct worker *worker, struct http_port *port)
{
    size_t n = listeners_count(port->listeners);
    struct acceptor *acceptor = calloc(1, sizeof *acceptor + n * sizeof acceptor->listening[0]);
    if (acceptor == NULL)
        return NULL;
    acceptor->worker = worker;
    acceptor->port = port;
    http_conns_init(&acceptor->http_conns, port);
    list_init(&acceptor->proxy_conns);
    list_init(&acceptor->held);
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    init_listening(acceptor, port->listeners);
    timer_init(&acceptor->pause, resume_accepting);
    return acceptor;
}

enum err acceptor_open(struct acceptor *acceptor)
{
    enum err error = listen_again(acceptor);
    acceptor->is_open = error == ERR_OK;
    return error;
}

void acceptor_pause(struct acceptor *acceptor)
{
    worker_cancel_timer(acceptor->worker, &acceptor->pause);
    if (acceptor->is_open && !acceptor->is_paused)
        stop_listening(acceptor);
    http_conns_pause(&acceptor->http_conns);
}

void acceptor_resume(struct acceptor *acceptor)
{
    http_conns_resume(&acceptor->http_conns);
    if (acceptor->is_open && acceptor->is_paused)
        set_pause_timer(acceptor); /* first those are noticed that have gone */
}

static void stop_accepting(struct acceptor *acceptor)
{
    if (!acceptor->is_open)
        return;
    acceptor->is_open = false;
    worker_cancel_timer(acceptor->worker, &acceptor->pause);
    if (!acceptor->is_paused)
        stop_listening(acceptor);
}

void acceptor_take_last(struct acceptor *acceptor)
{
    acceptor->is_last = true;
    for (size_t i = 0; acceptor->is_open && i < acceptor->n_listening; i++) {
        while (accept_one(acceptor, acceptor->listening[i].watch.fd) == ACCEPTED_ONE) {
        }
    }
    stop_accepting(acceptor);
}

void acceptor_let_go(struct acceptor *acceptor)
{
    stop_accepting(acceptor);
    acceptor->n_listening = 0;
}

unsigned acceptor_under_way(const struct acceptor *acceptor)
{
    return http_conns_under_way(&acceptor->http_conns);
}

void acceptor_carry(struct acceptor *acceptor, carried_http_fn *visit, void *closure)
{
    proxy_conns_carry(&acceptor->proxy_conns, visit, closure);
    http_conns_carry(&acceptor->http_conns, visit, closure);
}

void acceptor_drop_carried(struct acceptor *acceptor)
{
    proxy_conns_drop_carried(&acceptor->proxy_conns);
    http_conns_drop_carried(&acceptor->http_conns);
}

enum err acceptor_adopt(struct acceptor *acceptor, int fd, const struct carried_http *carried)
{
    return held_conn_new(acceptor->port, fd, carried, &acceptor->held);
}

void acceptor_go_on(struct acceptor *acceptor)
{
    held_conns_go(&acceptor->held, acceptor->worker, &acceptor->proxy_conns, &acceptor->http_conns);
}

unsigned acceptor_drop_unread(struct acceptor *acceptor, int64_t quiet_ms)
{
    return http_conns_drop_unread(&acceptor->http_conns, quiet_ms);
}

void acceptor_close(struct acceptor *acceptor)
{
    stop_accepting(acceptor);
    proxy_conns_drop_all(&acceptor->proxy_conns);
    http_conns_drop_unfinished(&acceptor->http_conns);
}

void acceptor_free(struct acceptor *acceptor)
{
    if (acceptor == NULL)
        return;
    held_conns_drop_all(&acceptor->held, acceptor->port);
    proxy_conns_drop_all(&acceptor->proxy_conns);
    http_conns_drop_all(&acceptor->http_conns);
    close(acceptor->spare_fd);
    free(acceptor);
}
