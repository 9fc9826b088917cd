#include "gateway/net/handshake_addresses.h"

#include "gateway/base/hash.h"

#include <stdlib.h>

/* ---- ranks ---- */

static void init_ranks(struct handshake_ranks *ranks)
{
    *ranks = (struct handshake_ranks){0};
    for (size_t i = 0; i < HANDSHAKE_RANKS; i++)
        list_init(&ranks->lists[i]);
}

static void put(struct handshake_ranks *ranks, unsigned rank, struct list *link)
{
    list_append(&ranks->lists[rank], link);
    ranks->used[rank / 64] |= UINT64_C(1) << rank % 64;
}

/* Taking out what is not in does nothing. */
static void take_out(struct handshake_ranks *ranks, unsigned rank, struct list *link)
{
    list_remove(link);
    if (list_is_empty(&ranks->lists[rank]))
        ranks->used[rank / 64] &= ~(UINT64_C(1) << rank % 64);
}

static struct list *lowest(const struct handshake_ranks *ranks)
{
    for (unsigned word = 0; word < HANDSHAKE_RANK_WORDS; word++) {
        if (ranks->used[word] != 0)
            return ranks->lists[word * 64 + (unsigned)__builtin_ctzll(ranks->used[word])].next;
    }
    return NULL;
}

static struct list *highest(const struct handshake_ranks *ranks)
{
    for (unsigned word = HANDSHAKE_RANK_WORDS; word-- > 0;) {
        if (ranks->used[word] != 0)
            return ranks->lists[word * 64 + 63 - (unsigned)__builtin_clzll(ranks->used[word])].next;
    }
    return NULL;
}

/* ---- the table ---- */

static uint64_t hash_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, const struct handshake_address, link)->hash;
}

enum err handshake_addresses_init(struct handshake_addresses *addresses)
{
    init_ranks(&addresses->by_begun);
    init_ranks(&addresses->fresh);
    list_init(&addresses->ready);
    addresses->n_begun = 0;
    return hash_table_init(&addresses->table, hash_of);
}

void handshake_addresses_fini(struct handshake_addresses *addresses)
{
    hash_table_fini(&addresses->table);
}

static struct handshake_address *find(const struct handshake_addresses *addresses, uint64_t hash,
                                      const struct ip *network)
{
    const struct hash_table *table = &addresses->table;
    HASH_TABLE_FOR_EACH_IN(link, table, hash_table_bucket(table, hash))
    {
        struct handshake_address *address = CONTAINER_OF(link, struct handshake_address, link);
        if (ip_equal(&address->network, network))
            return address;
    }
    return NULL;
}

static struct handshake_address *make(struct handshake_addresses *addresses, uint64_t hash,
                                      const struct ip *network)
{
    struct handshake_address *address = calloc(1, sizeof *address);
    if (address == NULL)
        return NULL;
    address->hash = hash;
    address->network = *network;
    list_init(&address->begun);
    list_init(&address->rank);
    list_init(&address->fresh);
    list_init(&address->turn);
    list_init(&address->ready);
    list_init(&address->ready_turn);
    hash_table_add(&addresses->table, &address->link);
    return address;
}

enum err handshake_addresses_add(struct handshake_addresses *addresses,
                                 struct handshake_entry *entry, const struct ip *ip)
{
    struct ip network = ip_network(ip);
    uint64_t hash = hash_bytes((struct span){(const char *)network.bytes, sizeof network.bytes});
    struct handshake_address *address = find(addresses, hash, &network);
    if (address == NULL)
        address = make(addresses, hash, &network);
    if (address == NULL)
        return ERR_NO_MEMORY;
    address->n_here++;
    entry->address = address;
    list_init(&entry->queued);
    list_init(&entry->begun);
    return ERR_OK;
}

/* ---- turns ---- */

void handshake_addresses_wait(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    struct handshake_address *address = entry->address;
    if (handshake_entry_has_begun(entry)) {
        if (list_is_empty(&address->ready))
            list_append(&addresses->ready, &address->ready_turn);
        list_append(&address->ready, &entry->queued);
    } else {
        if (list_is_empty(&address->fresh))
            put(&addresses->fresh, address->n_begun, &address->turn);
        list_append(&address->fresh, &entry->queued);
    }
}

/* The address stands behind the others from now on, if it has more that wait. */
void handshake_addresses_take(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    struct handshake_address *address = entry->address;
    if (!handshake_entry_is_waiting(entry))
        return;
    list_remove(&entry->queued);
    if (handshake_entry_has_begun(entry)) {
        list_remove(&address->ready_turn);
        if (!list_is_empty(&address->ready))
            list_append(&addresses->ready, &address->ready_turn);
    } else {
        take_out(&addresses->fresh, address->n_begun, &address->turn);
        if (!list_is_empty(&address->fresh))
            put(&addresses->fresh, address->n_begun, &address->turn);
    }
}

struct handshake_entry *handshake_addresses_next_ready(const struct handshake_addresses *addresses)
{
    if (list_is_empty(&addresses->ready))
        return NULL;
    const struct handshake_address *address =
        CONTAINER_OF(addresses->ready.next, struct handshake_address, ready_turn);
    return CONTAINER_OF(address->ready.next, struct handshake_entry, queued);
}

struct handshake_entry *handshake_addresses_next_fresh(const struct handshake_addresses *addresses)
{
    struct list *turn = lowest(&addresses->fresh);
    if (turn == NULL)
        return NULL;
    const struct handshake_address *address = CONTAINER_OF(turn, struct handshake_address, turn);
    return CONTAINER_OF(address->fresh.next, struct handshake_entry, queued);
}

/* ---- who has begun ---- */

static void set_begun(struct handshake_addresses *addresses, struct handshake_address *address,
                      unsigned n_begun)
{
    bool has_fresh = !list_is_empty(&address->fresh);
    take_out(&addresses->by_begun, address->n_begun, &address->rank);
    take_out(&addresses->fresh, address->n_begun, &address->turn);
    addresses->n_begun += n_begun - address->n_begun;
    address->n_begun = n_begun;
    if (n_begun > 0)
        put(&addresses->by_begun, n_begun, &address->rank);
    if (has_fresh)
        put(&addresses->fresh, n_begun, &address->turn);
}

void handshake_addresses_begin(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    list_append(&entry->address->begun, &entry->begun);
    set_begun(addresses, entry->address, entry->address->n_begun + 1);
}

struct handshake_entry *handshake_addresses_oldest(const struct handshake_addresses *addresses)
{
    struct list *rank = highest(&addresses->by_begun);
    if (rank == NULL)
        return NULL;
    const struct handshake_address *address = CONTAINER_OF(rank, struct handshake_address, rank);
    return CONTAINER_OF(address->begun.next, struct handshake_entry, begun);
}

void handshake_addresses_remove(struct handshake_addresses *addresses,
                                struct handshake_entry *entry)
{
    struct handshake_address *address = entry->address;
    handshake_addresses_take(addresses, entry);
    if (handshake_entry_has_begun(entry)) {
        list_remove(&entry->begun);
        set_begun(addresses, address, address->n_begun - 1);
    }
    if (--address->n_here > 0)
        return;
    hash_table_remove(&addresses->table, &address->link);
    free(address);
}
