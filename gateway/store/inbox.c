#include "gateway/store/inbox.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_ENTRIES = 1 };

struct inbox_table {
    struct hash_table users;
    size_t visited; /* the bucket that the next visit begins with */
};

static struct inbox *inbox_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct inbox, link);
}

static uint64_t hash_of(const struct hash_link *link)
{
    return hash_bytes(inbox_user(inbox_of(link)));
}

enum err inbox_table_new(struct inbox_table **ret_table)
{
    struct inbox_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    enum err error = hash_table_init(&table->users, hash_of);
    if (error != ERR_OK) {
        free(table);
        return error;
    }
    *ret_table = table;
    return ERR_OK;
}

uint16_t inbox_tag(struct span collapse_key)
{
    if (collapse_key.len == 0)
        return 0;
    uint16_t tag = (uint16_t)hash_bytes(collapse_key);
    return tag == 0 ? 1 : tag;
}

static void free_more(struct inbox *inbox)
{
    if (inbox->more == NULL)
        return;
    free(inbox->more->gaps);
    free(inbox->more->devices);
    free(inbox->more);
    inbox->more = NULL;
}

static void inbox_free(struct inbox *inbox)
{
    free_more(inbox);
    free(inbox->waiting);
    free(inbox);
}

static void free_link(struct hash_link *link)
{
    inbox_free(inbox_of(link));
}

void inbox_table_clear(struct inbox_table *table)
{
    hash_table_clear(&table->users, free_link);
}

void inbox_table_free(struct inbox_table *table)
{
    if (table == NULL)
        return;
    inbox_table_clear(table);
    hash_table_fini(&table->users);
    free(table);
}

size_t inbox_table_count(const struct inbox_table *table)
{
    return table->users.n_links;
}

size_t inbox_table_buckets(const struct inbox_table *table)
{
    return table->users.n_buckets;
}

struct inbox *inbox_find(const struct inbox_table *table, struct span user_id)
{
    HASH_TABLE_FOR_EACH_IN(link, &table->users,
                           hash_table_bucket(&table->users, hash_bytes(user_id)))
    {
        if (span_equal(inbox_user(inbox_of(link)), user_id))
            return inbox_of(link);
    }
    return NULL;
}

struct inbox *inbox_add(struct inbox_table *table, struct span user_id, struct epoch epoch)
{
    assert(user_id.len <= USER_ID_MAX_BYTES);
    struct inbox *inbox = malloc(offsetof(struct inbox, user_id) + user_id.len);
    if (inbox == NULL)
        return NULL;
    inbox->waiting = NULL;
    inbox->more = NULL;
    inbox->head = 0;
    inbox->acked = 0;
    inbox->record_key = 0;
    inbox->epoch = epoch;
    inbox->n_written = 0;
    inbox->sign_day = 0;
    inbox->user_id_len = (uint8_t)user_id.len;
    inbox->is_dirty = false;
    memcpy(inbox->user_id, user_id.bytes, user_id.len);
    hash_table_add(&table->users, &inbox->link);
    return inbox;
}

void inbox_remove(struct inbox_table *table, struct inbox *inbox)
{
    hash_table_remove(&table->users, &inbox->link);
    inbox_free(inbox);
}

/* What has left at the front is taken back once it is a quarter, which keeps a full inbox, where
 * each new entry pushes one out, from moving all its entries each time. */
static void close_front(struct inbox_waiting *waiting)
{
    memmove(waiting->entries, waiting->entries + waiting->first,
            (waiting->end - waiting->first) * sizeof *waiting->entries);
    waiting->end -= waiting->first;
    waiting->first = 0;
}

enum err inbox_reserve(struct inbox *inbox)
{
    struct inbox_waiting *waiting = inbox->waiting;
    if (waiting != NULL && waiting->end < waiting->cap)
        return ERR_OK;
    if (waiting != NULL && waiting->first > waiting->cap / 4) {
        close_front(waiting);
        return ERR_OK;
    }
    uint32_t cap = waiting == NULL ? FIRST_ENTRIES : waiting->cap + (waiting->cap + 1) / 2;
    struct inbox_waiting *more =
        realloc(waiting, sizeof *more + (size_t)cap * sizeof *more->entries);
    if (more == NULL)
        return ERR_NO_MEMORY;
    if (waiting == NULL)
        *more = (struct inbox_waiting){0};
    more->cap = cap;
    inbox->waiting = more;
    return ERR_OK;
}

void inbox_push(struct inbox *inbox, struct inbox_entry entry)
{
    struct inbox_waiting *waiting = inbox->waiting;
    assert(waiting != NULL && waiting->end < waiting->cap);
    waiting->entries[waiting->end++] = entry;
    waiting->bytes += entry.bytes;
}

size_t inbox_seek(const struct inbox *inbox, uint64_t after)
{
    const struct inbox_entry *entries = inbox_entries(inbox);
    size_t low = 0;
    size_t high = inbox_count(inbox);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].seq > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void free_if_empty(struct inbox *inbox)
{
    if (inbox_count(inbox) > 0)
        return;
    free(inbox->waiting);
    inbox->waiting = NULL;
}

