/* A group: what the requests of one turn change, gathered before anything is written, so that it
 * can be committed as one, written again into a larger file, or thrown away. For the thread that
 * runs the store's turns. */
#ifndef HERALD_STORE_GROUP_H
#define HERALD_STORE_GROUP_H

#include "gateway/store/inbox.h"

/* A notification to keep. */
struct group_put {
    struct span user_id;       /* the request's */
    struct notification *note; /* one reference */
    uint64_t key;              /* rising from one put to the next in the file store */
    uint32_t distance;         /* as in inbox_entry */
};

/* A record to drop. */
struct group_del {
    uint64_t key;
    uint32_t distance;
    uint32_t bytes; /* of its data; 0: a user's record */
    bool is_user;
};

/* A user whose record is to be written: its numbers would be lost with what leaves, or have moved.
 */
struct group_user {
    struct inbox *inbox;
    uint64_t old_key; /* the backing's own, while it commits */
};

struct group {
    struct group_put *puts;
    struct group_del *dels;
    struct group_user *users;
    size_t n_puts, n_dels, n_users;
    size_t cap_puts, cap_dels, cap_users;
    uint64_t bytes;                          /* that the puts will take, about */
    uint64_t shared_key;                     /* of the last shared payload, which counts once */
    size_t n_expired, n_overflow, n_resyncs; /* for the metrics, once it is committed */
};

/* What a kept notification takes besides its data, about; for the ceilings of the whole store. */
enum { GROUP_PUT_OVERHEAD_BYTES = 128 };

/* Room for so many more; afterwards the calls below cannot fail. ERR_NO_MEMORY changes nothing. */
MUST_CHECK enum err group_reserve(struct group *group, size_t n_puts, size_t n_dels);
void group_put(struct group *group, struct group_put put); /* takes over the reference */
void group_del(struct group *group, const struct inbox_entry *entry);
void group_del_user(struct group *group, const struct inbox *inbox);
/* Each group_reserve is good for one of these. */
void group_write_user(struct group *group, struct inbox *inbox);

bool group_is_empty(const struct group *group);
void group_reset(struct group *group); /* keeps the room */
void group_fini(struct group *group);

#endif
