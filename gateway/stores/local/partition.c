#include "gateway/stores/local/partition.h"

#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 16 };

_Thread_local uint64_t partition_steps;

/* ---- all of them ---- */

enum err partitions_new(struct partitions **ret_partitions)
{
    struct partitions *partitions = calloc(1, sizeof *partitions);
    if (partitions == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        partitions->list[i].number = (uint8_t)i;
    *ret_partitions = partitions;
    return ERR_OK;
}

static void clear_partition(struct partition *partition)
{
    free(partition->ring);
    free(partition->gaps);
    free(partition->consumers);
    presences_free(partition->presences);
    pending_alerts_free(partition->alerts);
    *partition = (struct partition){.number = partition->number};
}

void partitions_clear(struct partitions *partitions)
{
    for (int i = 0; i < STORE_PARTITIONS; i++)
        clear_partition(&partitions->list[i]);
}

void partitions_free(struct partitions *partitions)
{
    if (partitions == NULL)
        return;
    partitions_clear(partitions);
    free(partitions);
}

bool partitions_are_empty(const struct partitions *partitions)
{
    bool are_empty = true;
    for (int i = 0; are_empty && i < STORE_PARTITIONS; i++)
        are_empty = !partition_is_begun(&partitions->list[i]);
    return are_empty;
}

uint64_t partitions_bytes(const struct partitions *partitions, uint64_t overhead)
{
    uint64_t bytes = 0;
    for (int i = 0; i < STORE_PARTITIONS; i++) {
        const struct partition *partition = &partitions->list[i];
        size_t n = partition->n + pending_alerts_count(partition->alerts);
        n += partition->presences == NULL ? 0 : partition->presences->n;
        bytes += partition->bytes + n * overhead;
    }
    return bytes;
}

/* ---- the ring ---- */

/* The cap holds all that are kept. ERR_NO_MEMORY: it is as large as it was. */
static enum err resize_ring(struct partition *partition, uint32_t cap)
{
    struct partition_entry *ring = malloc(cap * sizeof *ring);
    if (ring == NULL)
        return ERR_NO_MEMORY;
    uint64_t left = partition_left(partition);
    for (uint32_t i = 0; i < partition->n; i++, partition_steps++)
        ring[i] = *partition_at(partition, left + 1 + i);
    free(partition->ring);
    partition->ring = ring;
    partition->cap = cap;
    partition->at = 0;
    return ERR_OK;
}

enum err partition_reserve(struct partition *partition, size_t n)
{
    size_t needed = partition->n + n;
    uint32_t cap = partition->cap == 0 ? FIRST_CAP : partition->cap;
    if (needed <= partition->cap)
        return ERR_OK;
    while (cap < needed && cap <= UINT32_MAX / 4)
        cap *= 2;
    return cap < needed ? ERR_NO_MEMORY : resize_ring(partition, cap);
}

void partition_push(struct partition *partition, struct partition_entry entry)
{
    assert(partition->n < partition->cap);
    partition_steps++;
    partition->ring[(partition->at + partition->n) & (partition->cap - 1)] = entry;
    partition->head++;
    partition->n++;
    partition->bytes += entry.bytes;
}

struct partition_entry partition_drop(struct partition *partition, enum gap_cause cause)
{
    assert(partition->n > 0);
    partition_steps++;
    uint64_t seq = partition_left(partition) + 1;
    struct partition_entry entry = *partition_at(partition, seq);
    if (cause != GAP_NONE)
        partition_add_gap(partition, seq, seq, cause);
    partition->bytes -= entry.bytes;
    partition->n--;
    partition->at = (partition->at + 1) & (partition->cap - 1);
    if (partition->n <= partition->cap / 8 && partition->cap > FIRST_CAP &&
        resize_ring(partition, partition->cap / 2) != ERR_OK)
        return entry; /* it is as large as it was */
    return entry;
}

/* ---- why numbers left ---- */

void partition_add_gap(struct partition *partition, uint64_t from, uint64_t to,
                       enum gap_cause cause)
{
    const struct gaps *gaps = partition->gaps;
    if (gaps != NULL && gaps->n >= PARTITION_CAUSES)
        cause = gaps->ranges[gaps->n - 1].cause;
    if (gaps_add(&partition->gaps, from, to, cause) != ERR_OK)
        return; /* it is told as unknown */
}

void partition_follow(struct partition *partition)
{
    uint64_t lowest = consumers_lowest(partition->consumers);
    if (consumers_count(partition->consumers) > 0 && lowest > partition->acked)
        partition->acked = lowest;
    struct gaps *gaps = partition->gaps;
    uint32_t n = 0;
    while (gaps != NULL && n < gaps->n && gaps->ranges[n].to <= partition->acked)
        n++;
    if (n == 0)
        return;
    gaps->n -= n;
    memmove(gaps->ranges, gaps->ranges + n, gaps->n * sizeof gaps->ranges[0]);
    if (gaps->n == 0) {
        free(gaps);
        partition->gaps = NULL;
    }
}
