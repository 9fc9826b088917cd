/* An array in the order of the numbers. What leaves is marked and stays in its place until the
 * array is closed up, which happens when room is needed and an eighth has left, and when half has
 * left: so often that an entry is moved a few times for each that comes or goes.
 *
 * Where more than one block of entries has room, an index follows them:
 * - a tree of the least `due` of each block and of each pair below, so that what has expired is
 *   found without looking at the others, and blocks in which nothing waits are passed over: what
 *   has left is due never;
 * - the places of the entries with a collapse key, by its tag: open addressing with linear
 *   probing, from half to three quarters full. */
#include "gateway/stores/local/waiting.h"

#include "gateway/base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX /* the `due` of what has left */

enum { FIRST_PLACES = 16 };

struct waiting_index {
    uint32_t *places; /* each + 1; 0: free */
    uint32_t n_places;
    uint32_t cap_places;
    uint64_t least[]; /* from 1, the root; block b is at n_leaves + b */
};

_Thread_local uint64_t waiting_steps;

uint32_t waiting_tag(struct span collapse_key)
{
    if (collapse_key.len == 0)
        return 0;
    uint32_t tag = (uint32_t)hash_bytes(collapse_key) & ((1u << WAITING_TAG_BITS) - 1);
    return tag == 0 ? 1 : tag;
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- the index ---- */

static uint32_t leaves_for(uint32_t cap)
{
    uint32_t n = 1;
    while (n * WAITING_BLOCK < cap)
        n *= 2;
    return n;
}

static size_t size_for(uint32_t cap)
{
    size_t size = sizeof(struct waiting) + cap * sizeof(struct waiting_entry);
    if (cap > WAITING_BLOCK)
        size += sizeof(struct waiting_index) + 2 * leaves_for(cap) * sizeof(uint64_t);
    return size;
}

static struct waiting_index *index_of(const struct waiting *waiting)
{
    if (waiting == NULL || waiting->cap <= WAITING_BLOCK)
        return NULL;
    return (struct waiting_index *)(void *)(uintptr_t)(waiting->entries + waiting->cap);
}

static uint64_t least_in_block(const struct waiting *waiting, uint32_t block)
{
    uint64_t least = NEVER;
    uint32_t end = least_of(waiting->end, (block + 1) * WAITING_BLOCK);
    for (uint32_t i = block * WAITING_BLOCK; i < end; i++, waiting_steps++)
        if (waiting->entries[i].due < least)
            least = waiting->entries[i].due;
    return least;
}

static void set_least(struct waiting *waiting, uint32_t block, uint64_t least)
{
    uint64_t *nodes = index_of(waiting)->least;
    uint32_t node = leaves_for(waiting->cap) + block;
    nodes[node] = least;
    for (node /= 2; node > 0; node /= 2, waiting_steps++) {
        uint64_t left = nodes[2 * node];
        uint64_t right = nodes[2 * node + 1];
        uint64_t both = left < right ? left : right;
        if (nodes[node] == both)
            return;
        nodes[node] = both;
    }
}

static void build_tree(struct waiting *waiting)
{
    uint64_t *nodes = index_of(waiting)->least;
    uint32_t n_leaves = leaves_for(waiting->cap);
    for (uint32_t block = 0; block < n_leaves; block++)
        nodes[n_leaves + block] = least_in_block(waiting, block);
    for (uint32_t node = n_leaves - 1; node > 0; node--)
        nodes[node] = nodes[2 * node] < nodes[2 * node + 1] ? nodes[2 * node] : nodes[2 * node + 1];
}

/* The first block from this one on that has something due before `limit`; UINT32_MAX: none. Of one
 * block alone nothing is known. */
static uint32_t next_block(const struct waiting *waiting, uint32_t block, uint64_t limit)
{
    const struct waiting_index *index = index_of(waiting);
    if (index == NULL)
        return block == 0 ? 0 : UINT32_MAX;
    uint32_t n_leaves = leaves_for(waiting->cap);
    if (block >= n_leaves)
        return UINT32_MAX;
    uint32_t node = n_leaves + block;
    for (; index->least[node] >= limit; waiting_steps++) {
        while (node % 2 == 1) /* a right child: go on after its parent */
            node /= 2;
        if (node == 0)
            return UINT32_MAX;
        node++;
    }
    for (; node < n_leaves; waiting_steps++)
        node = index->least[2 * node] < limit ? 2 * node : 2 * node + 1;
    return node - n_leaves;
}

/* ---- the places of collapse keys ---- */

static uint32_t index_home(const struct waiting_index *index, const struct waiting_entry *entry)
{
    return (uint32_t)((uint64_t)waiting_entry_tag(entry) * index->cap_places >> WAITING_TAG_BITS);
}

static uint32_t slot_after(const struct waiting_index *index, uint32_t slot)
{
    waiting_steps++;
    return slot + 1 == index->cap_places ? 0 : slot + 1;
}

static void add_place(struct waiting_index *index, const struct waiting *waiting, uint32_t place)
{
    uint32_t slot = index_home(index, &waiting->entries[place]);
    while (index->places[slot] != 0)
        slot = slot_after(index, slot);
    index->places[slot] = place + 1;
    index->n_places++;
}

/* The entry is still there. Those after it move up, so that no gap hides them. */
static void remove_place(struct waiting_index *index, const struct waiting *waiting, uint32_t place)
{
    uint32_t cap = index->cap_places;
    uint32_t hole = index_home(index, &waiting->entries[place]);
    while (index->places[hole] != place + 1)
        hole = slot_after(index, hole);
    for (uint32_t at = slot_after(index, hole); index->places[at] != 0;
         at = slot_after(index, at)) {
        uint32_t home = index_home(index, &waiting->entries[index->places[at] - 1]);
        if ((at + cap - home) % cap < (at + cap - hole) % cap)
            continue; /* its home is after the hole */
        index->places[hole] = index->places[at];
        hole = at;
    }
    index->places[hole] = 0;
    index->n_places--;
}

static void add_all_places(struct waiting *waiting)
{
    struct waiting_index *index = index_of(waiting);
    index->n_places = 0;
    if (index->cap_places == 0)
        return;
    memset(index->places, 0, index->cap_places * sizeof *index->places);
    for (uint32_t i = waiting->first; i < waiting->end; i++, waiting_steps++)
        if (waiting->entries[i].due != NEVER && waiting_entry_tag(&waiting->entries[i]) != 0)
            add_place(index, waiting, i);
}

static uint32_t count_tagged(const struct waiting *waiting)
{
    uint32_t n = 0;
    for (uint32_t i = waiting->first; i < waiting->end; i++, waiting_steps++)
        n += waiting->entries[i].due != NEVER && waiting_entry_tag(&waiting->entries[i]) != 0;
    return n;
}

/* A table twice as large as that many need; what it held is to be added again. */
static enum err size_places(struct waiting_index *index, uint32_t n)
{
    uint32_t cap = n < FIRST_PLACES / 2 ? FIRST_PLACES : 2 * n;
    uint32_t *places = malloc(cap * sizeof *places);
    if (places == NULL)
        return ERR_NO_MEMORY;
    free(index->places);
    index->places = places;
    index->cap_places = cap;
    return ERR_OK;
}

static bool is_roomy(const struct waiting_index *index)
{
    return 4 * ((uint64_t)index->n_places + 1) <= 3 * (uint64_t)index->cap_places;
}

/* Room for one more with a tag. */
static enum err reserve_place(struct waiting *waiting)
{
    struct waiting_index *index = index_of(waiting);
    if (index == NULL || is_roomy(index))
        return ERR_OK;
    enum err error = size_places(index, index->n_places);
    if (error == ERR_OK)
        add_all_places(waiting);
    return error;
}

/* ---- the array ---- */

static void close_up(struct waiting *waiting)
{
    uint32_t kept = 0;
    for (uint32_t i = waiting->first; i < waiting->end; i++, waiting_steps++)
        if (waiting->entries[i].due != NEVER)
            waiting->entries[kept++] = waiting->entries[i];
    waiting->first = 0;
    waiting->end = kept;
}

/* Makes a table for n tags where an index begins, and a large table that holds few smaller. What it
 * held must be added again. */
static enum err fit_places(struct waiting_index *index, uint32_t n)
{
    if (index->cap_places == 0)
        return n == 0 ? ERR_OK : size_places(index, n);
    if (n < index->cap_places / 4 && index->cap_places > FIRST_PLACES)
        return size_places(index, n);
    return ERR_OK;
}

/* Closes the array up and gives it this size. ERR_NO_MEMORY: it is closed up all the same, and as
 * large as it was. */
static enum err resize_waiting(struct waiting **waiting, uint32_t cap)
{
    struct waiting *present = *waiting;
    struct waiting_index kept = {0};
    close_up(present);
    if (index_of(present) != NULL)
        kept = *index_of(present);
    else
        kept.n_places = count_tagged(present);
    enum err error = cap > WAITING_BLOCK ? fit_places(&kept, kept.n_places) : ERR_OK;
    if (error == ERR_OK && cap != present->cap) {
        struct waiting *more = realloc(present, size_for(cap));
        if (more == NULL)
            error = ERR_NO_MEMORY;
        else
            present = more;
        present->cap = more == NULL ? present->cap : cap;
    }
    *waiting = present;
    struct waiting_index *index = index_of(present);
    if (index == NULL) {
        free(kept.places);
        return error;
    }
    *index = kept;
    build_tree(present);
    add_all_places(present);
    return error;
}

static uint32_t grown_cap(uint32_t n)
{
    if (n >= WAITING_BLOCK)
        return n + (n + 3) / 4;
    return least_of(n + (n + 1) / 2, WAITING_BLOCK);
}

static enum err begin_waiting(struct waiting **waiting)
{
    struct waiting *first = malloc(size_for(1));
    if (first == NULL)
        return ERR_NO_MEMORY;
    *first = (struct waiting){.cap = 1};
    *waiting = first;
    return ERR_OK;
}

enum err waiting_reserve(struct waiting **waiting, uint32_t tag)
{
    enum err error = ERR_OK;
    if (*waiting == NULL)
        return begin_waiting(waiting);
    uint32_t cap = (*waiting)->cap;
    if ((*waiting)->end == cap) {
        bool has_room = cap - (*waiting)->n > cap / 8;
        error = resize_waiting(waiting, has_room ? cap : grown_cap(cap));
    }
    if (error == ERR_OK && tag != 0)
        error = reserve_place(*waiting);
    return error;
}

void waiting_push(struct waiting *waiting, struct waiting_entry entry)
{
    uint32_t place = waiting->end;
    assert(place < waiting->cap);
    waiting_steps++;
    waiting->entries[place] = entry;
    waiting->end++;
    waiting->n++;
    waiting->bytes += entry.bytes;
    struct waiting_index *index = index_of(waiting);
    if (index == NULL)
        return;
    uint32_t block = place / WAITING_BLOCK;
    if (entry.due < index->least[leaves_for(waiting->cap) + block])
        set_least(waiting, block, entry.due);
    if (waiting_entry_tag(&entry) != 0)
        add_place(index, waiting, place);
}

void waiting_free(struct waiting **waiting)
{
    struct waiting_index *index = index_of(*waiting);
    if (index != NULL)
        free(index->places);
    free(*waiting);
    *waiting = NULL;
}

/* The first entry that waits from this place on; `end` if there is none. */
static uint32_t first_from(const struct waiting *waiting, uint32_t place)
{
    uint32_t block = place / WAITING_BLOCK;
    while (block != UINT32_MAX) {
        uint32_t end = least_of((block + 1) * WAITING_BLOCK, waiting->end);
        for (; place < end; place++, waiting_steps++)
            if (waiting->entries[place].due != NEVER)
                return place;
        block = next_block(waiting, block + 1, NEVER);
        place = block * WAITING_BLOCK;
    }
    return waiting->end;
}

size_t waiting_next(const struct waiting *waiting, size_t place)
{
    return first_from(waiting, (uint32_t)place + 1);
}

size_t waiting_seek(const struct waiting *waiting, uint64_t after)
{
    if (waiting == NULL)
        return 0;
    uint32_t low = waiting->first;
    uint32_t high = waiting->end;
    for (; low < high; waiting_steps++) {
        uint32_t middle = low + (high - low) / 2;
        if (waiting->entries[middle].seq > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low == waiting->end ? low : first_from(waiting, low);
}

/* In one block, or where no key ever came. */
static size_t find_in_order(const struct waiting *waiting, uint32_t tag, waiting_match_fn *is_it,
                            void *owner)
{
    for (uint32_t i = waiting->first; i < waiting->end; i++, waiting_steps++) {
        const struct waiting_entry *entry = &waiting->entries[i];
        if (entry->due != NEVER && waiting_entry_tag(entry) == tag && is_it(owner, entry))
            return i;
    }
    return waiting->end;
}

size_t waiting_find(const struct waiting *waiting, uint32_t tag, waiting_match_fn *is_it,
                    void *owner)
{
    const struct waiting_index *index = index_of(waiting);
    if (waiting == NULL)
        return 0;
    if (index == NULL)
        return find_in_order(waiting, tag, is_it, owner);
    if (index->n_places == 0)
        return waiting->end;
    struct waiting_entry wanted = {.due = tag};
    for (uint32_t slot = index_home(index, &wanted); index->places[slot] != 0;
         slot = slot_after(index, slot)) {
        const struct waiting_entry *entry = &waiting->entries[index->places[slot] - 1];
        if (waiting_entry_tag(entry) == tag && is_it(owner, entry))
            return index->places[slot] - 1;
    }
    return waiting->end;
}

/* ---- leaving ---- */

/* The tree is the caller's to set. */
static void mark_left(struct waiting *waiting, uint32_t place)
{
    struct waiting_index *index = index_of(waiting);
    struct waiting_entry *entry = &waiting->entries[place];
    if (index != NULL && waiting_entry_tag(entry) != 0)
        remove_place(index, waiting, place);
    waiting->n--;
    waiting->bytes -= entry->bytes;
    entry->due = NEVER;
}

/* Nothing waits: nothing is kept. Half of it has left: it shrinks, or at least is closed up. */
static void tidy_waiting(struct waiting **waiting)
{
    struct waiting *present = *waiting;
    if (present->n == 0) {
        waiting_free(waiting);
        return;
    }
    if (present->entries[present->first].due == NEVER)
        present->first = first_from(present, present->first);
    if (present->n <= present->cap / 2 && grown_cap(present->n) < present->cap &&
        resize_waiting(waiting, grown_cap(present->n)) != ERR_OK)
        return; /* it is as large as it was */
}

void waiting_drop(struct waiting **waiting, size_t place)
{
    struct waiting *present = *waiting;
    assert(place < present->end && present->entries[place].due != NEVER);
    uint32_t block = (uint32_t)place / WAITING_BLOCK;
    uint64_t due = present->entries[place].due;
    mark_left(present, (uint32_t)place);
    struct waiting_index *index = index_of(present);
    if (index != NULL && due == index->least[leaves_for(present->cap) + block])
        set_least(present, block, least_in_block(present, block));
    tidy_waiting(waiting);
}

bool waiting_has_expired(const struct waiting *waiting, int64_t now_ms)
{
    uint64_t limit = waiting_due(now_ms + 1, 0);
    const struct waiting_index *index = index_of(waiting);
    if (waiting == NULL)
        return false;
    return (index == NULL ? least_in_block(waiting, 0) : index->least[1]) < limit;
}

static size_t drop_expired_in(struct waiting *waiting, uint32_t block, uint64_t limit, size_t max,
                              waiting_left_fn *on_left, void *owner)
{
    size_t n_dropped = 0;
    uint32_t end = least_of(waiting->end, (block + 1) * WAITING_BLOCK);
    for (uint32_t i = block * WAITING_BLOCK; i < end && n_dropped < max; i++, waiting_steps++) {
        struct waiting_entry entry = waiting->entries[i];
        if (entry.due >= limit)
            continue;
        mark_left(waiting, i);
        on_left(owner, &entry);
        n_dropped++;
    }
    if (n_dropped > 0 && index_of(waiting) != NULL)
        set_least(waiting, block, least_in_block(waiting, block));
    return n_dropped;
}

size_t waiting_drop_expired(struct waiting **waiting, int64_t now_ms, size_t max,
                            waiting_left_fn *on_left, void *owner)
{
    size_t n_dropped = 0;
    uint64_t limit = waiting_due(now_ms + 1, 0);
    if (*waiting == NULL)
        return 0;
    for (uint32_t block = next_block(*waiting, 0, limit); block != UINT32_MAX && n_dropped < max;
         block = next_block(*waiting, block + 1, limit))
        n_dropped += drop_expired_in(*waiting, block, limit, max - n_dropped, on_left, owner);
    if (n_dropped > 0)
        tidy_waiting(waiting);
    return n_dropped;
}
