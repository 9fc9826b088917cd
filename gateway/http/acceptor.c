#include "gateway/http/acceptor.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/http/http_conn.h"
#include "gateway/http/listeners.h"
#include "gateway/http/proxy_conn.h"
#include "gateway/net/listener.h"
#include "gateway/node/refusals.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* UNSENT_BYTES: 64 KiB makes no flush faster; 128 KiB saves a fifth of the CPU of one of 500
 * notifications a user and nothing of one of 50: not worth what could no longer be withdrawn. */
enum {
    ACCEPTS_PER_TURN = 16, /* so that a storm of them does not starve the sessions */
    UNSENT_BYTES = 16 * 1024,
    FRESH_MS = 1000, /* a head that has not come by then takes its time */
    PAUSE_MS = 10,
};

/* One of the listening sockets, which all workers watch. */
struct door {
    struct reactor_watch watch;
    struct front *front;
};

struct front {
    struct worker *worker;
    struct arrivals arrivals;
    struct list proxied; /* connections of trusted proxies whose first bytes are awaited */
    int spare_fd;        /* given up for a moment when the process has no descriptor left */
    struct timer pause;  /* runs while no place is free, and nothing is accepted */
    bool is_open;
    bool is_paused;
    size_t n_doors;
    struct door doors[];
};

/* EMFILE, ENFILE: the connection stays in the backlog and would wake us for ever. The spare
 * descriptor lets us take it, say no, and close it. */
static void refuse_without_descriptor(struct front *front, int listen_fd, int code)
{
    close(front->spare_fd);
    struct peer_address peer;
    int fd = listener_accept(listen_fd, &peer);
    if (fd >= 0)
        refused_close(front->worker, fd, ERR_FULL);
    front->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    static struct log_limit failures = LOG_LIMIT(1000);
    log_limited(&failures, span_of("any"), LOG_WARN,
                "no descriptor left for a connection: raise the limit of open files",
                LOG_TEXT("error", strerrordesc_np(code)));
}

/* For which a place was taken. */
static void take(struct front *front, int fd, const struct peer_address *peer)
{
    struct node *node = front->worker->node;
    struct source *source = NULL;
    int64_t due_ms = worker_now_ms(front->worker) + node->options->head_timeout;
    enum err error = source_arrive(node->sources, peer->has_ip ? &peer->ip : NULL, &source);
    atomic_store_explicit(&node->arrived_ms, worker_now_ms(front->worker), memory_order_relaxed);
    if (error == ERR_CROWDED) {
        atomic_fetch_sub(&node->n_sockets, 1);
        refused_close(front->worker, fd, ERR_CROWDED);
        return;
    }
    if (error == ERR_OK && source_is_untold(source))
        error = proxied_new(front->worker, fd, source, &front->proxied, &front->arrivals);
    else if (error == ERR_OK)
        error = arrival_new(front->worker, fd, source, &peer->ip, due_ms, &front->arrivals);
    if (error == ERR_OK)
        return;
    source_leave(source);
    atomic_fetch_sub(&node->n_sockets, 1);
    refused_close(front->worker, fd, ERR_FULL);
}

static void set_pause(struct front *front)
{
    timer_set(reactor_timers(front->worker->reactor), &front->pause,
              worker_now_ms(front->worker) + PAUSE_MS);
}

/* Of all doors, or of none. */
static enum err listen_again(struct front *front)
{
    struct reactor *reactor = front->worker->reactor;
    enum err error = ERR_OK;
    size_t n = 0;
    while (n < front->n_doors && error == ERR_OK) {
        error = reactor_watch_add(reactor, &front->doors[n].watch, EPOLLIN | EPOLLEXCLUSIVE);
        n += error == ERR_OK;
    }
    while (error != ERR_OK && n > 0)
        reactor_watch_remove(reactor, &front->doors[--n].watch);
    front->is_paused = error != ERR_OK;
    return error;
}

static void stop_listening(struct front *front)
{
    for (size_t i = 0; i < front->n_doors; i++)
        reactor_watch_remove(front->worker->reactor, &front->doors[i].watch);
    front->is_paused = true;
}

enum place { PLACE_TAKEN, PLACE_SOON, PLACE_NONE };

