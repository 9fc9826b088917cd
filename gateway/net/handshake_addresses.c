#include "gateway/net/handshake_addresses.h"

/* ---- ranks ---- */

static void init_ranks(struct handshake_ranks *ranks)
{
    *ranks = (struct handshake_ranks){0};
    for (size_t i = 0; i < HANDSHAKE_RANKS; i++)
        list_init(&ranks->lists[i]);
}

static void put_in_rank(struct handshake_ranks *ranks, unsigned rank, struct list *link)
{
    list_append(&ranks->lists[rank], link);
    ranks->used[rank / 64] |= UINT64_C(1) << rank % 64;
}

/* Does nothing if `link` is not in a list. */
static void remove_from_rank(struct handshake_ranks *ranks, unsigned rank, struct list *link)
{
    list_remove(link);
    if (list_is_empty(&ranks->lists[rank]))
        ranks->used[rank / 64] &= ~(UINT64_C(1) << rank % 64);
}

static struct list *lowest_rank(const struct handshake_ranks *ranks)
{
    for (unsigned word = 0; word < HANDSHAKE_RANK_WORDS; word++) {
        if (ranks->used[word] != 0)
            return ranks->lists[word * 64 + (unsigned)__builtin_ctzll(ranks->used[word])].next;
    }
    return NULL;
}

static struct list *highest_rank(const struct handshake_ranks *ranks)
{
    for (unsigned word = HANDSHAKE_RANK_WORDS; word-- > 0;) {
        if (ranks->used[word] != 0)
            return ranks->lists[word * 64 + 63 - (unsigned)__builtin_clzll(ranks->used[word])].next;
    }
    return NULL;
}

/* ---- handshakes and their addresses ---- */

enum err handshake_addresses_init(struct handshake_addresses *addresses)
{
    init_ranks(&addresses->by_begun);
    init_ranks(&addresses->fresh);
    round_init(&addresses->ready);
    addresses->n_begun = 0;
    return addresses_init(&addresses->here);
}

void handshake_addresses_fini(struct handshake_addresses *addresses)
{
    addresses_fini(&addresses->here);
}

static void init_lists(struct handshake_address *address)
{
    list_init(&address->begun);
    list_init(&address->rank);
    list_init(&address->fresh);
    list_init(&address->turn);
    line_init(&address->ready);
}

enum err handshake_addresses_add(struct handshake_addresses *addresses,
                                 struct handshake_entry *entry, const struct ip *ip)
{
    struct address *here = addresses_enter(&addresses->here, ip, sizeof *entry->address);
    if (here == NULL)
        return ERR_NO_MEMORY;
    entry->address = CONTAINER_OF(here, struct handshake_address, here);
    if (here->n_here == 1)
        init_lists(entry->address);
    list_init(&entry->queued);
    list_init(&entry->begun);
    return ERR_OK;
}

/* ---- turns ---- */

void handshake_addresses_wait(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    struct handshake_address *address = entry->address;
    if (handshake_entry_has_begun(entry)) {
        round_wait(&addresses->ready, &address->ready, &entry->queued);
    } else {
        if (list_is_empty(&address->fresh))
            put_in_rank(&addresses->fresh, address->n_begun, &address->turn);
        list_append(&address->fresh, &entry->queued);
    }
}

/* The address moves after the others, if it has more that wait. */
void handshake_addresses_take(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    struct handshake_address *address = entry->address;
    if (!handshake_entry_is_waiting(entry))
        return;
    if (handshake_entry_has_begun(entry)) {
        round_take(&addresses->ready, &address->ready, &entry->queued);
    } else {
        list_remove(&entry->queued);
        remove_from_rank(&addresses->fresh, address->n_begun, &address->turn);
        if (!list_is_empty(&address->fresh))
            put_in_rank(&addresses->fresh, address->n_begun, &address->turn);
    }
}

struct handshake_entry *handshake_addresses_next_ready(const struct handshake_addresses *addresses)
{
    struct list *next = round_next(&addresses->ready);
    return next == NULL ? NULL : CONTAINER_OF(next, struct handshake_entry, queued);
}

struct handshake_entry *handshake_addresses_next_fresh(const struct handshake_addresses *addresses)
{
    struct list *turn = lowest_rank(&addresses->fresh);
    if (turn == NULL)
        return NULL;
    const struct handshake_address *address = CONTAINER_OF(turn, struct handshake_address, turn);
    return CONTAINER_OF(address->fresh.next, struct handshake_entry, queued);
}

/* ---- begun handshakes ---- */

static void set_n_begun(struct handshake_addresses *addresses, struct handshake_address *address,
                        unsigned n_begun)
{
    bool has_fresh = !list_is_empty(&address->fresh);
    remove_from_rank(&addresses->by_begun, address->n_begun, &address->rank);
    remove_from_rank(&addresses->fresh, address->n_begun, &address->turn);
    addresses->n_begun += n_begun - address->n_begun;
    address->n_begun = n_begun;
    if (n_begun > 0)
        put_in_rank(&addresses->by_begun, n_begun, &address->rank);
    if (has_fresh)
        put_in_rank(&addresses->fresh, n_begun, &address->turn);
}

void handshake_addresses_begin(struct handshake_addresses *addresses, struct handshake_entry *entry)
{
    list_append(&entry->address->begun, &entry->begun);
    set_n_begun(addresses, entry->address, entry->address->n_begun + 1);
}

struct handshake_entry *handshake_addresses_oldest(const struct handshake_addresses *addresses)
{
    struct list *rank = highest_rank(&addresses->by_begun);
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
        set_n_begun(addresses, address, address->n_begun - 1);
    }
    addresses_leave(&addresses->here, &address->here);
}
