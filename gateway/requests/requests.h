/* What backends and operators ask of the gateway: push, withdraw, kick, look. Every function here
 * may be called from any thread between gateway_start and gateway_stop. A request is a struct that
 * the caller owns and keeps until on_done ran. on_done runs exactly once: inside the call, or on a
 * worker's or the store's thread, so it must not block. */
#ifndef HERALD_REQUESTS_H
#define HERALD_REQUESTS_H

#include "gateway/net/listener.h"
#include "gateway/node/waits.h"
#include "gateway/store/store_request.h"
#include "proto/note/gap.h"

struct node;

/* What became of a notification, as far as is known when the answer is given. */
enum gateway_fate { GATEWAY_PENDING, GATEWAY_DELIVERED, GATEWAY_GONE };

struct gateway_target {
    struct span user_id;
    /* out */
    enum err error;     /* ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY, ERR_IDEMPOTENCY_MISMATCH */
    bool has_no_room;   /* STORE_UNAVAILABLE: because the store is full, or has no room for an
                         * alert */
    bool is_duplicate;  /* the idempotency key was seen: this is the first push's result */
    struct epoch epoch; /* ttl 0: none */
    uint64_t seq;       /* ttl 0: 0 */
    int64_t expires_ms; /* ttl 0: 0 */
    unsigned online;    /* the user's sessions on this node */
    unsigned nodes;     /* nodes where the user is online */
    bool is_unheard;    /* the gateway's own, until on_done */
};

struct gateway_push {
    void (*on_done)(struct gateway_push *push);
    struct span data;         /* JSON text, checked by the caller; copied before the call returns */
    uint32_t ttl_s;           /* 0: to the open sessions alone, and kept nowhere */
    struct span collapse_key; /* empty: none; copied */
    struct span idempotency_key; /* empty: none; stays until on_done, as the userIds do */
    uint32_t alert_after_s;      /* 0: none; else below ttl_s: an event if it is not acknowledged
                                  * then (store_append.alert_after_s) */
    bool is_to_connection; /* with ttl 0 and one target: to one connection of the user alone, on
                            * whichever node it is... */
    uint64_t connection;   /* ...this one (proto/note/connection_id.h); 0: one that nobody has */
    uint32_t wait_ms; /* 0: answer when it is kept; else when it has left the inbox or the time is
                       * over. One target only */
    size_t n_targets;
    struct gateway_target *targets;
    /* out, with wait_ms */
    bool has_waited;           /* false: WAITS_MAX wait already, or the node is draining */
    enum gateway_fate fate;    /* of the one target */
    enum gap_cause cause;      /* GONE */
    int64_t latency_ms;        /* DELIVERED: from acceptance to acknowledgement */
    struct gateway_push *next; /* gateway_push_many: the next one; NULL: it is the last */
    struct {                   /* the gateway's own, until on_done */
        struct node *node;
        uint64_t number;            /* of a push that waits */
        struct store_append append; /* of a push to one user, with its target */
        struct store_target target;
        struct letter letter; /* these two of a push to one connection (push_connection.c) */
        bool is_here;
    } own;
};

/* With ttl 0, and a store that no other node shares: a push to that many targets at most reaches
 * them inside the call. One to more reaches all of them in slices of this size, in turns of their
 * home workers, because that many sends take about a millisecond; until its on_done, a push that is
 * made later may come first. */
enum { GATEWAY_AT_ONCE = 128 };
void gateway_push(struct node *node, struct gateway_push *push);

/* As gateway_push for each in turn, from `first` on, and each is answered by itself; the store is
 * asked once for those that are kept, and once for those with ttl 0, which do not wait for each
 * other. */
void gateway_push_many(struct node *node, struct gateway_push *first);

/* For a push whose caller has gone: if it waits, it is answered soon with what is known and makes
 * room for another. One that is answered already is left alone. */
void gateway_end_wait(struct node *node, struct gateway_push *push);

/* Answers the pushes that wait with what is known, and from now on none waits: what is kept is
 * answered at once. For a stop, before gateway_stop. Calling it again changes nothing. */
void gateway_end_waits(struct node *node);
/* From now on pushes wait again. */
void gateway_resume_waits(struct node *node);

/* Closes all sessions of a user, on every node. With block_s the user is blocked first, so that no
 * session enters in between; with is_purge what waits is withdrawn last. The sessions are closed in
 * any case, but a user who could not be blocked is not purged. */
