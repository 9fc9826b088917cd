/* A socket that becomes ready joins the ready list (handshake_ready); run_steps takes
 * HANDSHAKE_STEPS of them at the end of the turn. A started handshake and a fresh one are taken
 * alternately. A fresh one first needs a slot (find_slot_for), which may evict the oldest of
 * another address. A handshake that got no step is not watched until it gets one (defer_ready). A
 * step ends with one of the owner's two callbacks, or changes the events that the socket is watched
 * for. */
#include "gateway/net/handshakes.h"

#include "gateway/base/metrics.h"
#include "gateway/net/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct handshake {
    struct handshake_entry entry;
    struct list ready;
    struct handshakes *handshakes;
    struct reactor_watch *socket;
    struct transport *transport;
    int64_t begun_ms;
    uint32_t events; /* the events that the socket is watched for */
};

static void run_steps(struct reactor_task *task);

static void on_give_way(struct timer *timer)
{
    struct handshakes *handshakes = CONTAINER_OF(timer, struct handshakes, give_way);
    reactor_at_turn_end(handshakes->reactor, &handshakes->task);
}

enum err handshakes_init(struct handshakes *handshakes, struct reactor *reactor,
                         const struct handshake_ops *ops)
{
    handshakes->reactor = reactor;
    handshakes->ops = ops;
    handshakes->task.run = run_steps;
    list_init(&handshakes->ready);
    list_init(&handshakes->task.link);
    timer_init(&handshakes->give_way, on_give_way);
    return handshake_addresses_init(&handshakes->addresses);
}

void handshakes_fini(struct handshakes *handshakes)
{
    reactor_task_cancel(&handshakes->task);
    timer_cancel(reactor_timers(handshakes->reactor), &handshakes->give_way);
    handshake_addresses_fini(&handshakes->addresses);
}

enum err handshake_new(struct handshakes *handshakes, struct reactor_watch *socket,
                       struct transport *transport, const struct ip *from,
                       struct handshake **ret_handshake)
{
    struct handshake *handshake = calloc(1, sizeof *handshake);
    if (handshake == NULL)
        return ERR_NO_MEMORY;
    enum err error = handshake_addresses_add(&handshakes->addresses, &handshake->entry, from);
    if (error != ERR_OK) {
        free(handshake);
        return error;
    }
    list_init(&handshake->ready);
    handshake->handshakes = handshakes;
    handshake->socket = socket;
    handshake->transport = transport;
    handshake->events = EPOLLIN;
    *ret_handshake = handshake;
    return ERR_OK;
}

bool handshake_is_waiting(const struct handshake *handshake)
{
    return handshake_entry_is_waiting(&handshake->entry);
}

bool handshake_has_spoken(const struct handshake *handshake)
{
    return handshake_entry_has_begun(&handshake->entry) || handshake_is_waiting(handshake);
}

void handshake_ready(struct handshakes *handshakes, struct handshake *handshake)
{
    handshake_addresses_wait(&handshakes->addresses, &handshake->entry);
    list_append(&handshakes->ready, &handshake->ready);
    reactor_at_turn_end(handshakes->reactor, &handshakes->task);
}

void handshake_free(struct handshakes *handshakes, struct handshake *handshake)
{
    bool had_slot = handshake_entry_has_begun(&handshake->entry);
    list_remove(&handshake->ready);
    handshake_addresses_remove(&handshakes->addresses, &handshake->entry);
    if (had_slot && handshake_addresses_next_fresh(&handshakes->addresses) != NULL)
        reactor_in_next_turn(handshakes->reactor,
                             &handshakes->task); /* this turn has done its share */
    free(handshake);
}

/* false: the connection has broken. */
static bool watch_for(struct handshake *handshake, uint32_t events)
{
    if (handshake->events == events)
        return true;
    handshake->events = events;
    return reactor_watch_change(handshake->handshakes->reactor, handshake->socket, events) ==
           ERR_OK;
}

static void fail_handshake(struct handshake *handshake)
{
    handshake->handshakes->ops->on_failed(handshake->socket);
}

static void complete_handshake(struct handshake *handshake)
{
    handshake->handshakes->ops->on_shaken(handshake->socket);
}

static void step_handshake(struct handshake *handshake)
{
    struct transport *transport = handshake->transport;
    switch (transport->ops->shake(transport, handshake->socket->fd)) {
    case TRANSPORT_MOVED:
        if (watch_for(handshake, EPOLLIN))
            complete_handshake(handshake);
        else
            fail_handshake(handshake);
        break;
    case TRANSPORT_WANTS_READ:
        if (!watch_for(handshake, EPOLLIN))
            fail_handshake(handshake);
        break;
    case TRANSPORT_WANTS_WRITE:
        if (!watch_for(handshake, EPOLLOUT))
            fail_handshake(handshake);
        break;
    case TRANSPORT_CLOSED:
    case TRANSPORT_BROKEN:
        fail_handshake(handshake);
        break;
    }
}

