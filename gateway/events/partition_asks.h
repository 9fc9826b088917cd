/* One request to each of several partitions at once, and their answers counted. A set of partitions
 * has a bit for each. */
#ifndef HERALD_PARTITION_ASKS_H
#define HERALD_PARTITION_ASKS_H

#include "gateway/store/store_partition.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { PARTITIONS_ALL = (1u << STORE_PARTITIONS) - 1 };

/* Counts the answers that are to come in `left`, then calls `ask` for each of the partitions, of
 * which there is one at least. The last answer may free `call` and what `left` is part of, also
 * before the last `ask` has returned: nothing of them is read after that. */
static inline void partitions_ask(atomic_uint *left, unsigned partitions,
                                  void (*ask)(void *call, unsigned partition), void *call)
{
    unsigned n = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        n += (partitions & 1u << i) != 0;
    atomic_store(left, n);
    for (unsigned i = 0; i < STORE_PARTITIONS && n > 0; i++) {
        if ((partitions & 1u << i) == 0)
            continue;
        n--;
        ask(call, i);
    }
}

/* An answer has come: was it the last one? Any thread. */
static inline bool partitions_are_answered(atomic_uint *left)
{
    return atomic_fetch_sub(left, 1) == 1;
}

#endif