struct gateway_kick {
    void (*on_done)(struct gateway_kick *kick);
    struct span user_id;
    struct span reason; /* a short word for the close frame; empty: "kicked" */
    bool is_purge;
    uint32_t block_s; /* for how long connections are refused; 0: a block that is there stays */
    /* out */
    enum err error;      /* ERR_OK; with block_s and is_purge: ERR_STORE_UNAVAILABLE; with block_s:
                          * ERR_FULL; ERR_NO_MEMORY: nothing else is known to be done */
    uint64_t closed;     /* sessions, on the nodes that answered */
    unsigned n_asked;    /* nodes with sessions of the user; as in store_ask */
    unsigned n_answered; /* of these */
    bool is_alone;       /* the store is away: no other node could be asked */
    uint64_t purged;     /* notifications */
    int64_t blocked_until_ms; /* since 1970; 0: block_s was 0, or failed */
};
void gateway_kick(struct node *node, struct gateway_kick *kick);

/* To all sessions that are open now, on every node; never stored. */
struct gateway_broadcast {
    void (*on_done)(struct gateway_broadcast *broadcast);
    struct span data; /* as in gateway_push */
    enum err error;   /* out: ERR_OK, ERR_NO_MEMORY, at the end ERR_STORE_UNAVAILABLE */
    uint64_t online;  /* out: sessions that it was queued for, on the nodes that answered */
    unsigned nodes;   /* out: the nodes that answered, this one included */
};
void gateway_broadcast(struct node *node, struct gateway_broadcast *broadcast);

/* What became of one notification of a user. */
struct gateway_message {
    void (*on_done)(struct gateway_message *message);
    struct span user_id;
    struct epoch epoch;
    uint64_t seq;
    /* out */
    enum err error; /* ERR_OK, ERR_NOT_FOUND: such a number was never given, ERR_STORE_UNAVAILABLE,
                     * ERR_NO_MEMORY */
    enum gateway_fate fate;
    enum gap_cause cause; /* GONE */
};
void gateway_message(struct node *node, struct gateway_message *message);

/* Withdraws one notification of a user, if it is pending. */
struct gateway_cancel {
    void (*on_done)(struct gateway_cancel *cancel);
    struct span user_id;
    struct epoch epoch;
    uint64_t seq;
    /* out */
    enum err error;         /* as of gateway_message */
    enum gateway_fate fate; /* before; PENDING: it is cancelled now, else nothing has changed */
    enum gap_cause cause;   /* GONE */
    bool is_written;        /* it may have been shown */
};
void gateway_cancel(struct node *node, struct gateway_cancel *cancel);

/* What waits for a user, a page at a time; nothing is acknowledged by it. */
struct gateway_inbox {
    void (*on_done)(struct gateway_inbox *inbox);
    struct span user_id;
    uint64_t after; /* the numbers above it */
    uint32_t limit; /* 1..1000 */
    /* out */
    enum err error;     /* ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    struct epoch epoch; /* none: nothing was ever pushed */
    uint64_t head;
    uint64_t acked;
    uint64_t next; /* the `after` of the next page; 0: this was the last */
    size_t n_notes;
    struct notification **notes; /* the caller calls gateway_inbox_clear */
};
void gateway_inbox(struct node *node, struct gateway_inbox *inbox);
void gateway_inbox_clear(struct gateway_inbox *inbox); /* one that was never asked is fine */

/* Withdraws everything that waits for a user. */
struct gateway_purge {
    void (*on_done)(struct gateway_purge *purge);
    struct span user_id;
    enum err error;  /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    uint64_t purged; /* out */
};
void gateway_purge(struct node *node, struct gateway_purge *purge);

/* A ticket for one connection of a user: single use, TICKET_LIFE_S. */
enum { TICKET_LIFE_S = 30, TICKET_LEN = 32 };
struct gateway_ticket {
    void (*on_done)(struct gateway_ticket *ticket);
    struct span user_id;
    /* out */
    enum err error; /* ERR_OK; ERR_FULL: too many are out; ERR_CONFLICT: --auth is another;
                     * ERR_SYSTEM: no randomness; ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    char text[TICKET_LEN + 1]; /* 128 random bits */
    int64_t expires_ms;
};
void gateway_ticket(struct node *node, struct gateway_ticket *ticket);

enum { GATEWAY_CONNECTIONS_MAX_BYTES = 1 << 20 };

