/* How a session reads its user's inbox: pages from its position on until it is at the tail, and
 * LIVE from that number on, as one ordered cut (CONTRACT 5.5). A new session begins here; a slow
 * reader, a hole in the numbers and a store that was away lead back here. The states are in
 * reader.h. A failure of the store or of memory is not reported: the session waits, and reads again
 * within a second. Home worker's thread. */
#ifndef HERALD_REPLAY_H
#define HERALD_REPLAY_H

#include "gateway/session/session.h"

enum { REPLAY_PAGES_AT_ONCE = 2000 }; /* for node->pages_at_once */

/* A session has entered its client: it wants its first page. */
void replay_arrive(struct session *session);

/* The same for one that has begun in another process, up to its tail: it asks for what came since,
 * and what of its numbers was withdrawn. */
void replay_go_on(struct session *session);

/* Something may not have come to a LIVE session: it reads the inbox again, and with
 * MISSED_WITHDRAWALS asks which of its numbers were withdrawn. A session that is not LIVE does so
 * with the next page that it asks for. */
void replay_reread(struct session *session, enum missed missed);

/* There is no room for more in a LIVE session: it reads the inbox again when what is queued has
 * been written. */
void replay_when_drained(struct session *session);

/* There was no room to say which numbers were withdrawn. When what is queued has been written, a
 * page is read that says it. */
void replay_look_back_when_drained(struct session *session);

/* All that was queued is written: the session reads its next page, if it waits for that. */
void replay_drained(struct session *session);

/* The store is back, or a second is over: the sessions whose pages failed have their turn again. */
void replay_try_again(struct worker *worker);

/* A live event has come to a client: it is kept for those of its sessions whose page is under way,
 * as far as session_max_bytes reaches, so that they need not read it from the store. */
void replay_keep(struct client *client, struct inbox_event event);

/* The session is leaving its client: its reader has ended, and its page is thrown away. */
void replay_forget(struct session *session);

#endif
