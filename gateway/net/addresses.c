#include "gateway/net/addresses.h"

#include "gateway/base/hash.h"

#include <stdlib.h>

/* ---- the addresses that are present ---- */

static uint64_t hash_of_address(const struct hash_link *link)
{
    return CONTAINER_OF(link, const struct address, link)->hash;
}

enum err addresses_init(struct addresses *addresses)
{
    return hash_table_init(&addresses->table, hash_of_address);
}

void addresses_fini(struct addresses *addresses)
{
    hash_table_fini(&addresses->table);
}

static struct address *find_address(const struct addresses *addresses, uint64_t hash,
                                    const struct ip *network)
{
    const struct hash_table *table = &addresses->table;
    HASH_TABLE_FOR_EACH_IN(link, table, hash_table_bucket(table, hash))
    {
        struct address *address = CONTAINER_OF(link, struct address, link);
        if (ip_equal(&address->network, network))
            return address;
    }
    return NULL;
}

struct address *addresses_enter(struct addresses *addresses, const struct ip *ip, size_t bytes)
{
    struct ip network = ip_network(ip);
    uint64_t hash = hash_bytes((struct span){(const char *)network.bytes, sizeof network.bytes});
    struct address *address = find_address(addresses, hash, &network);
    if (address == NULL) {
        address = calloc(1, bytes);
        if (address == NULL)
            return NULL;
        address->hash = hash;
        address->network = network;
        hash_table_add(&addresses->table, &address->link);
    }
    address->n_here++;
    return address;
}

void addresses_leave(struct addresses *addresses, struct address *address)
{
    if (--address->n_here > 0)
        return;
    hash_table_remove(&addresses->table, &address->link);
    free(address);
}

/* ---- rounds ---- */

void round_init(struct round *round)
{
    list_init(&round->turns);
}

void line_init(struct line *line)
{
    list_init(&line->waiting);
    list_init(&line->turn);
}

void round_wait(struct round *round, struct line *line, struct list *link)
{
    if (list_is_empty(&line->waiting))
        list_append(&round->turns, &line->turn);
    list_append(&line->waiting, link);
}

void round_leave(struct line *line, struct list *link)
{
    list_remove(link);
    if (list_is_empty(&line->waiting))
        list_remove(&line->turn);
}

void round_take(struct round *round, struct line *line, struct list *link)
{
    list_remove(link);
    list_remove(&line->turn);
    if (!list_is_empty(&line->waiting))
        list_append(&round->turns, &line->turn);
}

struct list *round_next(const struct round *round)
{
    if (list_is_empty(&round->turns))
        return NULL;
    return CONTAINER_OF(round->turns.next, const struct line, turn)->waiting.next;
}
