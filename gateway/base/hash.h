/* A keyed hash of bytes (SipHash-2-4 with a random key that is drawn at the start), so that an
 * attacker cannot choose userIds that collide. Any thread, after hash_init. */
#ifndef HERALD_BASE_HASH_H
#define HERALD_BASE_HASH_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

MUST_CHECK enum err hash_init(void); /* call once before threads start; ERR_SYSTEM: no randomness */
uint64_t hash_bytes(struct span bytes);

/* The bits of a hash from the last to the first. A table that takes the low bits of a hash as a
 * bucket and grows by splitting buckets, b into b and b + n, keeps its links in the order of the
 * reversed hashes, so a walk in this order is not disturbed by the growth (as in Redis's SCAN). */
uint32_t hash_reverse_bits(uint32_t hash);

/* hash_bytes with the caller's key, for the published test vectors. */
uint64_t hash_bytes_keyed(struct span bytes, const uint64_t with_key[2]);

#endif
