/* A user is one block of memory with the userId at its end. What only some users have (causes,
 * devices) is a second block that is made when it is first needed, and what waits for a user is a
 * third (waiting.c). So a user that has only been pushed to costs little.
 */
#include "gateway/stores/local/inbox.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"

#include <assert.h>
#include <stdlib.h>

struct inbox_table {
    struct hash_table users;
    size_t visited; /* the bucket that the next visit begins with */
};

static struct inbox *inbox_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct inbox, link);
}

static uint64_t inbox_hash(const struct hash_link *link)
{
    return hash_bytes(inbox_user(inbox_of(link)));
}

enum err inbox_table_new(struct inbox_table **ret_table)
{
    struct inbox_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    enum err error = hash_table_init(&table->users, inbox_hash);
    if (error != ERR_OK) {
        free(table);
        return error;
    }
    *ret_table = table;
    return ERR_OK;
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
    waiting_free(&inbox->waiting);
    free(inbox);
}

static void free_inbox_link(struct hash_link *link)
{
    inbox_free(inbox_of(link));
}

void inbox_table_clear(struct inbox_table *table)
{
    hash_table_clear(&table->users, free_inbox_link);
}

void inbox_table_free(struct inbox_table *table)
{
    if (table == NULL)
        return;
    inbox_table_clear(table);
    hash_table_fini(&table->users);
    free(table);
}

void inbox_table_reserve(struct inbox_table *table, size_t n_users)
{
    hash_table_reserve(&table->users, n_users);
}

void inbox_table_fit(struct inbox_table *table)
{
    hash_table_fit(&table->users);
    table->visited = 0;
}

size_t inbox_table_count(const struct inbox_table *table)
{
    return table->users.n_links;
}

size_t inbox_table_buckets(const struct inbox_table *table)
{
    return table->users.n_buckets;
}

uint64_t inbox_hash_of(struct span user_id)
{
    return hash_bytes(user_id);
}

/* The place in the table; the user there, who is mostly the one; what waits for that one. */
void inbox_fetch(const struct inbox_table *table, uint64_t hash, int step)
{
    struct hash_link **bucket = &table->users.buckets[hash_table_bucket(&table->users, hash)];
    if (step == 0) {
        __builtin_prefetch(bucket);
        return;
    }
    const struct inbox *inbox = *bucket == NULL ? NULL : inbox_of(*bucket);
    if (inbox == NULL)
        return;
    if (step == 1) {
        __builtin_prefetch(inbox);
        __builtin_prefetch(inbox->user_id);
    } else if (inbox->waiting != NULL) {
        __builtin_prefetch(inbox->waiting);
    }
}

struct inbox *inbox_find_hashed(const struct inbox_table *table, struct span user_id, uint64_t hash)
{
    HASH_TABLE_FOR_EACH_IN(link, &table->users, hash_table_bucket(&table->users, hash))
    {
        if (span_equal(inbox_user(inbox_of(link)), user_id))
            return inbox_of(link);
    }
    return NULL;
}

struct inbox *inbox_find(const struct inbox_table *table, struct span user_id)
{
    return inbox_find_hashed(table, user_id, hash_bytes(user_id));
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
    waiting_free(&inbox->waiting);
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
