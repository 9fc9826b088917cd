#include "gateway/net/handshakes.h"

#include "gateway/base/metrics.h"
#include "gateway/net/conn.h"

#include <stdlib.h>
#include <sys/epoll.h>

struct handshake {
    struct list link;  /* ready or waiting */
    struct list begun; /* in handshakes->begun, from the first step on */
    struct conn *conn;
    int64_t begun_ms;
    uint32_t events; /* that the socket is watched for */
};

static void run_steps(struct reactor_task *task);

static void on_give_way(struct timer *timer)
{
    struct handshakes *handshakes = CONTAINER_OF(timer, struct handshakes, give_way);
    reactor_at_turn_end(handshakes->reactor, &handshakes->task);
}

void handshakes_init(struct handshakes *handshakes, struct reactor *reactor)
{
    *handshakes = (struct handshakes){.reactor = reactor, .task.run = run_steps};
    list_init(&handshakes->ready);
    list_init(&handshakes->waiting);
    list_init(&handshakes->begun);
    list_init(&handshakes->task.link);
    timer_init(&handshakes->give_way, on_give_way);
}

void handshakes_fini(struct handshakes *handshakes)
{
    reactor_task_cancel(&handshakes->task);
    timer_cancel(reactor_timers(handshakes->reactor), &handshakes->give_way);
}

enum err handshake_new(struct conn *conn, struct handshake **ret_handshake)
{
    struct handshake *handshake = calloc(1, sizeof *handshake);
    if (handshake == NULL)
        return ERR_NO_MEMORY;
    list_init(&handshake->link);
    list_init(&handshake->begun);
    handshake->conn = conn;
    handshake->events = EPOLLIN;
    *ret_handshake = handshake;
    return ERR_OK;
}

static bool has_begun(const struct handshake *handshake)
{
    return !list_is_empty(&handshake->begun);
}

bool handshake_is_waiting(const struct handshake *handshake)
{
    return !list_is_empty(&handshake->link);
}

/* Those that have begun stand in front: they make room. */
static void put(struct list *list, struct handshake *handshake)
{
    list_append(has_begun(handshake) ? list->next : list, &handshake->link);
}

void handshake_ready(struct handshakes *handshakes, struct handshake *handshake)
{
    put(&handshakes->ready, handshake);
    reactor_at_turn_end(handshakes->reactor, &handshakes->task);
}

void handshake_free(struct handshakes *handshakes, struct handshake *handshake)
{
    list_remove(&handshake->link);
    if (has_begun(handshake)) {
        list_remove(&handshake->begun);
        handshakes->n_begun--;
        if (!list_is_empty(
                &handshakes->waiting)) /* there is a place: this turn has had its share */
            reactor_in_next_turn(handshakes->reactor, &handshakes->task);
    }
    free(handshake);
}

/* false: the connection has broken. */
static bool watch_for(struct handshake *handshake, uint32_t events)
{
    struct conn *conn = handshake->conn;
    if (handshake->events == events)
        return true;
    handshake->events = events;
    return reactor_watch_change(conn->loop->reactor, &conn->watch, events) == ERR_OK;
}

static void fail(struct conn *conn)
{
    conn->ops->on_gone(conn, false);
}

static void step(struct handshake *handshake)
{
    struct conn *conn = handshake->conn;
    switch (conn->transport->ops->shake(conn->transport, conn->watch.fd)) {
    case TRANSPORT_MOVED:
        if (watch_for(handshake, EPOLLIN))
            conn_shaken(conn);
        else
            fail(conn);
        break;
    case TRANSPORT_WANTS_READ:
        if (!watch_for(handshake, EPOLLIN))
            fail(conn);
        break;
    case TRANSPORT_WANTS_WRITE:
        if (!watch_for(handshake, EPOLLOUT))
            fail(conn);
        break;
    case TRANSPORT_CLOSED:
    case TRANSPORT_BROKEN:
        fail(conn);
        break;
    }
}

/* A place for one more: a free one, or that of the oldest. */
static bool find_place(struct handshakes *handshakes)
{
    if (handshakes->n_begun < HANDSHAKES_BEGUN)
        return true;
    struct handshake *oldest = CONTAINER_OF(handshakes->begun.next, struct handshake, begun);
    int64_t due_ms = oldest->begun_ms + HANDSHAKE_GIVES_WAY_MS;
    if (reactor_now_ms(handshakes->reactor) < due_ms) {
        timer_set(reactor_timers(handshakes->reactor), &handshakes->give_way, due_ms);
        return false;
    }
    metrics_count(METRIC_TLS_GAVE_WAY);
    fail(oldest->conn);
    return true;
}

static struct handshake *first_of(struct list *list)
{
    return list_is_empty(list) ? NULL : CONTAINER_OF(list->next, struct handshake, link);
}

/* One that has begun, else the one that was put off first, else the first of this turn. */
static struct handshake *find_next(struct handshakes *handshakes)
{
    struct handshake *waiting = first_of(&handshakes->waiting);
    struct handshake *ready = first_of(&handshakes->ready);
    if (ready != NULL && has_begun(ready) && (waiting == NULL || !has_begun(waiting)))
        return ready;
    return waiting != NULL ? waiting : ready;
}

/* NULL: none waits, or there is no place. */
static struct handshake *take_next(struct handshakes *handshakes)
{
    struct handshake *next = find_next(handshakes);
    if (next == NULL || (!has_begun(next) && !find_place(handshakes)))
        return NULL;
    list_remove(&next->link);
    if (!has_begun(next)) {
        list_append(&handshakes->begun, &next->begun);
        next->begun_ms = reactor_now_ms(handshakes->reactor);
        handshakes->n_begun++;
    }
    return next;
}

/* What is ready and has no share in this turn waits; its socket would report itself in each turn.
 */
static void put_off(struct handshakes *handshakes)
{
    while (!list_is_empty(&handshakes->ready)) {
        struct handshake *handshake = CONTAINER_OF(handshakes->ready.next, struct handshake, link);
        list_remove(&handshake->link);
        put(&handshakes->waiting, handshake);
        metrics_count(METRIC_TLS_PUT_OFF);
        if (!watch_for(handshake, 0))
            fail(handshake->conn);
    }
}

static void run_steps(struct reactor_task *task)
{
    struct handshakes *handshakes = CONTAINER_OF(task, struct handshakes, task);
    unsigned n = 0;
    struct handshake *next = NULL;
    while (n < HANDSHAKE_STEPS && (next = take_next(handshakes)) != NULL) {
        step(next);
        n++;
    }
    put_off(handshakes);
    if (n == HANDSHAKE_STEPS && !list_is_empty(&handshakes->waiting))
        reactor_in_next_turn(handshakes->reactor, task);
}
