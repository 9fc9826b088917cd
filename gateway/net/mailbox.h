/* The only way to send work to another thread: a lock-free queue with many senders and one
 * receiver. A wake-up costs one eventfd write per batch: only the sender that finds the receiver
 * asleep writes.
 *
 * Letters are embedded in the objects that they are about, so posting never fails. A letter must
 * not be posted again before it was delivered. Letters of one sender are delivered in the order in
 * which they were posted. */
#ifndef HERALD_NET_MAILBOX_H
#define HERALD_NET_MAILBOX_H

#include "proto/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct letter {
    struct letter *next;
    void (*deliver)(struct letter *letter); /* in the receiver's turn (reactor.h) */
};

struct mailbox {
    _Atomic(struct letter *) head; /* newest first */
    atomic_bool is_asleep;
    int event_fd;         /* written to wake the receiver; never read: watch it with EPOLLET */
    struct letter *taken; /* the receiver's: not delivered yet, the oldest first */
    /* Delivers the mail of a sleeping receiver on the sender's thread. false: the receiver must be
     * woken, for what is left or was left undone. NULL, as mailbox_init leaves it: always. */
    bool (*visit)(struct mailbox *mailbox);
};

MUST_CHECK enum err mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox); /* does not free undelivered letters */

/* Any thread. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* The same in two steps, for a sender that holds a lock which the receiver needs. A receiver that
 * is woken while the lock is held blocks on it, and on a busy core runs again only milliseconds
 * later. true: the receiver sleeps and nobody else wakes it, so the sender must call mailbox_ring
 * after it has released the lock. */
MUST_CHECK bool mailbox_put(struct mailbox *mailbox, struct letter *letter);
void mailbox_ring(struct mailbox *mailbox);

/* For a sender that posts many letters at one moment, to many receivers: from mailbox_hold on the
 * wake-ups of this thread wait, and mailbox_release makes them in their order, one for each
 * receiver. Between the two the sender must not wait for a receiver, and should do little: other
 * senders' letters may wait for the same wake-up. */
void mailbox_hold(void);
void mailbox_release(void);

/* Between the two, and not from within `deliver`: visits the receivers whose wake-ups wait, in
 * place of waking them. One that cannot be visited is woken; so are those that are left at
 * mailbox_release. Visits at most `max`, and returns how many. */
size_t mailbox_visit_held(size_t max);

/* The receiver: delivers the letters that wait, at most MAILBOX_TURN_LETTERS of them; returns their
 * number. So thousands of letters that come at once, as from the commit of a push to thousands of
 * users, leave room for other work between them. The rest comes with the next calls, and before
 * what is posted meanwhile. */
enum { MAILBOX_TURN_LETTERS = 128 };
size_t mailbox_deliver(struct mailbox *mailbox);
/* The same for one who delivers in its place. */
MUST_CHECK bool mailbox_has_more_than(const struct mailbox *mailbox, size_t n);

/* The receiver calls it before it blocks on event_fd. false: a letter waits already, do not
 * block. */
bool mailbox_sleep(struct mailbox *mailbox);
void mailbox_wake(struct mailbox *mailbox); /* the receiver, after it has blocked */

#endif
