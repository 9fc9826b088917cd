/* Lets some descriptors of a reactor pass the others in a crowded turn. epoll reports what is ready
 * in the order in which it became ready. So behind hundreds of descriptors that are always ready, a
 * new one would wait for several turns: a turn serves only some of them.
 *
 * The descriptors that may pass are in a second epoll set, too, where each edge is reported once.
 * A crowded turn looks there at its end. Nothing is lost without such a look, because the reactor
 * reports the same descriptors in their order.
 *
 * Threads: the reactor's. */
#ifndef HERALD_NET_BYPASS_H
#define HERALD_NET_BYPASS_H

#include "gateway/net/reactor.h"

#include <sys/epoll.h>

enum { BYPASS_EVENTS = 32 }; /* in one look */

struct bypass {
    struct reactor *reactor;
    struct reactor_task task;
    void (*on_ready)(struct reactor_watch *watch);
    int epoll_fd;
    int n_events;
    struct epoll_event events[BYPASS_EVENTS];
};

/* on_ready: there may be something to read, or to read again. */
MUST_CHECK enum err bypass_init(struct bypass *bypass, struct reactor *reactor,
                                void (*on_ready)(struct reactor_watch *watch));
void bypass_fini(struct bypass *bypass);

/* A watch of the reactor may pass from now on. One that cannot be added waits in its order. */
void bypass_add(struct bypass *bypass, struct reactor_watch *watch);
/* Before its descriptor is closed or given away; a watch that was not added is fine. */
void bypass_remove(struct bypass *bypass, struct reactor_watch *watch);

/* Calls on_ready at the end of this turn, once for each that has become ready. */
void bypass_look(struct bypass *bypass);

#endif
