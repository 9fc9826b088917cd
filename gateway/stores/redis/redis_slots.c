/* A map has each address once, and two bytes for each slot: the index of its owner. It is made
 * whole and then never changed, so lanes may read it without a lock: one of them makes the next
 * map, and each lets go of the old one when it has looked at the new. */
#include "gateway/stores/redis/redis_slots.h"

#include "gateway/stores/redis/redis_record.h"
#include "proto/bytes/decimal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_OWNER = UINT16_MAX };

struct redis_slot_map {
    atomic_uint refs;
    unsigned n_addresses;
    int unnamed;                  /* the first slot whose owner has no address; -1: none */
    uint16_t owners[REDIS_SLOTS]; /* index into addresses, or NO_OWNER */
    struct redis_address addresses[];
};

/* ---- the slot of a key ---- */

/* CRC-16/XMODEM: polynomial 0x1021, from 0, four bits at a time. */
static uint16_t crc16(struct span bytes)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    uint16_t crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t byte = (uint8_t)bytes.bytes[i];
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ byte >> 4]);
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ (byte & 15)]);
    }
    return crc;
}

uint16_t redis_slot_of(struct span key)
{
    const char *open = key.len > 0 ? memchr(key.bytes, '{', key.len) : NULL;
    if (open != NULL) {
        size_t rest = key.len - (size_t)(open + 1 - key.bytes);
        const char *close = rest > 0 ? memchr(open + 1, '}', rest) : NULL;
        if (close != NULL && close > open + 1)
            key = (struct span){open + 1, (size_t)(close - open - 1)};
    }
    return crc16(key) % REDIS_SLOTS;
}

uint16_t redis_slot_of_user(struct span user_id)
{
    bool is_plain = true;
    for (size_t i = 0; i < user_id.len && is_plain; i++)
        is_plain = strchr("{}%\x01", user_id.bytes[i]) == NULL || user_id.bytes[i] == '\0';
    if (is_plain)
        return crc16(user_id) % REDIS_SLOTS;
    struct redis_keys keys;
    redis_keys_write(&keys, "", user_id);
    return redis_slot_of(keys.user);
}

/* ---- addresses ---- */

static bool take_host(struct span host, const struct redis_address *asked,
                      struct redis_address *out)
{
    if (host.len == 0) {
        memcpy(out->host, asked->host, sizeof out->host);
        return true;
    }
    if (host.len > REDIS_HOST_MAX_BYTES || memchr(host.bytes, '\0', host.len) != NULL ||
        span_equal(host, SPAN_LITERAL("?")))
        return false;
    memcpy(out->host, host.bytes, host.len);
    out->host[host.len] = '\0';
    return true;
}

/* [host, port, ...] of CLUSTER SLOTS. *ret_is_named: it is an address, not `?`. */
static bool read_node(const struct redis_value *node, const struct redis_address *asked,
                      struct redis_address *out, bool *ret_is_named)
{
    struct span host = {"", 0};
    int64_t port;
    const struct redis_value *name = redis_value_item(node, 0);
    if (!redis_value_is(name, REDIS_NIL) && !redis_value_text(name, &host))
        return false;
    if (!redis_value_integer(redis_value_item(node, 1), &port) || port < 1 || port > UINT16_MAX)
        return false;
    *out = (struct redis_address){.port = (uint16_t)port};
    *ret_is_named = take_host(host, asked, out);
    return *ret_is_named || host.len <= REDIS_HOST_MAX_BYTES;
}

/* NO_OWNER: there is no room for one more. */
static uint16_t find_or_add(struct redis_slot_map *map, unsigned cap,
                            const struct redis_address *address)
{
    for (unsigned i = 0; i < map->n_addresses; i++)
        if (redis_address_equal(&map->addresses[i], address))
            return (uint16_t)i;
    if (map->n_addresses == cap)
        return NO_OWNER;
    map->addresses[map->n_addresses] = *address;
    return (uint16_t)map->n_addresses++;
}

static struct redis_slot_map *new_map(unsigned cap)
{
    struct redis_slot_map *map = calloc(1, sizeof *map + cap * sizeof map->addresses[0]);
    if (map == NULL)
        return NULL;
    atomic_init(&map->refs, 1);
    map->unnamed = -1;
    memset(map->owners, 0xff, sizeof map->owners);
    return map;
}

/* ---- CLUSTER SLOTS ---- */

/* false: a slot has an owner already. So an answer takes no longer than there are slots. */
static bool give_slots(struct redis_slot_map *map, int64_t first, int64_t last, uint16_t owner)
{
    for (int64_t slot = first; slot <= last; slot++) {
        if (map->owners[slot] != NO_OWNER)
            return false;
        map->owners[slot] = owner;
    }
    return true;
}

/* One range: [first, last, [host, port, ...], replicas ...]. */
static enum err take_range(struct redis_slot_map *map, unsigned cap,
                           const struct redis_value *range, const struct redis_address *asked,
                           char *why, size_t why_cap)
{
    int64_t first, last;
    struct redis_address address;
    bool is_named;
    if (!redis_value_integer(redis_value_item(range, 0), &first) ||
        !redis_value_integer(redis_value_item(range, 1), &last) || first < 0 || last < first ||
        last >= REDIS_SLOTS || !read_node(redis_value_item(range, 2), asked, &address, &is_named)) {
        snprintf(why, why_cap, "the answer to CLUSTER SLOTS is malformed");
        return ERR_PROTOCOL;
    }
    if (!is_named) {
        map->unnamed = map->unnamed < 0 ? (int)first : map->unnamed;
        return ERR_OK;
    }
    uint16_t owner = find_or_add(map, cap, &address);
    if (owner == NO_OWNER) {
        snprintf(why, why_cap, "the Cluster has more than %d primaries", REDIS_PRIMARIES_MAX);
        return ERR_PROTOCOL;
    }
    if (!give_slots(map, first, last, owner)) {
        snprintf(why, why_cap, "the answer to CLUSTER SLOTS names a slot twice");
        return ERR_PROTOCOL;
    }
    return ERR_OK;
}

