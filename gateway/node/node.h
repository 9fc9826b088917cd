/* What all workers of this node share. Made by gateway.c before the workers start, constant
 * afterwards but for the atomics. */
#ifndef HERALD_NODE_H
#define HERALD_NODE_H

#include "gateway/base/node_name.h"
#include "gateway/base/options.h"
#include "gateway/base/shared_rate.h"
#include "gateway/node/client_map.h"
#include "gateway/node/outages.h"
#include "gateway/node/waits.h"
#include "gateway/store/store.h"
#include "proto/note/event_online.h"

#include <stdatomic.h>

struct worker;
struct auth;
struct http_port;
struct session_events;
struct wait_table;
struct node_list;
struct drains;
struct upgrade;
struct events;
struct client_message;
struct event_message;

/* What delivery/ reports to the parts above it; gateway_start.c plugs it in. Home worker's thread;
 * on_position may not be NULL. */
struct delivery_events {
    /* One of the user's positions has moved to `acked`. */
    void (*on_position)(struct client *client, uint64_t acked);
    /* The first session of a user on this node is accepted (one that is refused, because the user
     * is blocked, is not); the last one has left, for this reason. The client is still what it was.
     * Neither is called for sessions that come from another process, or go to one. NULL: nobody
     * keeps who is online. */
    void (*on_online)(struct client *client);
    void (*on_offline)(struct client *client, enum offline_cause cause);
};

/* Home worker's thread: what user.online says of the client's oldest session. The text that the
 * members of *ret_online point to is the client's, the node's or lies in `room`. false: none is
 * open. */
enum { CLIENT_DESCRIPTION_BYTES = 128 };
typedef bool (*client_describe_fn)(const struct client *client, char room[CLIENT_DESCRIPTION_BYTES],
                                   struct event_online *ret_online);

/* Which sessions a drain closes. */
enum drain_kind { DRAIN_NONE, DRAIN_SOME, DRAIN_ALL };

typedef void (*worker_command_fn)(struct worker *worker);

struct node {
    char name[NODE_NAME_MAX_BYTES + 1];      /* --node-name */
    _Atomic(const struct options *) options; /* replaced by SIGHUP; the old ones stay readable */
    struct client_map *map;
    struct store *store;
    struct auth *auth;
    struct worker **workers;
    unsigned n_workers;
    unsigned n_made;    /* of the workers: they and their parts are made (gateway_start.c) */
    unsigned n_started; /* of the workers: their threads run (gateway_start.c) */
    const struct session_events *session_events;
    struct delivery_events delivery_events;
    client_describe_fn describe_client; /* for the parts that may not see sessions */
    /* Messages of clients for the backends (client_message.h); NULL: none are taken. */
    enum err (*take_message)(struct node *node, const struct client_message *message);
    bool takes_plain_messages; /* take_message: those of plain clients as well */
    /* One was kept. Any thread; it is valid inside the call. NULL: nobody wants to hear it. */
    void (*on_message_kept)(struct node *node, const struct event_message *said);
    const worker_command_fn *command_fns; /* by enum worker_command_kind (worker.h) */
    struct http_port *port;               /* the subscribers' (http/http_port.h) */
    struct wait_table *wait_table;        /* pushes that wait (push_waits.h) */
    struct node_list *nodes;              /* of the fleet (nodes.h) */
    struct drains *drains;                /* drain.h */
    struct upgrade *upgrade;              /* to a new process (upgrade.h) */
    struct events *events;                /* NULL: none is kept (gateway/events/) */
    uint32_t max_connections;             /* sessions */
    uint32_t max_sockets;                 /* sessions and those whose head is not complete yet */
    uint32_t pages_at_once;               /* of the inbox under way, a worker (page_queue.h) */
    int64_t started_ms;                   /* monotonic */

    struct waits waits;    /* on behalf of backends */
    atomic_uint n_sockets; /* of the subscriber port, sessions included */
    atomic_uint n_sessions;
    struct shared_rate handshakes;        /* of --max-handshakes-per-second */
    atomic_uint_fast64_t next_connection; /* the id of the next session's connection */

    atomic_bool is_store_up;
    struct outages outages;      /* of the store, on the wall clock */
    atomic_bool was_store_up;    /* it has answered once */
    atomic_bool awaits_webhooks; /* their consumers are being added (events/webhooks.h) */
    atomic_int_fast64_t others_up_until_ms; /* of the store's clock: another node is up until then,
                                             * unless it says more (nodes.h) */
    atomic_bool is_draining;                /* readiness fails, and the other nodes are told */
    atomic_bool is_refusing;                /* it takes no new sessions */
    int64_t port_ended_ms;             /* monotonic: since when nobody can connect (gateway.c) */
    atomic_int drain_kind;             /* enum drain_kind */
    atomic_int_fast64_t drain_ends_ms; /* monotonic; DRAIN_ALL: when all sessions are closed */
    /* Monotonic: until then another node of its name is the other process of an upgrade. */
    atomic_int_fast64_t has_namesake_until_ms;
    atomic_bool is_frozen;   /* another process builds its sessions: it answers no question */
    atomic_bool is_stopping; /* sockets on their way between workers are closed */
};

/* Any thread: the worker on which all sessions of the user live. */
static inline struct worker *node_home(const struct node *node, struct span user_id)
{
    return node->workers[client_map_home(node->map, user_id)];
}

#endif
