/* A group: what the requests of one turn change, gathered before anything is written, so that it
 * can be committed as one, written again into a larger file, or thrown away. For the thread that
 * runs the store's turns. */
#ifndef HERALD_STORE_GROUP_H
#define HERALD_STORE_GROUP_H

#include "gateway/store/store_partition.h"
#include "gateway/stores/local/expiring.h"
#include "gateway/stores/local/idempotency.h"
#include "gateway/stores/local/inbox.h"

/* A notification to keep. */
struct group_put {
    struct span user_id;       /* the request's */
    struct notification *note; /* one reference */
    uint64_t key;              /* rising from one put to the next in the file store */
    uint32_t distance;         /* as in waiting_entry */
    bool is_first;             /* the first of its shared payload, which is written before it */
    bool is_event;             /* of the reserved user of a partition */
};

/* A record to drop. */
struct group_del {
    uint64_t key;
    uint32_t distance;
    uint32_t bytes; /* what it took, about, a shared payload's part included; 0: a user's record */
    bool is_note;   /* or an event */
    bool is_event;
    bool is_user;
    bool may_stay; /* a record of this group or a later one will say that it has left: the backing
                    * may keep it for some time */
};

/* A user whose record is to be written: its numbers would be lost with what leaves, or have moved.
 */
struct group_user {
    struct inbox *inbox;
};

/* An idempotency key to remember. */
struct group_key {
    struct span user_id, key; /* the request's */
    struct idempotency *entry;
};

/* A block that was set or lifted. */
struct group_block {
    struct expiring *entry;
    uint64_t old_key; /* the backing's own, while it commits */
};

struct presences;
struct present;

/* A user whose presence is to be written; one who is gone from the index is the group's own. */
struct group_present {
    const struct presences *presences;
    struct present *present;
    uint64_t key; /* the backing's own, while it commits */
};

struct alert;

/* An alert to write; one that has ended already is the group's own. */
struct group_alert {
    struct alert *alert;
};

/* Numbers that were withdrawn, to be reported. */
struct group_withdrawal {
    struct span user_id;           /* the request's */
    struct withdrawal *withdrawal; /* one reference */
    size_t n_puts;                 /* the puts that come before it */
};

struct partition;

/* How many left unacknowledged, by cause; for the metrics, once it is committed. */
struct group_counts {
    size_t n_expired, n_overflow, n_cancelled, n_collapsed;
    size_t n_resyncs, n_forgotten; /* new epochs; devices of users that had too many */
    size_t n_keys_forgotten;       /* idempotency keys, because there were too many */
    size_t n_events, n_events_expired, n_events_overflow;
};

struct group {
    struct group_put *puts;
    struct group_del *dels;
    struct group_user *users;
    struct group_key *keys;
    struct group_block *blocks;
    struct group_withdrawal *withdrawals;
    struct group_present *presents;
    struct group_alert *alerts;
    struct partition *partitions[STORE_PARTITIONS]; /* whose own records are to be written */
    size_t n_puts, n_dels, n_users, n_keys, n_blocks, n_withdrawals;
    size_t n_partitions, n_presents, cap_presents, n_alerts, cap_alerts;
    size_t n_event_dels; /* of the dels; they change no page that the partition's record does not */
    size_t cap_puts, cap_dels, cap_users, cap_keys, cap_blocks, cap_withdrawals;
    uint64_t bytes;                       /* that the puts and keys of users will take, about */
    uint64_t event_bytes;                 /* the same of the event log */
    uint64_t shared_key;                  /* of the last shared payload, which counts once */
    const struct payload *shared_payload; /* that payload; a put holds it. NULL: none yet */
    struct group_counts counts;
};

/* What a kept notification takes besides its data, and an idempotency key, about; for the ceilings
 * of the whole store. */
enum { GROUP_PUT_OVERHEAD_BYTES = 128, GROUP_KEY_BYTES = 256 };

/* Room for that many more; afterwards the calls below cannot fail. ERR_NO_MEMORY changes nothing.
 */
MUST_CHECK enum err group_reserve(struct group *group, size_t n_puts, size_t n_dels);
void group_put(struct group *group, struct group_put put);       /* takes over the reference */
void group_put_event(struct group *group, struct group_put put); /* the same */
void group_del(struct group *group, const struct waiting_entry *entry);
/* One that was acknowledged, as the user's record or a note of this group says. */
void group_del_acked(struct group *group, const struct waiting_entry *entry);
/* An event: all leave at the low end, which the partition's next record says. */
void group_del_event(struct group *group, uint64_t key, uint32_t bytes);
void group_del_user(struct group *group, const struct inbox *inbox);
void group_del_key(struct group *group, const struct idempotency *entry);
void group_del_block(struct group *group, const struct expiring *entry);
void group_del_alert(struct group *group, const struct alert *alert);
/* Each group_reserve is good for one of each of these. */
void group_write_user(struct group *group, struct inbox *inbox);
void group_write_key(struct group *group, struct group_key key);
void group_write_block(struct group *group, struct expiring *entry);
void group_write_partition(struct group *group, struct partition *partition); /* needs no room */
MUST_CHECK enum err group_reserve_presents(struct group *group, size_t n);
MUST_CHECK enum err group_reserve_alerts(struct group *group, size_t n);
void group_write_alert(struct group *group, struct alert *alert);
void group_write_present(struct group *group, const struct presences *presences,
                         struct present *present);
/* Takes over the reference. */
void group_withdraw(struct group *group, struct span user_id, struct withdrawal *withdrawal);

void group_count_left(struct group *group, enum gap_cause cause);

bool group_is_empty(const struct group *group);
void group_reset(struct group *group); /* keeps the room */
void group_fini(struct group *group);

#endif