struct gateway_user {
    void (*on_done)(struct gateway_user *user);
    struct span user_id;
    /* out */
    enum err error; /* ERR_OK, ERR_NO_MEMORY; ERR_STORE_UNAVAILABLE: the connections are shown, the
                     * inbox is not known */
    struct epoch epoch;
    uint64_t head;
    uint64_t acked; /* including what is not written to the store yet */
    uint64_t pending;
    int64_t oldest_pending_ms; /* age; 0: none pending */
    int64_t blocked_until_ms;  /* since 1970; 0: is not blocked */
    uint64_t n_connections;    /* on the nodes that answered */
    struct buf connections;    /* JSON objects with commas between them; gateway_user_clear */
    bool is_truncated;         /* there are more than these */
    unsigned n_asked;          /* as in gateway_kick */
    unsigned n_answered;
};
void gateway_user(struct node *node, struct gateway_user *user);
void gateway_user_clear(struct gateway_user *user);

/* The users of a node in pages, in an order of that node's own. A user who is online all the while
 * is seen once; others may be missed. The node is named by its --node-name, by the name that it has
 * drawn (GET /nodes lists both), or by both; without a name it is this one. */
enum { GATEWAY_CLIENTS_MAX_BYTES = 1 << 20 };
struct gateway_clients {
    void (*on_done)(struct gateway_clients *clients);
    struct span node;  /* --node-name; empty: any */
    struct span name;  /* drawn at its start; empty: any */
    struct span after; /* empty: from the start; else the `next` of the page before */
    uint32_t limit;    /* 1..STORE_CLIENTS_MAX; another node answers at most
                        * STORE_ANSWER_MAX_BYTES */
    /* out */
    enum err error; /* ERR_OK; ERR_INVALID_FIELD: `after` is no cursor; ERR_NOT_FOUND: no such node;
                     * ERR_CONFLICT: there are several, so the drawn name is needed;
                     * ERR_NODE_SILENT: it has not answered; ERR_STORE_UNAVAILABLE: it cannot be
                     * asked; ERR_NO_MEMORY */
    bool is_unheard; /* NODE_SILENT: it does not hear the question, and never will */
    struct buf page; /* ERR_OK: the answer of GET /clients, as JSON; gateway_clients_clear */
    struct {         /* the gateway's own, until on_done */
        uint64_t after;
    } own;
};
void gateway_clients(struct node *node, struct gateway_clients *clients);
void gateway_clients_clear(struct gateway_clients *clients);

/* The nodes of the fleet. What the others say of themselves is at most 5 s old; while the store is
 * away, as old as the outage. */
enum gateway_node_state { GATEWAY_NODE_UP, GATEWAY_NODE_DRAINING, GATEWAY_NODE_SILENT };
struct gateway_node {
    struct store_node said;
    bool is_self;
    enum gateway_node_state state; /* SILENT: no sign for 15 s */
    int64_t started_ago_ms;
    int64_t seen_ago_ms;
};
struct gateway_nodes {
    void (*on_done)(struct gateway_nodes *nodes);
    /* out */
    enum err error; /* ERR_OK, ERR_NO_MEMORY */
    size_t n;
    struct gateway_node *nodes; /* by --node-name; this one is among them. The caller frees it */
    uint64_t connections;       /* of those that are not silent */
    uint64_t users;
};
void gateway_nodes(struct node *node, struct gateway_nodes *nodes);

/* Closes sessions with 1012, spread over a time, or takes that back (drain.h). */
enum { GATEWAY_DRAIN_MAX_S = 7 * 86400 };
struct gateway_drain {
    void (*on_done)(struct gateway_drain *drain);
    uint32_t connections; /* those that are connected longest; the node stays ready. 0: all, and the
                           * node takes no new ones */
    uint32_t rate;        /* so many a second; 0: over --drain-time */
    bool is_cancel;       /* nobody is closed any more, and the node is ready again */
    /* out */
    enum err error;    /* ERR_OK; ERR_CONFLICT: Herald ends (is_ending), or all are closed already;
                        * ERR_INVALID_FIELD: at that rate it would take more than
                        * GATEWAY_DRAIN_MAX_S; ERR_NO_MEMORY */
    bool is_ending;    /* CONFLICT: SIGTERM has come */
    bool is_cancelled; /* CONFLICT: another request has taken it back meanwhile */
    uint64_t closing;  /* sessions that are closed... */
    uint32_t ms;       /* ...within that time from now */
};
void gateway_drain(struct node *node, struct gateway_drain *drain);

/* Which of these users have a session, on any node. */
struct gateway_online {
    void (*on_done)(struct gateway_online *online);
    size_t n_users;
    const struct span *users;
    bool *is_online;           /* out, one for each: while the store is away of this node alone */
    struct store_online store; /* the gateway's own, until on_done */
};
void gateway_online(struct node *node, struct gateway_online *online);

#endif