enum err redis_slot_map_read(const struct redis_value *reply, const struct redis_address *asked,
                             struct redis_slot_map **ret_map, char *why, size_t why_cap)
{
    if (!redis_value_is(reply, REDIS_ARRAY)) {
        snprintf(why, why_cap, "the answer to CLUSTER SLOTS is malformed");
        return ERR_PROTOCOL;
    }
    unsigned cap = reply->n < REDIS_PRIMARIES_MAX ? (unsigned)reply->n : REDIS_PRIMARIES_MAX;
    struct redis_slot_map *map = new_map(cap);
    if (map == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err error = ERR_OK;
    for (size_t i = 0; i < reply->n && error == ERR_OK; i++)
        error = take_range(map, cap, reply->items[i], asked, why, why_cap);
    if (error == ERR_OK && map->n_addresses == 0 && map->unnamed >= 0) {
        redis_slot_map_describe_missing(map, why, why_cap);
        error = ERR_NOT_FOUND;
    }
    if (error != ERR_OK) {
        redis_slot_map_unref(map);
        return error;
    }
    *ret_map = map;
    return ERR_OK;
}

enum err redis_slot_map_correct(const struct redis_slot_map *map, uint16_t slot,
                                const struct redis_address *owner, struct redis_slot_map **ret_map)
{
    if (map->n_addresses == REDIS_PRIMARIES_MAX)
        return ERR_FULL;
    unsigned cap = map->n_addresses + 1;
    struct redis_slot_map *corrected = new_map(cap);
    if (corrected == NULL)
        return ERR_NO_MEMORY;
    corrected->n_addresses = map->n_addresses;
    memcpy(corrected->owners, map->owners, sizeof map->owners);
    memcpy(corrected->addresses, map->addresses, map->n_addresses * sizeof map->addresses[0]);
    corrected->owners[slot] = find_or_add(corrected, cap, owner);
    *ret_map = corrected;
    return ERR_OK;
}

struct redis_slot_map *redis_slot_map_ref(struct redis_slot_map *map)
{
    atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
    return map;
}

void redis_slot_map_unref(struct redis_slot_map *map)
{
    if (map != NULL && atomic_fetch_sub_explicit(&map->refs, 1, memory_order_acq_rel) == 1)
        free(map);
}

/* ---- what it says ---- */

const struct redis_address *redis_slot_map_owner(const struct redis_slot_map *map, uint16_t slot)
{
    uint16_t owner = map->owners[slot];
    return owner == NO_OWNER ? NULL : &map->addresses[owner];
}

int redis_slot_map_owner_at(const struct redis_slot_map *map, uint16_t slot)
{
    uint16_t owner = map->owners[slot];
    return owner == NO_OWNER ? -1 : owner;
}

bool redis_slot_map_equal(const struct redis_slot_map *a, const struct redis_slot_map *b)
{
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        const struct redis_address *one = redis_slot_map_owner(a, (uint16_t)slot);
        const struct redis_address *other = redis_slot_map_owner(b, (uint16_t)slot);
        if ((one == NULL) != (other == NULL) || (one != NULL && !redis_address_equal(one, other)))
            return false;
    }
    return true;
}

unsigned redis_slot_map_missing(const struct redis_slot_map *map, uint16_t *ret_first)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
        if (map->owners[slot] == NO_OWNER && n++ == 0)
            *ret_first = (uint16_t)slot;
    return n;
}

void redis_slot_map_describe_missing(const struct redis_slot_map *map, char *out, size_t cap)
{
    uint16_t first = 0;
    (void)redis_slot_map_missing(map, &first);
    if (map->unnamed >= 0)
        snprintf(out, cap,
                 "the Cluster announces no address for slot %d; see cluster-announce-hostname",
                 map->unnamed);
    else
        snprintf(out, cap, "the Cluster has no owner for slot %u", (unsigned)first);
}

const struct redis_address *redis_slot_map_address(const struct redis_slot_map *map, unsigned at)
{
    return at < map->n_addresses ? &map->addresses[at] : NULL;
}

/* ---- MOVED and ASK ---- */

bool redis_redirect_read(const char *error, const struct redis_address *asked, uint16_t *ret_slot,
                         struct redis_address *ret_owner)
{
    const char *at = NULL;
    if (strncmp(error, "MOVED ", 6) == 0)
        at = error + 6;
    else if (strncmp(error, "ASK ", 4) == 0)
        at = error + 4;
    const char *space = at != NULL ? strchr(at, ' ') : NULL;
    const char *colon = space != NULL ? strrchr(space, ':') : NULL; /* an IPv6 has more of them */
    uint64_t slot, port;
    if (colon == NULL ||
        !decimal_read((struct span){at, (size_t)(space - at)}, REDIS_SLOTS - 1, &slot) ||
        !decimal_read(span_of(colon + 1), UINT16_MAX, &port) || port == 0)
        return false;
    *ret_owner = (struct redis_address){.port = (uint16_t)port};
    *ret_slot = (uint16_t)slot;
    return take_host((struct span){space + 1, (size_t)(colon - space - 1)}, asked, ret_owner);
}
