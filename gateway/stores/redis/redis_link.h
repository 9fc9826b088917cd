/* One connection to a Redis, on one reactor: connects, authenticates, pipelines commands, gives
 * up on a Redis that does not answer, and comes back with growing pauses (50 ms to 1 s, spread at
 * random).
 *
 * Commands of a loop turn leave with one send at its end. Answers come in the order of the
 * commands. A link breaks when the connection ends, when what comes in is no RESP, or when
 * something is waited for and nothing at all came for REDIS_DEADLINE_MS; a slow Redis that keeps
 * answering is not broken. Everything under way is then answered with NULL, and never sent again:
 * Redis may have done it.
 *
 * A publish-subscribe link takes SSUBSCRIBE and SUNSUBSCRIBE with one channel each, whose answers
 * are their confirmations or errors. What is_push says is no answer goes to on_push.
 *
 * Threads: all calls on the reactor's, or while it does not run. on_* never run inside a call. */
#ifndef HERALD_STORE_REDIS_LINK_H
#define HERALD_STORE_REDIS_LINK_H

#include "gateway/net/reactor.h"
#include "gateway/stores/redis/redis_reader.h"
#include "gateway/stores/redis/redis_resolver.h"
#include "gateway/stores/redis/redis_url.h"

enum {
    REDIS_DEADLINE_MS = 2000,
    REDIS_PING_MS = 1000,
    REDIS_BACKOFF_MIN_MS = 50,
    REDIS_BACKOFF_MAX_MS = 1000,
    REDIS_REPLICA_PAUSE_MS = 100,       /* where a resolver names a replica, a failover goes on */
    REDIS_UNSENT_MAX_BYTES = 128 << 20, /* one userIds push may hold 64 MiB of data */
    REDIS_WAITING_MAX = 1 << 18,        /* commands */
    REDIS_SUBS_WAITING_MAX = 1 << 22,   /* of a publish-subscribe link: one for each user */
};

struct redis_link;
struct redis_waiting;
struct tls_client;

/* reply: NULL: the link broke, and it is not known whether the command was carried out. */
typedef void (*redis_reply_fn)(void *owner, void *arg, size_t index,
                               const struct redis_value *reply);

/* By which herald_store_links counts those that are up. */
enum redis_link_kind {
    REDIS_LINK_OF_COMMANDS,
    REDIS_LINK_OF_SUBSCRIPTIONS,
    REDIS_LINK_OF_REPLICAS,
    REDIS_LINK_OF_MAP,
    REDIS_LINK_OF_SENTINEL,
};

struct redis_link_config {
    enum redis_link_kind kind;
    struct reactor *reactor;
    const struct redis_url *url;         /* who we are there; stays */
    const struct redis_address *address; /* stays; NULL: the first host of the url */
    struct redis_resolver *resolver;     /* in place of an address; NULL: none */
    struct tls_client *tls;              /* NULL: plain */
    const char *tls_name;                /* what the certificate must name; NULL: the host */
    bool is_sentinel;                    /* a Sentinel, which is no primary */
    const char *client_name;             /* of CLIENT SETNAME; stays */
    bool takes_replicas;                 /* a Redis that is no primary is good enough */
    bool is_pubsub;
    void *owner;
    void (*on_up)(void *owner); /* connected and let in; commands may be given */
    void (*on_down)(void *owner, bool was_up, const char *why); /* each failed attempt, too */
    /* is_pubsub: does it come by itself? `oldest` waits for the next answer; NULL: nothing does. */
    bool (*is_push)(void *owner, const struct redis_value *value,
                    const struct redis_waiting *oldest);
    void (*on_push)(void *owner, const struct redis_value *push);
};

MUST_CHECK enum err redis_link_new(const struct redis_link_config *config,
                                   struct redis_link **ret_link);
/* Answers what is under way with NULL; on_down is not called. NULL is fine. */
void redis_link_free(struct redis_link *link);

bool redis_link_is_up(const struct redis_link *link);

/* ERR_STORE_UNAVAILABLE: not up. ERR_BUSY: too much waits. ERR_NO_MEMORY. In these cases on_reply
 * is not called. The arguments are copied. */
MUST_CHECK enum err redis_link_command(struct redis_link *link, const struct span *args,
                                       size_t n_args, redis_reply_fn on_reply, void *arg,
                                       size_t index);

/* Breaks the link at the end of this turn. */
void redis_link_break(struct redis_link *link, const char *why);

/* From now on it is not up: it takes no commands, and breaks when those under way are answered. */
void redis_link_leave(struct redis_link *link, const char *why);

/* Inside on_down: for the first time it was reset before anything came. A server that wants TLS
 * does so each time; the next attempt says it. */
bool redis_link_may_meet_tls(const struct redis_link *link);
/* It leads, or is to lead, to what is no longer where its resolver leads: it breaks soon. */
bool redis_link_has_moved(const struct redis_link *link);
/* A handshake of TLS is under way. */
bool redis_link_is_shaking(const struct redis_link *link);

/* Inside on_reply: when the command that is answered was given, by reactor_now_ms. */
int64_t redis_link_asked_ms(const struct redis_link *link);

/* Inside on_down: the next attempt is at another address, and so comes after the shortest pause;
 * the pauses grow with the attempts that are not. */
void redis_link_hurry(struct redis_link *link);

/* The owner is content with what it found: the next pause is a short one again. */
void redis_link_accept(struct redis_link *link);

#endif
