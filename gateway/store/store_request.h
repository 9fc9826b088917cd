/* What is asked of a store: a struct for each kind of request. The caller fills in the request's
 * members and on_done; the store writes the members marked `out` before it calls on_done.
 *
 * Memory: a request belongs to its caller and stays, with all it points to, until on_done has run.
 * What an answer points to is the caller's then.
 * Threads: see store.h, where the contract and the calls that take these structs are.
 * Units: times are milliseconds since 1970 by the store's clock (_ms), durations seconds (_s). */
#ifndef HERALD_STORE_STORE_REQUEST_H
#define HERALD_STORE_STORE_REQUEST_H

#include "gateway/net/mailbox.h"
#include "proto/bytes/buf.h"
#include "proto/bytes/user_id.h"
#include "proto/note/inbox_event.h"

enum { STORE_MAX_DEVICES = 8 };

/* Tickets: bytes of one; how many the local stores have out at a time; the longest time to live. */
enum { STORE_TICKET_MAX_BYTES = 64, STORE_MAX_TICKETS = 100000, STORE_TICKET_MAX_TTL_S = 3600 };

enum { STORE_IDEMPOTENCY_MAX = 1000000 };

enum { STORE_MAX_BLOCKS = 100000 }; /* users that the local stores have blocked at a time */

/* What this node knows of a user's inbox: the epoch and the highest number. No epoch: nothing. */
struct store_known {
    struct epoch epoch;
    uint64_t head;
    uint32_t time; /* store_time of that number; 0: not known */
};

/* A time as it is kept beside a number, to tell it from the same number given again. 0 is none. */
static inline uint32_t store_time(int64_t time_ms)
{
    return (uint32_t)((uint64_t)time_ms & UINT32_MAX);
}

/* Common to all requests; first member of each. */
struct store_request {
    void (*on_done)(struct store_request *request);
    unsigned lane;              /* the user's home worker: index into store_config.lanes */
    struct store_request *next; /* the store's own, while it has the request; for
                                 * store_append_many also the caller's, until the call */
    int op;                     /* the store's own */
    int64_t began_ms;           /* the store's own */
};

struct store_target {
    struct span user_id;
    uint64_t known_head;      /* the highest number that this node knows; 0: none */
    struct epoch known_epoch; /* its epoch */
    uint32_t known_time;      /* its store_time; 0: not known */
    uint64_t known_acked; /* the position of known_epoch as this node's sessions without a device
                           * have moved it, written or not; 0: not known. What it covers does not
                           * count towards a full inbox and is not replaced; whether it is written
                           * with the push is the store's choice, store_ack is due all the same */
    enum err error;       /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_FULL (store_max_bytes),
                           * ERR_IDEMPOTENCY_MISMATCH (nothing was kept) */
    bool is_duplicate; /* out: the idempotency key was seen: epoch, seq and times are the first's */
    struct epoch epoch; /* out */
    uint64_t seq;       /* out */
    int64_t time_ms;    /* out: by the store's clock */
    int64_t expires_ms; /* out */
    unsigned nodes;     /* out: other nodes and this one with sessions of the user, as far as the
                         * store knows; the local stores leave it 0 */
    bool has_devices; /* out: the user has devices, of which some may have connected to other nodes
                       * alone; the local stores leave it false */
    bool is_unheard;  /* out, of store_send_many; false before: this node has sessions of the user,
                       * and was not told */
};

/* A digest of what is pushed: it distinguishes a repeat from another push with the same idempotency
 * key. */
struct store_print {
    uint8_t bytes[16];
};

/* One payload to n users, each with a number of its own. Each target has its own answer. */
struct store_append {
    struct store_request request;
    struct payload *payload; /* its collapse key included; the store takes references of its own */
    uint32_t ttl_s;          /* from 1 */
    struct span idempotency_key; /* for each target by itself; empty: none */
    union {
        struct store_print print; /* with an idempotency key; otherwise all zero */
        uint64_t connection;      /* store_send_many, to one user: the one connection of the user
                                   * that it is for (proto/note/connection_id.h); 0: all */
    };
    uint32_t alert_after_s; /* 0: none; else an alert is pending so long after the push, in the
                             * partition of each target, when on_done says ERR_OK for it
                             * (store_event_request.h); a repeat writes it if it is not there. If it
                             * cannot be written the target's error is ERR_STORE_UNAVAILABLE, or
                             * ERR_FULL where too many are pending; the local stores keep nothing
                             * then, a shared one may have kept the notification */
    size_t n_targets;
    struct store_target *targets;
};

/* Reads the inbox from a position on. With is_arrival the store first makes sure that
 * on_inbox_event is called for this user from now on (until store_leave), then reads block,
 * position and page in one step. If the user is blocked then, the page shows nothing (no epoch, all
 * numbers 0), and makes no user and no device; store_leave is due all the same. */
