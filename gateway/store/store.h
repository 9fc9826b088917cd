/* The store: what keeps a user's inbox until it is acknowledged or expires. One interface, one set
 * of contract tests (tests/store), three backends: memory:, file:PATH, redis://.
 *
 * The contract
 * - An inbox holds a user's notifications, numbered from 1 without holes within an epoch. The store
 *   numbers. `head` is the highest number ever given, `acked` the position up to which the inbox is
 *   empty because everything was acknowledged.
 * - Every request is a struct that the caller owns. It must stay, with all it points to, until
 *   on_done ran. on_done runs exactly once for each request, never inside the call that made it, on
 *   a thread of the store's choosing (a store thread, or the reactor of `lane`). It must not block.
 * - Requests may be made on any thread, until store_close. Requests of one thread for one user, all
 *   of one lane (an append's is that of all its targets), are carried out in the order they were
 *   made (with redis unless somebody flushes its scripts); nothing is promised between users.
 * - append answers ERR_OK for a target only after the notification is committed. Before that
 *   answer, on_inbox_event has been or will be called for it without another request being needed;
 *   all calls of on_inbox_event for one user come in number order, from one thread at a time.
 * - A failed append leaves no trace: no number is used, nothing is half-written. (With redis a
 *   broken connection can hide an append that was kept; the answer is then ERR_STORE_UNAVAILABLE.)
 * - A number leaves the inbox in one of five ways: acknowledged; expired; cancelled; collapsed (a
 *   later notification with the same collapse key); overflow (a full inbox, max_count notifications
 *   or max_bytes of data, pushes out its oldest; the newest always stays). The last four are
 *   recorded as the cause, GAPS_MAX ranges a user, and each is counted by cause.
 * - Expiry is exact to the millisecond: a page never shows what has expired, and what no
 *   page reads leaves by itself. A page names the cause of what it does not show.
 * - Positions: sessions without a device share one, each device has its own (at most
 *   STORE_MAX_DEVICES a user: one more and the longest unseen is forgotten; each is forgotten after
 *   30 days without an HTTP connection or acknowledgement). A new device begins at `acked`.
 *   `acked` is the lowest of the devices' positions, and of the shared one while that counts: while
 *   there is no device, or the request says that it is held. It never falls, and the shared
 * position is never below it.
 * - acknowledging another epoch, or a number above head, changes nothing and answers
 *   ERR_STALE_EPOCH.
 * - A broadcast is kept nowhere. on_broadcast is called once for it on the node that asked,
 *   whatever the store's state, and at most once on each other node that the store reaches.
 * - Of a shared store an event can be lost on its way. So it compares what it has of each user who
 *   is online with what the node knows (get_known), once a minute, and on_missed is called if that
 *   differs. The local stores report within the process, where nothing is lost.
 * - A question about a user reaches, by on_question, each node that has sessions of his and that
 * the store reaches, at most once; there it comes behind what was committed for him before it.
 * - A store that has lost what it had begins a new epoch: its head is lower than what the request
 *   says is known of that epoch, the number was given at another time (known_time; the local stores
 *   cannot lose numbers while a node knows them), or the user is gone. What is still there may be
 * kept, numbered anew. A caller that knows another epoch is answered the present one. A user
 * without push, acknowledgement or page for 30 days is forgotten.
 * - A block is kept as an append is (over a restart where notifications are), ends by itself, to
 *   the millisecond, and needs no inbox. It is reported in the page of an
 *   arrival and in peeks; the store refuses nothing because of it, and keeps pushes as before.
 * - A ticket is taken once: of two takes at the same time one gets it. The local stores hold them
 *   in memory, so a restart ends them; with redis each node can take what any node gave out. */
#ifndef HERALD_STORE_STORE_H
#define HERALD_STORE_STORE_H

#include "gateway/store/store_config.h"
#include "gateway/store/store_request.h"
#include "gateway/store/store_upgrade.h"

