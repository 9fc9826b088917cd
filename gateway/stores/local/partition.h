/* The index of the event log in the memory and file stores: for each partition the numbers, what is
 * kept of them, who reads them, and why numbers left. For the thread that runs the store's turns.
 *
 * Events leave at the low end only, so those that are kept are a ring of entries without holes, and
 * an entry is found by its number. No call visits more entries than it adds or drops.
 *
 * Memory: 24 bytes an event, in a ring that doubles, and shrinks to half when an eighth of it is
 * used. */
#ifndef HERALD_STORE_PARTITION_H
#define HERALD_STORE_PARTITION_H

#include "gateway/stores/local/consumers.h"
#include "proto/note/gap.h"

struct partition_entry {
    uint64_t key; /* by which the backing finds it */
    int64_t time_ms;
    uint32_t bytes; /* of its data */
};

struct partition {
    struct epoch epoch; /* none: it was never begun */
    uint64_t head;
    uint64_t acked;      /* the lowest position of the consumers; stays while there is none */
    uint64_t record_key; /* of its own record in the backing; 0: none */
    uint64_t bytes;      /* of the data that is kept */
    struct partition_entry *ring;  /* NULL: no room yet */
    uint32_t cap;                  /* a power of two, or 0 */
    uint32_t at;                   /* the place of the oldest */
    uint32_t n;                    /* kept: the numbers up to head */
    struct gaps *gaps;             /* why numbers left that not all have read; NULL: none */
    struct consumers *consumers;   /* NULL: there never was one */
    struct pending_alerts *alerts; /* that are pending; NULL: there never was one */
    struct presences *presences;   /* who is online; NULL: nobody was */
    uint8_t number;
    bool is_dirty; /* the present group writes its record */
};

struct partitions {
    struct partition list[STORE_PARTITIONS];
};

/* How many entries this thread has visited; for tests. */
extern _Thread_local uint64_t partition_steps;

MUST_CHECK enum err partitions_new(struct partitions **ret_partitions);
void partitions_clear(struct partitions *partitions);           /* all as never begun */
void partitions_free(struct partitions *partitions);            /* NULL is fine */
bool partitions_are_empty(const struct partitions *partitions); /* none was begun */
/* What all events, users on record and alerts take, where each takes so much beside its data. */
uint64_t partitions_bytes(const struct partitions *partitions, uint64_t overhead);

static inline bool partition_is_begun(const struct partition *partition)
{
    return !epoch_is_none(partition->epoch);
}

/* The number up to which all have left. */
static inline uint64_t partition_left(const struct partition *partition)
{
    return partition->head - partition->n;
}

/* A number that is kept. */
static inline const struct partition_entry *partition_at(const struct partition *partition,
                                                         uint64_t seq)
{
    uint32_t place = partition->at + (uint32_t)(seq - partition_left(partition) - 1);
    return &partition->ring[place & (partition->cap - 1)];
}

/* Room for so many more, so that partition_push cannot fail. */
MUST_CHECK enum err partition_reserve(struct partition *partition, size_t n);
void partition_push(struct partition *partition, struct partition_entry entry); /* head + 1 */

/* The oldest leaves; there must be one. GAP_NONE: all have read it. Of causes at most
 * PARTITION_CAUSES ranges are kept apart, beyond that the last one's cause goes on; without memory
 * the cause is not known later. */
enum { PARTITION_CAUSES = 32 };
struct partition_entry partition_drop(struct partition *partition, enum gap_cause cause);

/* Why these numbers, which are not kept any more, have left. */
void partition_add_gap(struct partition *partition, uint64_t from, uint64_t to,
                       enum gap_cause cause);

/* `acked` follows the consumers, and causes that nobody needs are forgotten. */
void partition_follow(struct partition *partition);

#endif