struct store_page {
    struct store_request request;
    struct span user_id;
    struct span device; /* empty: none; is_arrival makes one that is not there */
    bool is_arrival;
    bool tells_block; /* shows nothing to a blocked user either, as is_arrival */
    bool must_begin;  /* makes the user, with an epoch, if there is none */
    bool can_wait;    /* for a store that is awaited (store_upgrade.h): it is no session's */
    bool wants_gaps;
    bool wants_withdrawn;
    uint64_t withdrawn_after;
    bool
        from_acked; /* read after the position of the device, or without one after the shared one */
    uint64_t after; /* else: read the numbers above it... */
    struct epoch after_epoch; /* ...if this is the user's epoch (none: whatever it is) and `after`
                               * not above head; otherwise as from_acked */
    uint64_t known_head;      /* as in store_target */
    struct epoch known_epoch;
    uint32_t known_time;
    uint32_t
        max_count; /* notifications; at least one is shown, and at most about max_bytes of data */
    uint32_t max_bytes;
    enum err error;     /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    struct epoch epoch; /* out: the user's; none: nothing was ever pushed */
    uint64_t head;      /* out, at the moment of reading */
    uint32_t head_time; /* out: its store_time; 0: not known, as with the local stores */
    uint64_t acked;     /* out */
    uint64_t position;  /* out: of the device, or the shared one */
    bool has_devices;   /* out */
    bool has_device;    /* out, of a partition of the event log (store_partition.h): the consumer is
                         * there; without it the page reads from `acked`, and makes none */
    uint64_t start;     /* out: the page shows the numbers above it */
    bool is_resumed;    /* out: start is `after` */
    uint64_t last;      /* out: the page covers every number up to this one (head at the tail) */
    size_t n_notes;     /* out */
    struct notification *
        *notes;            /* out: rising, is_replay; the caller unrefs each and frees the array */
    size_t n_gaps;         /* out, with wants_gaps: what is missing in start+1..last, rising; */
    struct gap *gaps;      /* the caller frees it */
    size_t n_withdrawn;    /* out, with wants_withdrawn: of withdrawn_after+1..start what was */
    struct gap *withdrawn; /* cancelled or collapsed, as far as causes are kept, rising; the caller
                            * frees it */
    int64_t blocked_until_ms; /* out, with is_arrival or tells_block: by the store's clock; 0: is
                               * not blocked */
    int64_t as_of_ms;         /* the store's own, while it has the request */
};

/* Moves a position; a lower one than the present changes nothing (ERR_OK). */
struct store_ack {
    struct store_request request;
    struct span user_id;
    struct span device; /* empty: the shared position */
    bool is_held;       /* sessions without a device are open: the shared position counts */
    struct epoch epoch;
    uint64_t seq;
    uint64_t
        written;    /* the highest number that was ever written to a session, as far as is known */
    enum err error; /* out: ERR_OK, ERR_STALE_EPOCH, ERR_STORE_UNAVAILABLE; of a partition of the
                     * event log also ERR_NOT_FOUND: the consumer is not there */
};

/* How long the other nodes have to answer a question. */
enum { STORE_REPLIES_MS = 250 };

/* Tells every node; this one through on_broadcast as well. on_done runs where the last answer was
 * given: with the local stores possibly inside this call, if on_broadcast's callee answers there.
 */
struct store_broadcast {
    struct store_request request; /* any lane */
    struct payload *payload;
    enum err error;  /* out: ERR_OK; ERR_NO_MEMORY, or ERR_STORE_UNAVAILABLE at store_close: no
                      * node was notified */
    uint64_t online; /* out: the sum of the answers */
    unsigned nodes;  /* out: the nodes that answered, this one included. It is waited for, the
                      * others for STORE_REPLIES_MS; one that did not answer may have received it.
                      * With the local stores, and while the store is away: 1 */
};

/* A question that an event hands over. The callee answers it once, on any thread; with redis before
 * store_close, while the lanes or their mailboxes still run. */
struct store_question {
    struct letter letter; /* the callee may use it until it answers; the rest is the store's own */
    uint64_t count;
    bool is_unanswered; /* store_answer_not */
    struct buf text;
    void (*on_answer)(struct store_question *question);
};

/* Answers a question. Any thread. */
void store_answer(struct store_question *question, uint64_t count);
/* The same with a text, which is the store's from here on; `text` is empty afterwards. */
void store_answer_text(struct store_question *question, uint64_t count, struct buf *text);
/* Another node does not hear of this one, and counts it among those that have not answered. To a
 * question of this node it is the answer 0. */
void store_answer_not(struct store_question *question);

