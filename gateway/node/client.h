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
struct latencies;

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

/* What may not have come through the channel. */
enum missed {
    MISSED_NOTHING,
    MISSED_NOTIFICATIONS, /* read the inbox */
    MISSED_WITHDRAWALS,   /* and ask what of the numbers that were written has been withdrawn */
};

struct client {
    struct client *chain;  /* lock: next of the same bucket */
    struct worker *worker; /* constant: the home */
    struct list sessions;  /* home: the oldest first */
    union {
        struct letter letter;          /* posted while is_posted */
        struct deferred_free deferred; /* once it is removed, and no longer posted */
    };
    struct channel *channel; /* lock; NULL while nothing waits in it */
    /* These two are written by home under the lock, and read by others under it. */
    struct epoch epoch;     /* none until a page or a push has named it */
    uint64_t head;          /* the highest number that a page or a push has named */
    struct position shared; /* home, and what follows: of the sessions without a device */
    struct device_position *devices;
    struct channel *kept; /* kept for sessions whose page is under way; NULL: no such session */
    struct latencies *latencies; /* of what is on its way to be acknowledged (latencies.c) */
    uint32_t hash;               /* constant */
    uint32_t n_sessions;         /* written by home under the lock, read by others under it */
    bool is_posted;              /* lock */
    uint8_t missed;              /* lock: enum missed */
    _Atomic bool has_devices;    /* the store knows devices of this user; as position.acked */
    uint8_t unstored_slot;       /* home: 1 + its slot of positions to be written; 0: in none */
    uint8_t due_slot;    /* home: 1 + the slot, that one or a later, in which they are due */
    bool is_removed;     /* home: out of the map; freed when nothing refers to it any more */
    uint8_t user_id_len; /* constant */
    char user_id[];
};

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
    struct device_position *at = client->devices;
    while (at != NULL && !span_equal(position_device(&at->position), device))
        at = at->next;
    return at == NULL ? NULL : &at->position;
}

#endif
