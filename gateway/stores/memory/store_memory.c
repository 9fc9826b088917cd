/* memory: keeps notifications by reference. The key of a note is its address, so that there is no
 * second table beside the index. It is bounded by --store-max-bytes, or 1 GiB: data and
 * GROUP_PUT_OVERHEAD_BYTES for each note, a shared payload counted for every user that it waits
 * for, and GROUP_KEY_BYTES for each idempotency key; beyond that an append answers ERR_FULL.
 * Events have ceilings of their own, and do not count. */
#include "gateway/stores/memory/store_memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_MAX_BYTES = 1 << 30 };

struct memory_backing {
    struct backing backing; /* first: it is handed out */
    uint64_t used_bytes;
    uint64_t max_bytes;
};

static struct memory_backing *memory_of(struct backing *backing)
{
    return (struct memory_backing *)(void *)backing;
}

static struct notification *note_at(uint64_t key)
{
    return (struct notification *)(uintptr_t)key;
}

static uint64_t memory_note_key(struct backing *backing, struct notification *note)
{
    (void)backing;
    return (uint64_t)(uintptr_t)note;
}

static uint64_t memory_payload_key(struct backing *backing)
{
    (void)backing;
    return 0;
}

static enum err memory_take_room(struct backing *backing, uint64_t more_bytes, uint64_t event_bytes,
                                 char *why)
{
    (void)event_bytes;
    (void)why;
    const struct memory_backing *memory = memory_of(backing);
    bool has_room = more_bytes == 0 || memory->used_bytes + more_bytes <= memory->max_bytes;
    return has_room ? ERR_OK : ERR_FULL;
}

static enum err memory_read(struct backing *backing, const struct group *group,
                            const struct inbox *inbox, const struct waiting_entry *entry,
                            struct notification **ret_note)
{
    (void)backing;
    (void)group;
    (void)inbox;
    *ret_note = notification_ref(note_at(entry->key));
    return ERR_OK;
}

static enum err memory_read_event(struct backing *backing, const struct group *group,
                                  const struct partition *partition, uint64_t seq,
                                  struct notification **ret_note)
{
    (void)backing;
    (void)group;
    *ret_note = notification_ref(note_at(partition_at(partition, seq)->key));
    return ERR_OK;
}

static enum err memory_commit(struct backing *backing, struct group *group, char *why)
{
    (void)why; /* memory that is there cannot refuse; what was not there was answered before */
    struct memory_backing *memory = memory_of(backing);
    for (size_t i = 0; i < group->n_puts; i++)
        notification_ref(group->puts[i].note);
    for (size_t i = 0; i < group->n_keys; i++)
        group->keys[i].entry->record_key = 1; /* committed; there is no record to find */
    memory->used_bytes += group->bytes;
    for (size_t i = 0; i < group->n_dels; i++) {
        if (!group->dels[i].is_event)
            memory->used_bytes -= group->dels[i].bytes;
        if (group->dels[i].is_note)
            notification_unref(note_at(group->dels[i].key));
    }
    return ERR_OK;
}

static enum err memory_rebuild(struct backing *backing, struct local_index *index, char *why)
{
    (void)backing;
    (void)index;
    (void)why;
    return ERR_OK; /* never asked for: no commit fails */
}

static enum err memory_probe(struct backing *backing, char *why)
{
    (void)backing;
    (void)why;
    return ERR_OK;
}

static void drop_notes(void *unused, struct inbox *inbox)
{
    (void)unused;
    const struct waiting *waiting = inbox->waiting;
    for (size_t place = waiting_first(waiting); place < waiting_end(waiting);
         place = waiting_next(waiting, place))
        notification_unref(note_at(waiting->entries[place].key));
}

static void drop_events(const struct partition *partition)
{
    for (uint64_t seq = partition_left(partition) + 1; seq <= partition->head; seq++)
        notification_unref(note_at(partition_at(partition, seq)->key));
}

static void memory_close(struct backing *backing, struct local_index *index)
{
    for (int i = 0; i < STORE_PARTITIONS; i++)
        drop_events(&index->events->list[i]);
    inbox_table_visit(index->users, inbox_table_buckets(index->users), drop_notes, NULL);
    free(memory_of(backing));
}

static const struct backing_ops memory_ops = {
    .kind = "memory",
    .note_key = memory_note_key,
    .payload_key = memory_payload_key,
    .take_room = memory_take_room,
    .read = memory_read,
    .read_event = memory_read_event,
    .commit = memory_commit,
    .rebuild = memory_rebuild,
    .probe = memory_probe,
    .close = memory_close,
};

static enum err open_with(const struct store_config *config, const struct store_clock *clock,
                          struct store **ret_store)
{
    struct local_index index;
    struct memory_backing *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return ERR_NO_MEMORY;
    if (local_index_new(&index) != ERR_OK) {
        free(memory);
        return ERR_NO_MEMORY;
    }
    memory->backing.ops = &memory_ops;
    memory->max_bytes = config->max_bytes == 0 ? DEFAULT_MAX_BYTES : config->max_bytes;
    return store_local_open(config, clock, &memory->backing, index, ret_store);
}

enum err store_memory_open(const struct store_config *config, struct store **ret_store, char *why,
                           size_t why_cap)
{
    if (config->is_awaited) {
        snprintf(why, why_cap, "the memory store cannot be handed over");
        return ERR_STORE_UNAVAILABLE;
    }
    enum err error = open_with(config, NULL, ret_store);
    if (error == ERR_OK)
        return ERR_OK;
    snprintf(why, why_cap, "the memory store cannot be started: %s", error_title(error));
    return ERR_STORE_UNAVAILABLE;
}

enum err store_memory_open_unthreaded(const struct store_config *config, struct store_clock clock,
                                      struct store **ret_store)
{
    return open_with(config, &clock, ret_store);
}
