/* Who is online, of the users of one partition: for each the nodes that have sessions of the user,
 * or when the user will be offline. In the order of the bytes of the userIds, for listings. Pure;
 * for the thread that runs the store's turns.
 *
 * Memory: 80 bytes a user and the userId, and 8 for the heap. */
#ifndef HERALD_STORE_PRESENCES_H
#define HERALD_STORE_PRESENCES_H

#include "gateway/store/store_event_request.h"
#include "gateway/stores/local/due_heap.h"

struct present {
    struct present *left, *right; /* of the tree */
    struct due due;               /* without nodes: when the user is offline */
    uint64_t record_key;          /* in the backing; 0: none */
    int64_t last_seen_ms;         /* without nodes */
    uint32_t nodes;               /* a bit for each, by its place */
    uint32_t priority;            /* in the tree */
    uint8_t cause;                /* enum offline_cause, without nodes */
    uint8_t user_id_len;
    bool is_dirty; /* the present group changes it */
    bool is_gone;  /* it is in the group alone, which frees it */
    char user_id[];
};

/* Nodes that have users here. A process draws its name when it starts, so there are several only
 * after starts that followed each other within the grace time. From PRESENCE_NODES on, one is ended
 * for each that comes; the places above are for records of one group, read one after the other. */
enum { PRESENCE_NODES = 16, PRESENCE_NODES_MAX = 32 };
struct presence_node {
    char name[STORE_NODE_NAME_MAX_BYTES];
    uint8_t name_len; /* 0: the place is free */
    bool is_leased;   /* it has renewed its lease since this process began */
    int64_t left_ms;  /* when it gave its lease back; 0: it did not */
    int64_t heard_ms;
    size_t n_users;
};

struct presences {
    struct present *root;
    size_t n;
    struct due_heap due; /* those without nodes */
    struct presence_node nodes[PRESENCE_NODES_MAX];
    int64_t began_ms;               /* the first request of this process; 0: none yet */
    int64_t judged_ms;              /* when the last judgement was */
    char walked[USER_ID_MAX_BYTES]; /* up to which user those of lost nodes were looked for */
    uint8_t walked_len;
};

MUST_CHECK enum err presences_new(struct presences **ret_presences);
void presences_free(struct presences *presences); /* NULL is fine */

static inline struct span present_user(const struct present *present)
{
    return (struct span){present->user_id, present->user_id_len};
}

static inline struct present *present_of_due(struct due *due)
{
    return (struct present *)(void *)((char *)due - offsetof(struct present, due));
}

struct present *presences_find(const struct presences *presences, struct span user_id);
/* The first above this userId; empty: the first of all. NULL: there is none. */
struct present *presences_after(const struct presences *presences, struct span user_id);

/* A user who is not in the list yet. NULL: no memory. */
struct present *present_new(struct span user_id);
/* Room for so many more, so that the calls below cannot fail. */
MUST_CHECK enum err presences_reserve(struct presences *presences, size_t n);
void presences_add(struct presences *presences, struct present *present);
void presences_remove(struct presences *presences, struct present *present); /* the caller frees */

/* The place of a node; PRESENCE_NODES_MAX: it has none. */
unsigned presences_find_node(const struct presences *presences, struct span name);
/* Takes a free place for it; PRESENCE_NODES_MAX: there is none. */
unsigned presences_add_node(struct presences *presences, struct span name);
unsigned presences_count_nodes(const struct presences *presences); /* places that are taken */

/* The node has sessions of the user. false: that was known. */
bool present_come(struct presences *presences, struct present *present, unsigned node);
/* It has none any more; if no other has, the user is offline at due_ms. false: it had none. */
bool present_leave(struct presences *presences, struct present *present, unsigned node,
                   int64_t last_seen_ms, int64_t due_ms, enum offline_cause cause);

/* No node has the user, and none is due: what comes next says more. */
void present_leave_all(struct presences *presences, struct present *present);

/* The clock went back to this time: what is later is of this time from here on, and a user whose
 * grace time runs is due by as much earlier. */
void presences_hold_to(struct presences *presences, int64_t now_ms);

/* The names of a user's nodes as records have them: one byte for the length, then the name. */
enum { PRESENT_NODES_MAX_BYTES = PRESENCE_NODES_MAX * (1 + STORE_NODE_NAME_MAX_BYTES) };
size_t present_write_nodes(const struct presences *presences, const struct present *present,
                           char out[PRESENT_NODES_MAX_BYTES]);
bool present_nodes_are_sound(struct span bytes);
/* Of bytes that are sound. ERR_FULL: there are too many nodes. */
MUST_CHECK enum err present_read_nodes(struct presences *presences, struct present *present,
                                       struct span bytes);

#endif
