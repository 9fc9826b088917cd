/* The store: what keeps a user's inbox until it is acknowledged or expires. One interface, one set
 * of contract tests (tests/store), three backends: memory:, file:PATH, redis://.
 *
 * The contract
 * - An inbox holds a user's notifications, numbered from 1 without holes within an epoch. The store
 *   numbers. `head` is the highest number ever given, `acked` the acknowledged position.
 * - Every request is a struct that the caller owns. It must stay, with all it points to, until
 * on_done ran. on_done runs exactly once for each request, never inside the call that made it, on a
 * thread of the store's choosing (a store thread, or the reactor of `lane`). It must not block.
 * - Requests may be made on any thread, until store_close. Requests of one thread for one user are
 *   carried out in the order they were made, except that nothing is promised between users.
 * - append answers ERR_OK for a target only after the notification is committed. Before that
 * answer, on_notification has been or will be called for it without another request being needed;
 * all calls of on_notification for one user come in number order, from one thread at a time.
 * - A failed append leaves no trace: no number is used, nothing is half-written. (With redis a
 * broken connection can hide an append that was kept; the answer is then ERR_STORE_UNAVAILABLE.)
 * - A full inbox (max_count notifications or max_bytes of data) pushes out its oldest.
 * - Expiry is exact to the millisecond: a page never shows what has expired, and what nobody reads
 *   leaves by itself.
 * - acknowledging another epoch, or a number above head, changes nothing and answers
 * ERR_STALE_EPOCH.
 * - A store that has lost what it had begins a new epoch: its head is lower than what the request
 *   says is known of that epoch, or the user is gone. What is still there may be kept, numbered
 * anew. A caller that knows another epoch is answered the present one. A user without push,
 * acknowledgement or page for 30 days is forgotten. */
#ifndef HERALD_STORE_STORE_H
#define HERALD_STORE_STORE_H

#include "gateway/net/reactor.h"
#include "proto/notification.h"

/* Common to all requests; first member of each. */
struct store_request {
    void (*on_done)(struct store_request *request);
    unsigned lane;              /* the user's home worker: index into store_config.lanes */
    struct store_request *next; /* the store's own, while it has the request */
    int op;                     /* the store's own */
};

struct store_target {
    struct span user_id;
    uint64_t known_head;      /* the highest number that this node knows; 0: none */
    struct epoch known_epoch; /* its epoch */
    enum err error;           /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_FULL (store_max_bytes) */
    struct epoch epoch;       /* out */
    uint64_t seq;             /* out */
    unsigned nodes; /* out: other nodes and this one with sessions of the user, as far as the
                     * store knows; the local stores leave it 0 */
};

/* One payload to n users, each with a number of its own. Each target has its own answer. */
struct store_append {
    struct store_request request;
    struct payload *payload; /* the store takes references of its own */
    uint32_t ttl_s;          /* from 1 */
    int64_t time_ms;         /* out: by the store's clock */
    int64_t expires_ms;      /* out */
    size_t n_targets;
    struct store_target *targets;
};

/* Reads the inbox from a position on. With is_arrival the store first makes sure that
 * on_notification is called for this user from now on (until store_leave), then reads. */
struct store_page {
    struct store_request request;
    struct span user_id;
    bool is_arrival;
    bool from_acked;     /* read behind the acknowledged position; `after` is ignored */
    uint64_t after;      /* read the numbers above it */
    uint64_t known_head; /* as in store_target */
    struct epoch known_epoch;
    uint32_t max_count; /* at most so many, and at most about max_bytes of data, but one at least */
    uint32_t max_bytes;
    enum err error;     /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    struct epoch epoch; /* out: the user's; none: nothing was ever pushed */
    uint64_t head;      /* out, at the moment of reading */
    uint64_t acked;     /* out */
    uint64_t last;      /* out: the page covers every number up to this one (head at the tail) */
    size_t n_notes;     /* out */
    struct notification **notes; /* out: rising; the caller unrefs each and frees the array */
};

/* Moves the acknowledged position; a lower one than the present changes nothing (ERR_OK). */
struct store_ack {
    struct store_request request;
    struct span user_id;
    struct epoch epoch;
    uint64_t seq;
    enum err error; /* out: ERR_OK, ERR_STALE_EPOCH, ERR_STORE_UNAVAILABLE */
};

/* What waits for a user; a user never heard of has no epoch and zeros. */
struct store_peek {
    struct store_request request;
    struct span user_id;
    enum err error; /* out */
    struct epoch epoch;
    uint64_t head;
    uint64_t acked;
    uint64_t pending;       /* unexpired, above acked */
    int64_t oldest_time_ms; /* of the oldest pending; 0: none */
};

/* What the store tells without being asked. Called on the store's threads; must not block. */
struct store_events {
    /* A notification was committed. The callee refs it if it keeps it. */
    void (*on_notification)(void *owner, struct span user_id, struct notification *note);
    /* Calls of on_notification for this user may have been missed: read the inbox. */
    void (*on_missed)(void *owner, struct span user_id);
    /* The store can be used, or no longer; the first call may come before store_open returns. */
    void (*on_state)(void *owner, bool is_up);
};

struct store_config {
    const char *url;          /* memory:  file:PATH  redis://[USER:PASSWORD@]HOST:PORT[/DB]
                               * redis+unix:///path/to/socket (tests) */
    const char *redis_prefix; /* "herald" */
    uint32_t inbox_max;       /* notifications a user */
    uint64_t inbox_max_bytes; /* bytes of data a user */
    uint64_t max_bytes;       /* file: of the whole store; 0: no limit */
    struct reactor **lanes;   /* one a worker; redis runs its links on them */
    unsigned n_lanes;         /* at least 1 for redis; the local stores need none */
    struct store_events events;
    void *owner; /* handed to the events */
};

struct store;

/* `memory:` and `file:` are ready when this returns. `redis://` returns at once, and on_state tells
 * when it is there; until then requests answer ERR_STORE_UNAVAILABLE.
 * ERR_INVALID_FIELD: the url; ERR_STORE_UNAVAILABLE: cannot be opened, locked or written. *ret_why
 * is then a sentence that says what to do (at most why_cap bytes). Call before the lanes run. */
MUST_CHECK enum err store_open(const struct store_config *config, struct store **ret_store,
                               char *why, size_t why_cap);

/* Ends what is under way (every on_done has run when it returns) and frees the store. For redis the
 * lanes must have stopped running; their links are closed here. */
void store_close(struct store *store);

void store_append(struct store *store, struct store_append *append);
void store_page(struct store *store, struct store_page *page);
void store_ack(struct store *store, struct store_ack *ack);
void store_peek(struct store *store, struct store_peek *peek);

/* This node has no session of the user any more. On the thread of `lane`. */
void store_leave(struct store *store, unsigned lane, struct span user_id);

/* "memory", "file" or "redis". */
const char *store_kind(const struct store *store);

/* One line for an operator about what is wrong now; empty when all is well. Any thread. */
void store_describe(struct store *store, char *out, size_t cap);

#endif