struct store;

/* Ends what is under way (every on_done has run when it returns) and frees the store. For redis the
 * lanes must have stopped running; their links are closed here. */
void store_close(struct store *store);

void store_append(struct store *store, struct store_append *append);
/* As store_append for each in turn; `request.next` of each is the next one's request, NULL the last
 * one's. The store takes its lock, and wakes its thread, once for all (Redis: once a lane). */
void store_append_many(struct store *store, struct store_append *first);
/* Tells the nodes where the users are, and keeps nothing: on_inbox_event is called there with a
 * notification without a number, also on this node. Of the request the payload without a collapse
 * key, and the users, count; of each target's answer the error, the nodes that have received it,
 * and whether this one has missed it (is_unheard).
 * ERR_STORE_UNAVAILABLE: it is not known that anybody has. As store_append_many. */
void store_send_many(struct store *store, struct store_append *first);
void store_page(struct store *store, struct store_page *page);
/* Answers a page at once if nothing waits for the user and the store knows it without work. true:
 * the page is answered as store_page would have done; it shows no notification and no gap, and
 * on_done is not called. It stands in order with all else: on_inbox_event was called for each
 * number up to head, and is called for each above it from now on. false: nothing was done; ask with
 * store_page. Any thread. */
MUST_CHECK bool store_page_at_once(struct store *store, struct store_page *page);
void store_ack(struct store *store, struct store_ack *ack);
void store_ack_many(struct store *store, struct store_ack *first); /* as store_append_many */
void store_peek(struct store *store, struct store_peek *peek);
void store_online(struct store *store, struct store_online *online);
void store_look(struct store *store, struct store_look *look);
void store_withdraw(struct store *store, struct store_withdraw *withdraw);
void store_block(struct store *store, struct store_block *block);
void store_ticket_give(struct store *store, struct store_ticket_give *give);
void store_ticket_take(struct store *store, struct store_ticket_take *take);

/* This node has no session of the user any more. On the thread of `lane`. */
void store_leave(struct store *store, unsigned lane, struct span user_id);

/* "memory", "file" or "redis". */
const char *store_kind(const struct store *store);

/* The store's clock, by which it stamps and lets expire: ms since 1970. Redis's, or this machine's
 * with the local stores. Every time that came from the store is compared by this clock. What
 * concerns a user is compared by store_now_of: where a store has parts with clocks of their own,
 * that is the clock of his part. Any thread. */
int64_t store_now_ms(const struct store *store);
int64_t store_now_of(const struct store *store, struct span user_id);

/* Do other nodes read and write the same inboxes? */
bool store_is_shared(const struct store *store);

/* Reads the files that its settings name again, for new connections, and logs what became of them.
 * Any thread, one at a time. */
void store_reload(struct store *store);

/* How much of the store is away: slots of 16384. Of a store that is up: whose users cannot be
 * served while others are. 0 for a store of one piece. Any thread. */
unsigned store_slots_missing(struct store *store);

/* One line of UTF-8 for an operator about what is wrong now; empty when all is well. Any thread. */
void store_describe(struct store *store, char *out, size_t cap);

/* Of a store that is shared: what this node says of itself, and what the others have said. */
void store_nodes(struct store *store, struct store_nodes *nodes);

void store_broadcast(struct store *store, struct store_broadcast *broadcast);

/* store_watch.h. Each on the thread of `lane`, the user's; with the local stores nothing happens.
 * The answer goes out behind what was asked of the store before, on that thread. */
void store_watch(struct store *store, unsigned lane, struct span user_id,
                 const struct store_watch *watch);
void store_watch_answer(struct store *store, unsigned lane, struct span user_id,
                        const struct store_watch *watch, uint64_t acked);

/* Asks all nodes with sessions of a user (store_ask.h). */
void store_ask(struct store *store, struct store_ask *ask);

#endif
