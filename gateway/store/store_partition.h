/* The partitions of the event log. An event about a user is kept in the inbox of that user's
 * partition, so one user's events keep their order. The inbox of a partition belongs to a reserved
 * user, whose name begins with a byte that no userId can contain; a consumer of events is to it
 * what a device is to a user. Pure; any thread. */
#ifndef HERALD_STORE_STORE_PARTITION_H
#define HERALD_STORE_STORE_PARTITION_H

#include "proto/bytes/span.h"

#include <stdbool.h>

enum { STORE_PARTITIONS = 16 };

/* The first byte of the names of all reserved users. */
enum { STORE_RESERVED_BYTE = 0x01 };

/* 0..STORE_PARTITIONS - 1. The same on every node, in every version and on every machine: the hash
 * is FNV-1a of 32 bits, of which the upper half is folded into the lower one. */
unsigned store_partition_of(struct span user_id);

/* The reserved user of a partition; a constant. */
struct span store_partition_user(unsigned partition);

/* Is it the reserved user of a partition? */
bool store_is_partition_user(struct span user_id, unsigned *ret_partition);

#endif
