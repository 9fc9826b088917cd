/* The delivery path on the home worker: a session enters its client, notifications come out of the
 * channel and go to the sessions that are LIVE, a session leaves. Home worker's thread. */
#ifndef HERALD_DELIVERY_H
#define HERALD_DELIVERY_H

#include "gateway/session/session.h"

/* What delivery/ keeps on each worker. Made after the worker, before a session enters; freed when
 * its thread has ended, all its mail is delivered and every session has left. ERR_NO_MEMORY. */
MUST_CHECK enum err delivery_new(struct worker *worker);
/* Also after delivery_new has failed, or was not called. */
void delivery_free(struct worker *worker);

/* Attaches a NEW session to its user: from now on it receives every later push. `device` empty:
 * none. One session more than max_connections_per_user closes the oldest (4508). ERR_NO_MEMORY: the
 * session has no client, and the caller closes it. */
MUST_CHECK enum err delivery_enter(struct session *session, struct span user_id,
                                   struct span device);

/* For delivery_carry.c. Into the client, and out of it, without what comes before and after:
 * nothing is read, no position is written. ERR_NO_MEMORY. */
MUST_CHECK enum err delivery_join(struct session *session, struct span user_id, struct span device);
void delivery_part(struct session *session);

/* Any thread. Gives the event to the user's sessions, and returns their number on this node; 0: the
 * user is not online, or there was no room for an event without a number. On the thread of the
 * user's home it is delivered inside the call, unless something that was offered before it waits,
 * or a session is at work further up the stack. Otherwise it goes through the user's channel. */
unsigned delivery_offer(struct node *node, struct span user_id, struct inbox_event event);

/* The client map's on_letter: takes what was offered to the client, and delivers it. */
void delivery_on_letter(struct letter *letter);

/* For session_events.on_leave: the session leaves its client, and the last one takes the client out
 * of the client map. */
void delivery_leave(struct session *session, enum offline_cause cause);

#endif
