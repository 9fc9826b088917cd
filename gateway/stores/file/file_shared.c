/* Open addressing with linear probing, at most half full; a removal moves the followers up, so that
 * there are no tombstones. */
#include "gateway/stores/file/file_shared.h"

#include <stdlib.h>

static size_t shared_home(const struct file_shared *shared, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (shared->cap - 1);
}

static struct file_shared_slot *slot_of(const struct file_shared *shared, uint64_t key)
{
    size_t at = shared_home(shared, key);
    while (shared->slots[at].key != 0 && shared->slots[at].key != key)
        at = (at + 1) & (shared->cap - 1);
    return &shared->slots[at];
}

static enum err grow_shared(struct file_shared *shared)
{
    struct file_shared more = {.cap = shared->cap == 0 ? 64 : 2 * shared->cap, .n = shared->n};
    more.slots = calloc(more.cap, sizeof *more.slots);
    if (more.slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < shared->cap; i++)
        if (shared->slots[i].key != 0)
            *slot_of(&more, shared->slots[i].key) = shared->slots[i];
    free(shared->slots);
    *shared = more;
    return ERR_OK;
}

enum err file_shared_ref(struct file_shared *shared, uint64_t key)
{
    if (2 * (shared->n + 1) > shared->cap && grow_shared(shared) != ERR_OK)
        return ERR_NO_MEMORY;
    struct file_shared_slot *slot = slot_of(shared, key);
    if (slot->key == 0) {
        *slot = (struct file_shared_slot){.key = key};
        shared->n++;
    }
    slot->refs++;
    return ERR_OK;
}

static void remove_slot(struct file_shared *shared, struct file_shared_slot *slot)
{
    size_t mask = shared->cap - 1;
    size_t hole = (size_t)(slot - shared->slots);
    for (size_t at = (hole + 1) & mask; shared->slots[at].key != 0; at = (at + 1) & mask) {
        size_t home = shared_home(shared, shared->slots[at].key);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home is after the hole */
        shared->slots[hole] = shared->slots[at];
        hole = at;
    }
    shared->slots[hole] = (struct file_shared_slot){0};
    shared->n--;
}

uint64_t file_shared_unref(struct file_shared *shared, uint64_t key)
{
    if (shared->cap == 0)
        return 0;
    struct file_shared_slot *slot = slot_of(shared, key);
    if (slot->key == 0)
        return 0;
    if (--slot->refs > 0)
        return slot->refs;
    remove_slot(shared, slot);
    return 0;
}

void file_shared_clear(struct file_shared *shared)
{
    free(shared->slots);
    *shared = (struct file_shared){0};
}
