#include "gateway/store/store_partition.h"

#include <stdint.h>

#define NAME(partition)                                                                            \
    "\x01"                                                                                         \
    "events." #partition
static const char names[STORE_PARTITIONS][12] = {
    NAME(0), NAME(1), NAME(2),  NAME(3),  NAME(4),  NAME(5),  NAME(6),  NAME(7),
    NAME(8), NAME(9), NAME(10), NAME(11), NAME(12), NAME(13), NAME(14), NAME(15),
};

unsigned store_partition_of(struct span user_id)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < user_id.len; i++)
        hash = (hash ^ (unsigned char)user_id.bytes[i]) * 16777619U;
    return (hash ^ hash >> 16) % STORE_PARTITIONS;
}

struct span store_partition_user(unsigned partition)
{
    return span_of(names[partition]);
}

bool store_is_partition_user(struct span user_id, unsigned *ret_partition)
{
    if (user_id.len == 0 || user_id.bytes[0] != STORE_RESERVED_BYTE)
        return false;
    for (unsigned partition = 0; partition < STORE_PARTITIONS; partition++) {
        if (!span_equal(user_id, store_partition_user(partition)))
            continue;
        *ret_partition = partition;
        return true;
    }
    return false;
}
