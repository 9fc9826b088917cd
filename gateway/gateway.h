/* The gateway as the admin API sees it: push, kick, look. Everything here may be called from any
 * thread between gateway_start and gateway_stop. Requests are structs that the caller owns and
 * keeps until on_done ran; on_done runs exactly once, possibly inside the call, possibly on a
 * worker's or the store's thread, and must not block. */
#ifndef HERALD_GATEWAY_H
#define HERALD_GATEWAY_H

#include "gateway/base/options.h"
#include "proto/notification.h"

struct gateway;

/* Opens the store, binds the listener, starts the workers. On error *why is a sentence that says
 * what to do: ERR_INVALID_FIELD (an option), ERR_STORE_UNAVAILABLE, ERR_SYSTEM (the port is in
 * use...). */
MUST_CHECK enum err gateway_start(const struct options *options, struct gateway **ret_gateway,
                                  char *why, size_t why_cap);

/* From now on new connections get 503 and readiness fails; the open ones are closed with 1012,
 * spread over drain_ms. Answers at once. Calling it again changes nothing. */
void gateway_drain(struct gateway *gateway, uint32_t drain_ms);
bool gateway_is_drained(const struct gateway *gateway); /* no session is left */

/* Closes what is open, answers what is under way, joins the workers, closes the store, frees. */
void gateway_stop(struct gateway *gateway);

struct gateway_target {
    struct span user_id;
    /* out */
    enum err error;     /* ERR_OK, ERR_STORE_UNAVAILABLE, ERR_DRAINING, ERR_NO_MEMORY */
    struct epoch epoch; /* ttl 0: none */
    uint64_t seq;       /* ttl 0: 0 */
    unsigned online;    /* the user's sessions on this node */
    unsigned nodes;     /* nodes where the user is online */
};

struct gateway_push {
    void (*on_done)(struct gateway_push *push);
    struct span data; /* JSON text, checked by the caller; copied before the call returns */
    uint32_t ttl_s;   /* 0: only who is online now; the store is not touched */
    size_t n_targets;
    struct gateway_target *targets;
    int64_t expires_ms; /* out; 0 with ttl 0 */
    void *private_work; /* the gateway's own */
};
void gateway_push(struct gateway *gateway, struct gateway_push *push);

struct gateway_kick {
    void (*on_done)(struct gateway_kick *kick);
    struct span user_id;
    struct span reason; /* a short word for the close frame; empty: "kicked" */
    unsigned closed;    /* out */
    void *private_work;
};
void gateway_kick(struct gateway *gateway, struct gateway_kick *kick);

enum { ADDRESS_MAX_BYTES = 64, CONNECTION_ID_MAX_BYTES = 24, USER_AGENT_MAX_BYTES = 256 };

struct gateway_connection {
    char connection[CONNECTION_ID_MAX_BYTES];  /* "c-7f3a" */
    char address[ADDRESS_MAX_BYTES];           /* "127.0.0.1" */
    char user_agent[USER_AGENT_MAX_BYTES + 1]; /* valid UTF-8; empty: none was sent */
    const char *level;                         /* "plain" */
    int64_t since_ms;                          /* since 1970 */
    int64_t round_trip_ms;                     /* of the last ping; -1: not known yet */
    uint64_t queued_bytes;
    uint64_t acked;
};

struct gateway_user {
    void (*on_done)(struct gateway_user *user);
    struct span user_id;
    /* out */
    enum err
        error; /* ERR_OK; ERR_STORE_UNAVAILABLE: the connections stand, the inbox is not known */
    struct epoch epoch;
    uint64_t head;
    uint64_t acked; /* what is not yet written to the store included */
    uint64_t pending;
    int64_t oldest_pending_ms; /* age; 0: none pending */
    size_t n_connections;
    struct gateway_connection *connections; /* the caller frees the array */
    void *private_work;
};
void gateway_user(struct gateway *gateway, struct gateway_user *user);

/* This node's users in pages, in an order that only the cursor knows. `after` empty: from the
 * start. Users who come and go meanwhile may be missed; the others are seen once. */
struct gateway_client {
    char user_id[128];
    size_t user_id_len;
    unsigned connections;
};
/* Fills up to `cap` (1..1000); answers how many. *ret_next is the cursor for the next page, empty
 * at the end (32 bytes with its NUL). ERR_INVALID_FIELD: not a cursor. */
MUST_CHECK enum err gateway_clients(struct gateway *gateway, struct span after,
                                    struct gateway_client *clients, size_t cap, size_t *ret_n,
                                    char ret_next[32]);

struct gateway_stats {
    uint64_t connections;
    uint64_t users;
    unsigned workers;
    int64_t uptime_ms;
    const char *store; /* "file" */
    bool is_store_up;
    bool is_draining;
};
void gateway_stats(struct gateway *gateway, struct gateway_stats *ret_stats);

bool gateway_is_live(struct gateway *gateway); /* every worker has turned within 5 s */

enum gateway_readiness { GATEWAY_READY, GATEWAY_DEGRADED, GATEWAY_NO_STORE, GATEWAY_DRAINING };
/* DEGRADED: the store was there and is away. NO_STORE: it has never answered. */
enum gateway_readiness gateway_readiness(struct gateway *gateway);

#endif
