/* The one way between threads: a lock-free queue of many senders and one receiver. A wake-up is one
 * eventfd write per batch: only the sender that finds the receiver asleep pays for it.
 *
 * Letters are embedded in what they are about, so posting never fails. A letter must not be posted
 * again before it was delivered. Letters of one sender are delivered in the order they were posted.
 */
#ifndef HERALD_NET_MAILBOX_H
#define HERALD_NET_MAILBOX_H

#include "proto/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct letter {
    struct letter *next;
    void (*deliver)(struct letter *letter); /* on the receiver's thread */
};

struct mailbox {
    _Atomic(struct letter *) head; /* newest first */
    atomic_bool is_asleep;
    int event_fd; /* written to wake a sleeper; never read: watch it with EPOLLET */
};

MUST_CHECK enum err mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox); /* undelivered letters are the senders' business */

/* Any thread. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* The same in two steps, for a sender with a lock that the receiver wants: whoever is woken inside
 * it runs into the lock, sleeps again, and its next turn on a busy core is milliseconds away. true:
 * the receiver sleeps and nobody else wakes it, so mailbox_ring must follow, behind the lock. */
MUST_CHECK bool mailbox_put(struct mailbox *mailbox, struct letter *letter);
void mailbox_ring(struct mailbox *mailbox);

/* The receiver: delivers all that waits; answers how many. */
size_t mailbox_deliver(struct mailbox *mailbox);

/* The receiver, before it blocks on event_fd. false: something waits already, do not block. */
bool mailbox_sleep(struct mailbox *mailbox);
void mailbox_wake(struct mailbox *mailbox); /* after it has blocked */

#endif
