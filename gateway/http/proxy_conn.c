#include "gateway/http/proxy_conn.h"

#include "gateway/base/metrics.h"
#include "gateway/node/refusals.h"
#include "proto/http/proxy_head.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct proxied {
    struct reactor_watch watch;
    struct worker *worker;
    struct source *source;
    struct list link;
    struct arrivals *arrivals;
    struct timer timer;
    int64_t due_ms; /* for all of the head, the PROXY header included */
    struct grave grave;
};

static void free_proxied(struct grave *grave)
{
    free(CONTAINER_OF(grave, struct proxied, grave));
}

/* The socket and the source are somebody else's from now on. */
static void leave(struct proxied *proxied)
{
    struct worker *worker = proxied->worker;
    reactor_watch_remove(worker->reactor, &proxied->watch);
    timer_cancel(reactor_timers(worker->reactor), &proxied->timer);
    list_remove(&proxied->link);
    worker_bury(worker, &proxied->grave, free_proxied);
}

static void close_socket(struct proxied *proxied)
{
    close(proxied->watch.fd);
    source_leave(proxied->source);
    atomic_fetch_sub(&proxied->worker->node->n_sockets, 1);
}

static void drop(struct proxied *proxied)
{
    leave(proxied);
    close_socket(proxied);
}

static void go_on(struct proxied *proxied)
{
    int64_t due_ms = proxied->due_ms;
    leave(proxied);
    if (arrival_new(proxied->worker, proxied->watch.fd, proxied->source,
                    source_address(proxied->source), due_ms, proxied->arrivals) != ERR_OK)
        close_socket(proxied);
}

static void take_head(struct proxied *proxied, const struct proxy_head *head)
{
    char bytes[PROXY_HEAD_MAX_BYTES];
    if (recv(proxied->watch.fd, bytes, head->len, MSG_DONTWAIT) != (ssize_t)head->len) {
        drop(proxied); /* it was all there a moment ago */
        return;
    }
    enum err error = source_tell(proxied->source, head->has_address, &head->address);
    if (error == ERR_OK) {
        go_on(proxied);
    } else if (error == ERR_CROWDED) {
        leave(proxied);
        source_leave(proxied->source);
        atomic_fetch_sub(&proxied->worker->node->n_sockets, 1);
        refused_close(proxied->worker, proxied->watch.fd, ERR_CROWDED);
    } else {
        drop(proxied);
    }
}

/* The bytes are looked at and left where they are until a whole header is among them. */
static void on_ready(struct reactor_watch *watch, uint32_t events)
{
    struct proxied *proxied = CONTAINER_OF(watch, struct proxied, watch);
    char bytes[PROXY_HEAD_MAX_BYTES];
    struct proxy_head head;
    ssize_t len = recv(watch->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        drop(proxied);
        return;
    }
    switch (proxy_head_parse((struct span){bytes, (size_t)len}, &head)) {
    case PROXY_HEAD_MORE:
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            drop(proxied); /* no more will come */
        break;
    case PROXY_HEAD_DONE:
        take_head(proxied, &head);
        break;
    case PROXY_HEAD_BAD:
        metrics_count(METRIC_BAD_PROXY_HEADS);
        go_on(proxied); /* as a request line it is malformed, too, and answered so */
        break;
    case PROXY_HEAD_NONE:
        go_on(proxied);
        break;
    }
}

static void on_timer(struct timer *timer)
{
    go_on(CONTAINER_OF(timer, struct proxied, timer)); /* its time is over, and it is told so */
}

enum err proxied_new(struct worker *worker, int fd, struct source *source, struct list *all,
                     struct arrivals *arrivals)
{
    struct proxied *proxied = calloc(1, sizeof *proxied);
    if (proxied == NULL)
        return ERR_NO_MEMORY;
    proxied->worker = worker;
    proxied->source = source;
    proxied->arrivals = arrivals;
    proxied->watch = (struct reactor_watch){.on_ready = on_ready, .fd = fd};
    /* Edges, because what was looked at still lies there: only more of it is news. */
    enum err error =
        reactor_watch_add(worker->reactor, &proxied->watch, EPOLLIN | EPOLLRDHUP | EPOLLET);
    if (error != ERR_OK) {
        free(proxied);
        return error;
    }
    list_append(all, &proxied->link);
    timer_init(&proxied->timer, on_timer);
    proxied->due_ms = worker_now_ms(worker) + worker->node->options->head_timeout;
    timer_set(reactor_timers(worker->reactor), &proxied->timer, proxied->due_ms);
    return ERR_OK;
}

void proxied_drop_all(struct list *all)
{
    while (!list_is_empty(all))
        drop(CONTAINER_OF(all->next, struct proxied, link));
}