static struct handshake *handshake_of(struct handshake_entry *entry)
{
    return entry == NULL ? NULL : CONTAINER_OF(entry, struct handshake, entry);
}

/* Finds a slot for a fresh handshake: a free one, or that of a handshake that it evicts. */
static bool find_slot_for(struct handshakes *handshakes, const struct handshake *fresh)
{
    struct handshake_addresses *addresses = &handshakes->addresses;
    if (addresses->n_begun < HANDSHAKES_BEGUN)
        return true;
    struct handshake *oldest = handshake_of(handshake_addresses_oldest(addresses));
    int64_t due_ms = oldest->begun_ms + HANDSHAKE_GIVES_WAY_MS;
    if (oldest->entry.address->n_begun < fresh->entry.address->n_begun + 2 &&
        reactor_now_ms(handshakes->reactor) < due_ms) {
        timer_set(reactor_timers(handshakes->reactor), &handshakes->give_way, due_ms);
        return false;
    }
    metrics_count(METRIC_TLS_GAVE_WAY);
    fail_handshake(oldest);
    return true;
}

static void take_handshake(struct handshakes *handshakes, struct handshake *handshake)
{
    list_remove(&handshake->ready);
    handshake_addresses_take(&handshakes->addresses, &handshake->entry);
}

/* Is the client still connected? It may have left before its turn came. */
static bool is_still_connected(const struct handshake *handshake)
{
    char byte;
    ssize_t n = recv(handshake->socket->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 1 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Starts the next fresh handshake. NULL: none waits, or there is no slot. A client that has left
 * needs no slot, because its step fails. */
static struct handshake *start_next(struct handshakes *handshakes)
{
    struct handshake *fresh = handshake_of(handshake_addresses_next_fresh(&handshakes->addresses));
    if (fresh == NULL)
        return NULL;
    if (!is_still_connected(fresh)) {
        take_handshake(handshakes, fresh);
        return fresh;
    }
    if (!find_slot_for(handshakes, fresh))
        return NULL;
    take_handshake(handshakes, fresh);
    handshake_addresses_begin(&handshakes->addresses, &fresh->entry);
    fresh->begun_ms = reactor_now_ms(handshakes->reactor);
    return fresh;
}

static struct handshake *continue_next(struct handshakes *handshakes)
{
    struct handshake *ready = handshake_of(handshake_addresses_next_ready(&handshakes->addresses));
    if (ready != NULL)
        take_handshake(handshakes, ready);
    return ready;
}

/* The two kinds alternate, so that neither can starve the other: some clients send a ClientHello
 * and nothing more, others one byte at a time. */
static struct handshake *take_next(struct handshakes *handshakes, unsigned n)
{
    struct handshake *next = n % 2 == 0 ? continue_next(handshakes) : start_next(handshakes);
    if (next == NULL)
        next = n % 2 == 0 ? start_next(handshakes) : continue_next(handshakes);
    return next;
}

/* A handshake that is ready but got no step in this turn is not watched until it gets one, because
 * epoll would report its socket in each turn. */
static void defer_ready(struct handshakes *handshakes)
{
    while (!list_is_empty(&handshakes->ready)) {
        struct handshake *handshake = CONTAINER_OF(handshakes->ready.next, struct handshake, ready);
        list_remove(&handshake->ready);
        metrics_count(METRIC_TLS_PUT_OFF);
        if (!watch_for(handshake, 0))
            fail_handshake(handshake);
    }
}

static bool has_waiting(const struct handshakes *handshakes)
{
    return handshake_addresses_next_ready(&handshakes->addresses) != NULL ||
           handshake_addresses_next_fresh(&handshakes->addresses) != NULL;
}

static void run_steps(struct reactor_task *task)
{
    struct handshakes *handshakes = CONTAINER_OF(task, struct handshakes, task);
    unsigned n = 0;
    struct handshake *next = NULL;
    while (n < HANDSHAKE_STEPS && (next = take_next(handshakes, n)) != NULL) {
        step_handshake(next);
        n++;
    }
    defer_ready(handshakes);
    if (n == HANDSHAKE_STEPS && has_waiting(handshakes))
        reactor_in_next_turn(handshakes->reactor, task);
}