/* What waits for a user; a user never heard of has no epoch and zeros. */
struct store_peek {
    struct store_request request;
    struct span user_id;
    enum err error; /* out */
    struct epoch epoch;
    uint64_t head;
    uint64_t acked;
    uint64_t pending;         /* unexpired, above acked */
    int64_t oldest_time_ms;   /* of the oldest pending; 0: none */
    int64_t blocked_until_ms; /* 0: is not */
};

/* Which of these users have a session on any node. */
struct store_online {
    struct store_request request; /* any lane */
    size_t n_users;
    const struct span *users;
    bool *is_online; /* out, one for each: true where a node has one; others stay as they are. The
                      * local stores know of none */
    enum err
        error; /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY: others may be online, too */
};

/* What became of a number. DELIVERED only where that is known. */
enum store_fate { FATE_PENDING, FATE_DELIVERED, FATE_GONE };

/* What the store knows of one number. */
struct store_found {
    enum store_fate fate; /* of another epoch: FATE_GONE */
    enum gap_cause cause; /* FATE_GONE: GAP_UNKNOWN where it is not known */
    bool is_written;      /* a session has had it once, as far as store_ack has said */
};

/* Looks one number up, and changes nothing. */
struct store_look {
    struct store_request request;
    struct span user_id;
    struct epoch epoch;
    uint64_t seq;
    enum err error;           /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NOT_FOUND (never given) */
    struct store_found found; /* out */
};

/* Removes one number if it is pending, or all that are. on_inbox_event then gets withdrawals that
 * cover what was removed, in order with the user's other notifications. */
struct store_withdraw {
    struct store_request request;
    struct span user_id;
    bool is_all; /* all that are pending: epoch and seq are ignored, and `found` means nothing */
    struct epoch epoch;
    uint64_t seq;
    enum err error;           /* out: as store_look's; with is_all never ERR_NOT_FOUND */
    struct store_found found; /* out: what the number was before */
    uint64_t n_removed;       /* out; with an error: those that have left all the same */
    uint64_t n_committed;     /* the store's own */
};

/* Blocks a user from now on, in place of an earlier block. */
struct store_block {
    struct store_request request;
    struct span user_id;
    uint32_t for_s;   /* 0: lifts it */
    enum err error;   /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY, ERR_FULL */
    int64_t until_ms; /* out: since 1970, by the store's clock; 0: not blocked */
};

/* Gives a ticket out. `lane` may be any. */
struct store_ticket_give {
    struct store_request request;
    struct span ticket; /* of the caller's making: 1..STORE_TICKET_MAX_BYTES of text */
    struct span user_id;
    uint32_t ttl_s; /* 1..STORE_TICKET_MAX_TTL_S */
    enum err error; /* out: ERR_OK; ERR_CONFLICT: this ticket is out already; ERR_FULL: too many are
                     * out; ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
};

/* Takes a ticket, which ends it. `lane` may be any: a ticket that was given out with another lane
 * is found as well, once that was answered. */
struct store_ticket_take {
    struct store_request request;
    struct span ticket;
    enum err
        error; /* out: ERR_OK; ERR_NOT_FOUND: unknown, used or expired; ERR_STORE_UNAVAILABLE */
    char user_id[USER_ID_MAX_BYTES]; /* out, with ERR_OK */
    size_t user_id_len;              /* out; 0 with an error */
};

/* A ticket that is out, on its way to another process. */
struct store_ticket {
    struct span ticket;  /* 1..STORE_TICKET_MAX_BYTES */
    struct span user_id; /* 1..USER_ID_MAX_BYTES */
    int64_t left_ms;     /* until it ends */
};
typedef void store_ticket_visit_fn(void *owner, const struct store_ticket *ticket);

/* A node of the fleet, as it has described itself. It is information: nothing depends on it. */
enum {
    STORE_NODE_NAME_MAX_BYTES = 64,
    STORE_VERSION_MAX_BYTES = 31,
    STORE_MAX_NODES = 1000,     /* that an answer shows */
    STORE_NODE_KEPT_MS = 60000, /* after its last sign */
};
struct store_node {
    struct epoch name;                        /* drawn at its start, so no two share it */
    char node[STORE_NODE_NAME_MAX_BYTES + 1]; /* --node-name: printable, which two may share */
    char version[STORE_VERSION_MAX_BYTES + 1];
    int64_t seen_ms; /* its last sign; the store writes it */
    int64_t started_ms;
    uint64_t connections;
    uint64_t users;
    uint64_t max_connections;
    uint64_t pushes_per_second;
    bool is_draining;
    bool is_store_up;
};

/* Describes this node, or with is_leaving takes away what it has said, and asks for all. */
struct store_nodes {
    struct store_request request; /* any lane */
    struct store_node self;
    bool is_leaving;
    enum err error;           /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    size_t n;                 /* out */
    struct store_node *nodes; /* out: in no order, this one included; the caller frees it */
};

/* Gives back what a page's answer holds. */
void store_page_clear(struct store_page *page);

#endif
