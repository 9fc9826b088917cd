/* Which primary of a Redis Cluster has which slot. A map is made from the answer to CLUSTER SLOTS,
 * and never changes: one that differs is another map. It is counted, and may be read by any
 * thread.
 *
 * The answer and the errors MOVED and ASK are not trusted. An empty or missing host in them means
 * the host that was asked; `?` is no address. */
#ifndef HERALD_STORE_REDIS_SLOTS_H
#define HERALD_STORE_REDIS_SLOTS_H

#include "gateway/stores/redis/redis_address.h"
#include "gateway/stores/redis/redis_reader.h"

enum {
    REDIS_SLOTS = 16384,
    REDIS_PRIMARIES_MAX = 1000, /* as many nodes as a Cluster may have */
};

/* The slot of a key or a channel: CRC16 of its hash tag, or of all of it where there is none. */
uint16_t redis_slot_of(struct span key);
/* The slot of all keys and of the channel of a user (redis_record.h). */
uint16_t redis_slot_of_user(struct span user_id);

struct redis_slot_map;

/* `asked` is who answered. ERR_PROTOCOL: the answer is malformed, or names more than
 * REDIS_PRIMARIES_MAX. ERR_NOT_FOUND: no slot has an owner with an address (`?` is none).
 * ERR_NO_MEMORY. The caller has one reference to *ret_map; on an error `why` is a sentence. */
MUST_CHECK enum err redis_slot_map_read(const struct redis_value *reply,
                                        const struct redis_address *asked,
                                        struct redis_slot_map **ret_map, char *why, size_t why_cap);

/* The same map, but for one slot. ERR_NO_MEMORY; ERR_FULL: too many addresses. */
MUST_CHECK enum err redis_slot_map_correct(const struct redis_slot_map *map, uint16_t slot,
                                           const struct redis_address *owner,
                                           struct redis_slot_map **ret_map);

struct redis_slot_map *redis_slot_map_ref(struct redis_slot_map *map);
void redis_slot_map_unref(struct redis_slot_map *map); /* NULL is fine */

/* NULL: the slot has no owner. It is there as long as the map. */
const struct redis_address *redis_slot_map_owner(const struct redis_slot_map *map, uint16_t slot);
/* Its place among the addresses; -1: none. */
int redis_slot_map_owner_at(const struct redis_slot_map *map, uint16_t slot);
/* Do both say the same of every slot? */
bool redis_slot_map_equal(const struct redis_slot_map *a, const struct redis_slot_map *b);
/* Slots without an owner, or whose owner has no address; *ret_first is the first of them. */
unsigned redis_slot_map_missing(const struct redis_slot_map *map, uint16_t *ret_first);
/* Why there are any, as a sentence. */
void redis_slot_map_describe_missing(const struct redis_slot_map *map, char *out, size_t cap);
/* The addresses that it names: `at` from 0 on; NULL: there are no more. */
const struct redis_address *redis_slot_map_address(const struct redis_slot_map *map, unsigned at);

/* "MOVED SLOT HOST:PORT" or "ASK SLOT HOST:PORT". false: it is no such error, or no address. */
bool redis_redirect_read(const char *error, const struct redis_address *asked, uint16_t *ret_slot,
                         struct redis_address *ret_owner);

#endif