/* Without a place nobody can be told how to come again: an EventSource that is refused without a
 * look at its request gives up. So whoever is answered already makes room; and where places are
 * about to be free, here or at another worker, the connection stays in the backlog. What does not
 * move makes nobody wait: heads that take their time. */
static enum place take_place(struct front *front)
{
    struct node *node = front->worker->node;
    if (atomic_fetch_add(&node->n_sockets, 1) < node->max_sockets ||
        arrivals_make_room(&front->arrivals))
        return PLACE_TAKEN;
    atomic_fetch_sub(&node->n_sockets, 1);
    int64_t quiet_ms = worker_now_ms(front->worker) - atomic_load(&node->arrived_ms);
    return atomic_load(&node->n_lingering) > 0 || quiet_ms < FRESH_MS ? PLACE_SOON : PLACE_NONE;
}

static void go_on(struct timer *timer)
{
    struct front *front = CONTAINER_OF(timer, struct front, pause);
    if (listen_again(front) != ERR_OK)
        set_pause(front);
}

/* Not watched meanwhile: the backlog would wake us again and again. */
static void pause_for_places(struct front *front)
{
    stop_listening(front);
    set_pause(front);
    worker_announce(front->worker->node, WORD_MAKE_ROOM);
}

void front_make_room(struct worker *worker)
{
    if (worker->front != NULL)
        arrivals_drop_resting(&worker->front->arrivals);
}

static void on_connections(struct reactor_watch *watch, uint32_t events)
{
    struct front *front = CONTAINER_OF(watch, struct door, watch)->front;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        enum place place = take_place(front);
        if (place == PLACE_SOON) {
            pause_for_places(front);
            return;
        }
        struct peer_address peer;
        int fd = listener_accept(watch->fd, &peer);
        int code = errno;
        if (fd >= 0) {
            metrics_count(METRIC_ACCEPTED);
            if (place == PLACE_TAKEN)
                take(front, fd, &peer);
            else
                refused_close(front->worker, fd, ERR_FULL);
            continue;
        }
        if (place == PLACE_TAKEN)
            atomic_fetch_sub(&front->worker->node->n_sockets, 1);
        if (code == EAGAIN)
            return;
        if (code == ECONNABORTED || code == EINTR)
            continue;
        metrics_count(METRIC_ACCEPT_ERRORS);
        refuse_without_descriptor(front, watch->fd, code);
        return;
    }
}

/* What is accepted inherits it. What the kernel holds and has not sent can neither expire nor be
 * withdrawn any more, so it takes little. On a unix socket both fail, and there is nothing to set.
 */
static void prepare_sockets(int listen_fd)
{
    int one = 1;
    int unsent = UNSENT_BYTES;
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static void make_doors(struct front *front, const struct listeners *listeners)
{
    front->n_doors = listeners_count(listeners);
    for (size_t i = 0; i < front->n_doors; i++) {
        int fd = listeners_fd(listeners, i);
        prepare_sockets(fd);
        front->doors[i].front = front;
        front->doors[i].watch = (struct reactor_watch){.on_ready = on_connections, .fd = fd};
    }
}

enum err front_new(struct worker *worker)
{
    const struct listeners *listeners = worker->node->listeners;
    struct front *front =
        calloc(1, sizeof *front + listeners_count(listeners) * sizeof front->doors[0]);
    if (front == NULL)
        return ERR_NO_MEMORY;
    front->worker = worker;
    arrivals_init(&front->arrivals);
    list_init(&front->proxied);
    front->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    make_doors(front, listeners);
    timer_init(&front->pause, go_on);
    enum err error = listen_again(front);
    if (error != ERR_OK) {
        close(front->spare_fd);
        free(front);
        return error;
    }
    front->is_open = true;
    worker->front = front;
    return ERR_OK;
}

void front_close(struct worker *worker)
{
    struct front *front = worker->front;
    if (!front->is_open)
        return;
    front->is_open = false;
    timer_cancel(reactor_timers(worker->reactor), &front->pause);
    if (!front->is_paused)
        stop_listening(front);
    proxied_drop_all(&front->proxied);
    arrivals_drop_unfinished(&front->arrivals);
}

void front_free(struct worker *worker)
{
    if (worker->front == NULL)
        return;
    proxied_drop_all(&worker->front->proxied);
    arrivals_drop_all(&worker->front->arrivals);
    close(worker->front->spare_fd);
    free(worker->front);
    worker->front = NULL;
}
