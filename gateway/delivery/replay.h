/* REPLAY: a session reads pages of the inbox from its position on until it is at the tail, and is
 * LIVE from that number on, as one ordered cut (CONTRACT 5.5). A new session begins here; a slow
 * reader, a hole in the numbers and a store that was away lead back here. Home worker's thread. */
#ifndef HERALD_REPLAY_H
#define HERALD_REPLAY_H

#include "gateway/session/session.h"

enum { REPLAY_PAGES_AT_ONCE = 2000 }; /* for node->pages_at_once */

/* A new session of session->client: its first page. */
void replay_arrive(struct session *session);

/* From LIVE back to REPLAY, or once more if it is there. */
void replay_start(struct session *session);

/* From LIVE back to REPLAY, when what is queued has been written. */
void replay_when_drained(struct session *session);

/* What was withdrawn could not be told for lack of room: a page tells it when what is queued has
 * been written. */
void replay_look_back_when_drained(struct session *session);

/* All that was queued is written: goes on, if the session waits for that. */
void replay_drained(struct session *session);

/* The store is back, or a second is over: the sessions whose pages failed have their turn again. */
void replay_try_again(struct worker *worker);

/* A live notification has come to a client that has sessions in REPLAY: it is kept for them, as far
 * as session_max_bytes reaches, so that they need not read it again. */
void replay_keep(struct client *client, struct notification *note);

/* The session is leaving: its page, when it comes, is thrown away. */
void replay_forget(struct session *session);

/* The client is leaving. */
void replay_drop_kept(struct client *client);

#endif
