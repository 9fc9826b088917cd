/* A client is a user who is present: not a connection, but all of the user's sessions (at least
 * one) and the positions in the inbox that they share. The client map owns it (client_map.h). Each
 * member says which thread may touch it: `constant` any, `lock` the holder of the mutex of the
 * client map's shard, `home` the home worker's thread. */
#ifndef HERALD_CLIENT_H
#define HERALD_CLIENT_H

#include "gateway/base/list.h"
#include "gateway/net/mailbox.h"
#include "gateway/node/channel.h"
#include "gateway/node/deferred_free.h"

#include <stdatomic.h>

struct worker;

/* An acknowledged position (CONTRACT 5.6): sessions without a device share one, those of a device
 * another. Home. */
struct position {
    _Atomic uint64_t acked; /* the lowest of its open sessions; read by any thread under the lock */
    uint64_t stored;        /* what was last written to the store */
    uint64_t best;          /* the highest that any of its sessions had acknowledged */
    uint32_t n_sessions;
    uint16_t number;    /* by which sessions name it; 0: it is the shared one */
    uint8_t device_len; /* 0: it is the shared one */
    bool is_known;      /* a page has said where it is in the store */
};

/* One of the user's devices, with open sessions. Home. */
struct device_position {
    struct position position;
    struct device_position *next;
    char name[];
};

/* One notification on its way to be acknowledged. Home. */
struct latency {
    uint64_t seq;
    int64_t accepted_ms;
};

/* Those that are followed, with rising numbers (latencies.c). Home. */
struct latencies {
    struct latency *followed; /* NULL: `only` */
    struct latency only;      /* most users have one, which needs no array */
    uint32_t first;
    uint32_t end;
    uint32_t cap; /* of followed */
};

/* What a client needs now and then. All clients of a worker who need nothing of it have one
 * together, which stays empty; the client map owns that one. Home. */
struct client_more {
    struct worker *worker;     /* constant: the home */
    struct client_more *empty; /* constant: the one that clients have together */
    struct device_position *devices;
    struct channel *kept; /* kept for sessions whose page is under way; NULL: no such session */
    struct latencies latencies;
};

/* What may not have come through the channel. */
enum missed {
    MISSED_NOTHING,
    MISSED_NOTIFICATIONS, /* read the inbox */
    MISSED_WITHDRAWALS,   /* and ask what of the numbers that were written has been withdrawn */
};

struct client {
    struct client *chain;    /* lock: next of the same bucket */
    uint32_t hash;           /* constant */
    uint32_t n_sessions;     /* written by home under the lock, read by others under it */
    struct list sessions;    /* home: the oldest first */
    struct channel *channel; /* lock; NULL while nothing waits in it */
    /* These two are written by home under the lock, and read by others under it. */
    struct epoch epoch; /* none until a page or a push has named it */
    uint64_t head;      /* the highest number that a page or a push has named */
    union {
        struct letter letter;          /* posted while is_posted */
        struct deferred_free deferred; /* once it is removed, and no longer posted */
    };
    struct client_more *more; /* home; never NULL */
    struct position shared;   /* home: of the sessions without a device */
    uint32_t head_time;       /* as head: its store_time; 0: not known */
    bool is_posted;           /* lock */
    _Atomic bool is_unsure; /* events may have been missed, or were of other numbers: the head stays
                             * as it is, and what comes is left to the page that tells the store
                             * of it (page_learn.h). Set under the lock; home reads and clears it */
    uint8_t missed;         /* lock: enum missed */
    _Atomic bool has_devices; /* the store knows devices of this user; as position.acked */
    uint8_t unstored_slot;    /* home: 1 + its slot of positions to be written; 0: in none */
    uint8_t due_slot;         /* home: 1 + the slot, that one or a later, in which they are due */
    bool is_removed : 1;      /* home: out of the map; freed when nothing refers to it any more */
    bool is_present : 1;      /* home: delivery_events.on_online was called, or was by the process
                               * that its sessions come from */
    uint8_t user_id_len;      /* constant */
    char user_id[];
};

/* ---- client.c ---- */

/* At home in the worker of that `empty`. The caller sets what else is not zero. NULL: out of
 * memory. */
struct client *client_new(struct span user_id, uint32_t hash, struct client_more *empty);
/* Home worker: frees a client that has left the map, once nothing refers to it any more. */
void client_free(struct client *client);

/* client->more, its own from now on. NULL: out of memory. */
struct client_more *client_more(struct client *client);
/* Something that it needed client_more for is over: gives it back, if nothing else needs it. */
void client_trim(struct client *client);

/* From now on it has a channel that keeps (client_more.kept). ERR_NO_MEMORY. */
MUST_CHECK enum err client_keep(struct client *client);
void client_drop_kept(struct client *client); /* without one it does nothing */

/* The home. Home worker. */
static inline struct worker *client_worker(const struct client *client)
{
    return client->more->worker;
}

static inline struct span client_user_id(const struct client *client)
{
    return (struct span){client->user_id, client->user_id_len};
}

/* How far it is acknowledged. The home worker, or any thread under the shard's lock. */
static inline uint64_t position_acked(const struct position *position)
{
    return atomic_load_explicit(&position->acked, memory_order_relaxed);
}

/* The name of the device whose position it is; empty: the shared one. */
static inline struct span position_device(const struct position *position)
{
    const struct device_position *device = (const struct device_position *)(const void *)position;
    if (position->device_len == 0)
        return (struct span){0};
    return (struct span){device->name, position->device_len};
}

/* Home: the position of the sessions with that device (empty: without one). NULL: none is open. */
static inline struct position *client_position(struct client *client, struct span device)
{
    if (device.len == 0)
        return &client->shared;
    struct device_position *at = client->more->devices;
    while (at != NULL && !span_equal(position_device(&at->position), device))
        at = at->next;
    return at == NULL ? NULL : &at->position;
}

/* Home: the open position of that number. */
static inline struct position *client_position_numbered(struct client *client, uint16_t number)
{
    if (number == 0)
        return &client->shared;
    struct device_position *device = client->more->devices;
    while (device->position.number != number)
        device = device->next;
    return &device->position;
}

#endif
