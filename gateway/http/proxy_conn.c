#include "gateway/http/proxy_conn.h"

#include "gateway/base/metrics.h"
#include "gateway/http/early_refusal.h"
#include "proto/http/proxy_head.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct proxy_conn {
    struct reactor_watch watch;
    struct worker *worker;
    struct peer *peer;
    struct list link;
    struct http_conns *http_conns;
    struct timer timer;
    int64_t due_ms; /* of the request's head, the PROXY header included */
    struct deferred_free deferred;
    bool is_carried; /* another process has it, too */
};

static void free_proxy_conn(struct deferred_free *deferred)
{
    free(CONTAINER_OF(deferred, struct proxy_conn, deferred));
}

/* Its socket and its peer are the caller's from now on. */
static void detach_proxy_conn(struct proxy_conn *proxy_conn)
{
    struct worker *worker = proxy_conn->worker;
    reactor_watch_remove(worker->reactor, &proxy_conn->watch);
    worker_cancel_timer(worker, &proxy_conn->timer);
    list_remove(&proxy_conn->link);
    worker_free_later(worker, &proxy_conn->deferred, free_proxy_conn);
}

static void close_proxied_socket(struct proxy_conn *proxy_conn)
{
    close(proxy_conn->watch.fd);
    peer_leave(proxy_conn->peer);
    atomic_fetch_sub(proxy_conn->http_conns->port->n_sockets, 1);
}

static void drop_proxy_conn(struct proxy_conn *proxy_conn)
{
    detach_proxy_conn(proxy_conn);
    close_proxied_socket(proxy_conn);
}

static void become_http_conn(struct proxy_conn *proxy_conn)
{
    int64_t due_ms = proxy_conn->due_ms;
    detach_proxy_conn(proxy_conn);
    if (http_conn_new(proxy_conn->worker, proxy_conn->watch.fd, proxy_conn->peer,
                      peer_address(proxy_conn->peer), due_ms, proxy_conn->http_conns) != ERR_OK)
        close_proxied_socket(proxy_conn);
}

static void take_proxy_head(struct proxy_conn *proxy_conn, const struct proxy_head *head)
{
    char bytes[PROXY_HEAD_MAX_BYTES];
    if (recv(proxy_conn->watch.fd, bytes, head->len, MSG_DONTWAIT) != (ssize_t)head->len) {
        drop_proxy_conn(proxy_conn); /* it was complete a moment ago */
        return;
    }
    enum err error = peer_resolve(proxy_conn->peer, head->has_address, &head->address);
    if (error == ERR_OK) {
        become_http_conn(proxy_conn);
    } else if (error == ERR_CROWDED) {
        detach_proxy_conn(proxy_conn);
        peer_leave(proxy_conn->peer);
        atomic_fetch_sub(proxy_conn->http_conns->port->n_sockets, 1);
        early_refusal_send(proxy_conn->worker, proxy_conn->http_conns->port, proxy_conn->watch.fd,
                           ERR_CROWDED);
    } else {
        drop_proxy_conn(proxy_conn);
    }
}

/* Bytes are peeked at, and stay in the socket until the header is complete. */
static void on_proxy_conn_ready(struct reactor_watch *watch, uint32_t events)
{
    struct proxy_conn *proxy_conn = CONTAINER_OF(watch, struct proxy_conn, watch);
    char bytes[PROXY_HEAD_MAX_BYTES];
    struct proxy_head head;
    ssize_t len = recv(watch->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        drop_proxy_conn(proxy_conn);
        return;
    }
    switch (proxy_head_parse((struct span){bytes, (size_t)len}, &head)) {
    case PROXY_HEAD_MORE:
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            drop_proxy_conn(proxy_conn); /* no more will come */
        break;
    case PROXY_HEAD_DONE:
        take_proxy_head(proxy_conn, &head);
        break;
    case PROXY_HEAD_BAD:
        metrics_count(METRIC_BAD_PROXY_HEADS);
        /* It is a malformed request line as well, and is refused as one. */
        become_http_conn(proxy_conn);
        break;
    case PROXY_HEAD_NONE:
        become_http_conn(proxy_conn);
        break;
    }
}

static void on_proxy_conn_timer(struct timer *timer)
{
    /* The time of the HTTP connection is over, too: it answers 408. */
    become_http_conn(CONTAINER_OF(timer, struct proxy_conn, timer));
}

enum err proxy_conn_new(struct worker *worker, int fd, struct peer *peer, uint32_t waited_ms,
                        struct list *all, struct http_conns *http_conns)
{
    struct proxy_conn *proxy_conn = calloc(1, sizeof *proxy_conn);
    if (proxy_conn == NULL)
        return ERR_NO_MEMORY;
    proxy_conn->worker = worker;
    proxy_conn->peer = peer;
    proxy_conn->http_conns = http_conns;
    proxy_conn->watch = (struct reactor_watch){.on_ready = on_proxy_conn_ready, .fd = fd};
    /* Edge-triggered: bytes that were peeked at are still there, and only more of them matter. */
    enum err error =
        reactor_watch_add(worker->reactor, &proxy_conn->watch, EPOLLIN | EPOLLRDHUP | EPOLLET);
    if (error != ERR_OK) {
        free(proxy_conn);
        return error;
    }
    list_append(all, &proxy_conn->link);
    timer_init(&proxy_conn->timer, on_proxy_conn_timer);
    proxy_conn->due_ms =
        worker_now_ms(worker) + atomic_load(&http_conns->port->limits.head_timeout_ms) - waited_ms;
    worker_set_timer(worker, &proxy_conn->timer, proxy_conn->due_ms);
    return ERR_OK;
}

void proxy_conns_drop_all(struct list *all)
{
    while (!list_is_empty(all))
        drop_proxy_conn(CONTAINER_OF(all->next, struct proxy_conn, link));
}

static uint32_t proxy_waited_ms(const struct proxy_conn *proxy_conn)
{
    int64_t left_ms = proxy_conn->due_ms - worker_now_ms(proxy_conn->worker);
    int64_t waited_ms =
        atomic_load(&proxy_conn->http_conns->port->limits.head_timeout_ms) - left_ms;
    return waited_ms <= 0 ? 0 : waited_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)waited_ms;
}

void proxy_conns_carry(struct list *all, carried_http_fn *visit, void *closure)
{
    LIST_FOR_EACH(link, all)
    {
        struct proxy_conn *proxy_conn = CONTAINER_OF(link, struct proxy_conn, link);
        struct carried_http carried = {.state = CARRIED_HTTP_PROXY,
                                       .waited_ms = proxy_waited_ms(proxy_conn)};
        /* Its first bytes may be a TLS client's hello, which stays in the socket. */
        bool is_plain = proxy_conn->http_conns->port->tls == NULL;
        peer_carry(proxy_conn->peer, &carried.peer);
        proxy_conn->is_carried = is_plain && visit(closure, proxy_conn->watch.fd, &carried);
    }
}

void proxy_conns_drop_carried(struct list *all)
{
    LIST_FOR_EACH_SAFE(link, all)
    {
        struct proxy_conn *proxy_conn = CONTAINER_OF(link, struct proxy_conn, link);
        if (proxy_conn->is_carried)
            drop_proxy_conn(proxy_conn);
    }
}
