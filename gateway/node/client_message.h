/* A message of a client for the backends, on its way from a session or from POST /message to what
 * keeps it. Whoever keeps messages is plugged in as node->take_message (node.h). */
#ifndef HERALD_CLIENT_MESSAGE_H
#define HERALD_CLIENT_MESSAGE_H

#include "gateway/node/worker.h"
#include "proto/note/event_message.h"

/* Its data is at most so long. */
enum { CLIENT_MESSAGE_MAX_BYTES = 64 * 1024 };

struct client_message {
    struct event_message said; /* what it points to is copied inside the call */
    bool
        may_be_blocked; /* nobody has looked: it is not kept if the store says so (ERR_FORBIDDEN) */
    struct worker *worker; /* the caller's */
    void *owner;
    /* Once, on that worker's thread, never inside the call: ERR_OK, it is kept; ERR_FULL: the event
     * log is filled to three quarters; ERR_FORBIDDEN: the user is blocked; ERR_STORE_UNAVAILABLE.
     * The answers to one session's messages that are kept come in the order of the calls. `said`
     * has no device. */
    void (*on_answer)(const struct client_message *message, enum err error);
};

/* Any thread. ERR_OK: it was taken, and on_answer is called. Otherwise it was not, and is not:
 * ERR_RATE: the user has sent too much (--client-messages-per-second); ERR_TOO_LARGE: its data;
 * ERR_FULL: too much waits in memory; ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY. */
static inline enum err client_message_take(struct node *node, const struct client_message *message)
{
    return node->take_message(node, message);
}

#endif