void inbox_drop_oldest(struct inbox *inbox, size_t n)
{
    struct inbox_waiting *waiting = inbox->waiting;
    assert(n <= inbox_count(inbox));
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        waiting->bytes -= waiting->entries[waiting->first++].bytes;
    free_if_empty(inbox);
}

void inbox_drop_at(struct inbox *inbox, size_t at)
{
    struct inbox_waiting *waiting = inbox->waiting;
    assert(at < inbox_count(inbox));
    if (at == 0) {
        inbox_drop_oldest(inbox, 1);
        return;
    }
    struct inbox_entry *entry = &waiting->entries[waiting->first + at];
    waiting->bytes -= entry->bytes;
    waiting->end--;
    memmove(entry, entry + 1,
            (size_t)(&waiting->entries[waiting->end] - entry) * sizeof *waiting->entries);
}

size_t inbox_drop_expired(struct inbox *inbox, int64_t now_ms, inbox_left_fn *on_left, void *owner)
{
    struct inbox_waiting *waiting = inbox->waiting;
    if (waiting == NULL)
        return 0;
    uint32_t kept = waiting->first;
    for (uint32_t i = waiting->first; i < waiting->end; i++) {
        struct inbox_entry entry = waiting->entries[i];
        if (inbox_expires_ms(&entry) > now_ms) {
            waiting->entries[kept++] = entry;
            continue;
        }
        waiting->bytes -= entry.bytes;
        on_left(owner, &entry);
    }
    size_t n_dropped = waiting->end - kept;
    waiting->end = kept;
    free_if_empty(inbox);
    return n_dropped;
}

/* ---- why numbers left, and where the devices are ---- */

static struct inbox_more *make_more(struct inbox *inbox)
{
    if (inbox->more == NULL)
        inbox->more = calloc(1, sizeof *inbox->more);
    return inbox->more;
}

static void free_more_if_empty(struct inbox *inbox)
{
    if (inbox->more != NULL && inbox->more->gaps == NULL && inbox->more->devices == NULL)
        free_more(inbox);
}

void inbox_add_gap(struct inbox *inbox, uint64_t seq, enum gap_cause cause)
{
    struct inbox_more *more = make_more(inbox);
    if (more == NULL || gaps_add(&more->gaps, seq, seq, cause) != ERR_OK)
        free_more_if_empty(inbox);
}

enum err inbox_set_more(struct inbox *inbox, struct gaps *gaps, struct devices *devices)
{
    if (gaps == NULL && devices == NULL) {
        free_more(inbox);
        return ERR_OK;
    }
    struct inbox_more *more = make_more(inbox);
    if (more == NULL)
        return ERR_NO_MEMORY;
    free(more->gaps);
    free(more->devices);
    *more = (struct inbox_more){gaps, devices};
    return ERR_OK;
}

enum err inbox_reserve_device(struct inbox *inbox)
{
    struct inbox_more *more = make_more(inbox);
    enum err error = ERR_NO_MEMORY;
    if (more != NULL)
        error = devices_reserve(&more->devices, inbox->acked);
    free_more_if_empty(inbox);
    return error;
}

void inbox_drop_devices(struct inbox *inbox)
{
    if (inbox->more == NULL)
        return;
    free(inbox->more->devices);
    inbox->more->devices = NULL;
    free_more_if_empty(inbox);
}

void inbox_reset(struct inbox *inbox, struct epoch epoch)
{
    inbox_drop_oldest(inbox, inbox_count(inbox));
    inbox->epoch = epoch;
    inbox->head = 0;
    inbox->acked = 0;
    inbox->n_written = 0;
    if (inbox->more == NULL)
        return;
    free(inbox->more->gaps);
    inbox->more->gaps = NULL;
    devices_rewind(inbox->more->devices);
    free_more_if_empty(inbox);
}

void inbox_set_written(struct inbox *inbox, uint64_t seq)
{
    if (seq <= inbox_written(inbox))
        return;
    uint64_t n_written = seq - inbox->acked;
    inbox->n_written = n_written > UINT32_MAX ? UINT32_MAX : (uint32_t)n_written;
}

void inbox_set_acked(struct inbox *inbox, uint64_t acked)
{
    uint64_t written = inbox_written(inbox);
    assert(acked >= inbox->acked && acked <= inbox->head);
    inbox->acked = acked;
    inbox->n_written = 0;
    inbox_set_written(inbox, written);
    devices_raise_shared(inbox_devices(inbox), acked);
}

void inbox_table_visit(struct inbox_table *table, size_t n_buckets, inbox_visit_fn *visit,
                       void *owner)
{
    for (size_t i = 0; i < n_buckets && i < table->users.n_buckets; i++) {
        if (table->visited >= table->users.n_buckets)
            table->visited = 0;
        HASH_TABLE_FOR_EACH_IN(link, &table->users, table->visited)
        {
            visit(owner, inbox_of(link)); /* may free it */
        }
        table->visited++;
    }
}
