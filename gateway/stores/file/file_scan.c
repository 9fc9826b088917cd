/* The records come in the order of their keys, so each of a user's says more than those before it:
 * what it makes stale is known already, and leaves the index for the list of what is stale. After
 * the last record the index is what was committed last, and the next key is one above it.
 *
 * A record that says less than one before it is damage, and so is one that cannot be read: the scan
 * ends, and its key is what the operator is told. */
#include "gateway/stores/file/file_scan.h"

#include "gateway/stores/file/file_record.h"
#include "gateway/stores/file/file_scan_events.h"

#include <stdio.h>
#include <stdlib.h>

enum { DAY_MS = 24 * 3600 * 1000 };

/* Most of the time goes into waiting for the memory of users, who come in no order. So so many
 * records are read first, and what they need is fetched at the same time. */
enum { RECORDS_AHEAD = 16 };

struct record_ahead {
    uint64_t key;
    uint64_t hash; /* of the user */
    struct file_record record;
};

struct file_scan {
    const struct backing *backing;
    unsigned n_in_one_breath;
    struct record_ahead ahead[RECORDS_AHEAD];
    size_t n_ahead;
    uint64_t hash;
    struct file_scan_events events;
    struct local_index *index;
    struct file_shared *shared;
    struct file_stale *stale;
    struct file_keys *keys;
    uint64_t key; /* of the record that it is at */
    const char *detail;
};

/* ---- what a record makes stale ---- */

static enum err drop_notes(struct file_scan *scan, struct inbox *inbox, uint64_t acked)
{
    while (inbox_count(inbox) > 0) {
        size_t oldest = waiting_first(inbox->waiting);
        const struct waiting_entry *entry = &inbox->waiting->entries[oldest];
        if (entry->seq > acked)
            break;
        if (file_stale_add(scan->stale, entry->key, entry->distance, entry->bytes) != ERR_OK)
            return ERR_NO_MEMORY;
        waiting_drop(&inbox->waiting, oldest);
    }
    return ERR_OK;
}

static enum err drop_user_record(struct file_scan *scan, struct inbox *inbox)
{
    uint64_t key = inbox->record_key;
    inbox->record_key = 0;
    return key == 0 ? ERR_OK : file_stale_add(scan->stale, key, 0, 0);
}

/* The user of a record. Another epoch than that of the records before it can only be a later one.
 * Its first record may be a NOTE: the USER record of the earlier epoch stays until there is one of
 * this epoch. */
static enum err scan_user(struct file_scan *scan, const struct file_record *record,
                          struct inbox **ret_inbox)
{
    struct inbox *inbox = inbox_find_hashed(scan->index->users, record->user_id, scan->hash);
    if (inbox == NULL)
        inbox = inbox_add(scan->index->users, record->user_id, record->epoch);
    if (inbox == NULL)
        return ERR_NO_MEMORY;
    *ret_inbox = inbox;
    if (epoch_equal(inbox->epoch, record->epoch))
        return ERR_OK;
    enum err error = drop_notes(scan, inbox, UINT64_MAX);
    inbox_reset(inbox, record->epoch);
    return error;
}

/* ---- records ---- */

static enum err push_entry(struct file_scan *scan, struct inbox *inbox,
                           const struct file_record *record)
{
    bool is_ref = record->kind == FILE_RECORD_REF;
    uint32_t tag = waiting_tag(record->key);
    if (waiting_reserve(&inbox->waiting, tag) != ERR_OK)
        return ERR_NO_MEMORY;
    if (is_ref && file_shared_ref(scan->shared, scan->key - record->distance) != ERR_OK)
        return ERR_NO_MEMORY;
    waiting_push(inbox->waiting, (struct waiting_entry){
                                     .key = scan->key,
                                     .seq = record->seq,
                                     .due = waiting_due(record->expires_ms, tag),
                                     .bytes = is_ref ? record->bytes : (uint32_t)record->data.len,
                                     .distance = record->distance,
                                 });
    return ERR_OK;
}

static enum err scan_note(struct file_scan *scan, const struct file_record *record)
{
    struct inbox *inbox;
    enum err error = scan_user(scan, record, &inbox);
    if (error != ERR_OK)
        return error;
    const struct waiting *waiting = inbox->waiting;
    if (record->seq <= inbox->acked ||
        (waiting_count(waiting) > 0 && record->seq <= waiting->entries[waiting->end - 1].seq)) {
        scan->detail = "its number is not above the one before it";
        return ERR_INVALID_FIELD;
    }
    error = push_entry(scan, inbox, record);
    if (record->seq > inbox->head)
        inbox->head = record->seq;
    if (error == ERR_OK && record->acked > inbox->acked) {
        inbox_set_acked(inbox, record->acked);
        error = drop_notes(scan, inbox, record->acked);
    }
    uint16_t day = (uint16_t)(record->time_ms / DAY_MS);
    if (day > inbox->sign_day)
        inbox->sign_day = day;
    return error;
}

/* What only a USER record says. */
static enum err set_more(struct file_scan *scan, struct inbox *inbox,
                         const struct file_record *record)
{
    struct gaps *gaps = NULL;
    struct devices *devices = NULL;
    scan->detail = "its causes are malformed";
    enum err error = gaps_read(record->gaps, &gaps);
    if (error == ERR_OK && gaps != NULL && gaps->ranges[gaps->n - 1].to > record->seq)
        error = ERR_INVALID_FIELD;
    if (error == ERR_OK)
        error = devices_read(record->devices, &devices);
    if (error == ERR_OK)
        error = inbox_set_more(inbox, gaps, devices);
    if (error != ERR_OK) {
        free(gaps);
        free(devices);
    }
    return error;
}

/* In a file of version 2 notes with higher numbers may come before it. */
static enum err scan_numbers(struct file_scan *scan, const struct file_record *record)
{
    struct inbox *inbox;
    enum err error = scan_user(scan, record, &inbox);
    if (error != ERR_OK)
        return error;
    if (record->acked < inbox->acked) {
        scan->detail = "its position is below the one before it";
        return ERR_INVALID_FIELD;
    }
    error = set_more(scan, inbox, record);
    if (error == ERR_OK)
        error = drop_user_record(scan, inbox);
    if (error != ERR_OK)
        return error;
    inbox->record_key = scan->key;
    if (record->seq > inbox->head)
        inbox->head = record->seq;
    inbox_set_acked(inbox, record->acked);
    inbox_set_written(inbox, record->written);
    if (record->sign_day > inbox->sign_day)
        inbox->sign_day = record->sign_day;
    return drop_notes(scan, inbox, record->acked);
}

static enum err scan_key(struct file_scan *scan, const struct file_record *record)
{
    struct idempotency entry = {
        .record_key = scan->key,
        .print = record->print,
        .epoch = record->epoch,
        .seq = record->seq,
        .time_ms = record->time_ms,
        .expires_ms = record->expires_ms,
    };
    return idempotency_add(scan->index->keys, record->user_id, record->key, &entry) == NULL
               ? ERR_NO_MEMORY
               : ERR_OK;
}

static enum err scan_block(struct file_scan *scan, const struct file_record *record)
{
    struct expiring *entry = expiring_find(scan->index->blocks, record->user_id);
    enum err error = ERR_OK;
    if (entry == NULL)
        error = expiring_add(scan->index->blocks, record->user_id, (struct span){0},
                             record->expires_ms, &entry);
    if (error == ERR_FULL) {
        scan->detail = "it is one block too many";
        return ERR_INVALID_FIELD;
    }
    if (error != ERR_OK)
        return error;
    entry->until_ms = record->expires_ms;
    entry->record_key = scan->key;
    return ERR_OK;
}

/* A few milliseconds. */
enum { RECORDS_A_BREATH = 4096 };

static void breathe(struct file_scan *scan)
{
    if (++scan->n_in_one_breath < RECORDS_A_BREATH)
        return;
    scan->n_in_one_breath = 0;
    if (scan->backing->breathe != NULL)
        scan->backing->breathe(scan->backing->breather);
}

static enum err apply_record(struct file_scan *scan, const struct record_ahead *ahead)
{
    const struct file_record *record = &ahead->record;
    scan->key = ahead->key;
    scan->hash = ahead->hash;
    switch (record->kind) {
    case FILE_RECORD_PROBE:
        scan->keys->probe = ahead->key;
        return ERR_OK;
    case FILE_RECORD_SHARED:
        return ERR_OK; /* its references count it */
    case FILE_RECORD_USER:
        return scan_numbers(scan, record);
    case FILE_RECORD_KEY:
        return scan_key(scan, record);
    case FILE_RECORD_BLOCK:
        return scan_block(scan, record);
    case FILE_RECORD_EVENT:
    case FILE_RECORD_PARTITION:
        return file_scan_event(&scan->events, ahead->key, record, &scan->detail);
    case FILE_RECORD_PRESENCE:
        return file_scan_presence(&scan->events, ahead->key, record, &scan->detail);
    case FILE_RECORD_ALERT:
        return file_scan_alert(&scan->events, ahead->key, record);
    default:
        return scan_note(scan, record);
    }
}

static enum err apply_ahead(struct file_scan *scan)
{
    for (int step = 0; step < INBOX_FETCH_STEPS; step++)
        for (size_t i = 0; i < scan->n_ahead; i++)
            inbox_fetch(scan->index->users, scan->ahead[i].hash, step);
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < scan->n_ahead; i++)
        error = apply_record(scan, &scan->ahead[i]);
    scan->n_ahead = 0;
    return error;
}

/* What is wrong with those before it is said first. */
static enum err fail_record(struct file_scan *scan, uint64_t key, const char *detail)
{
    enum err error = apply_ahead(scan);
    if (error != ERR_OK)
        return error;
    scan->key = key;
    scan->detail = detail;
    return ERR_INVALID_FIELD;
}

static enum err scan_record(void *owner, uint64_t key, struct span bytes)
{
    struct file_scan *scan = owner;
    const char *detail;
    breathe(scan);
    scan->keys->next = key + 1;
    struct record_ahead *ahead = &scan->ahead[scan->n_ahead];
    if (file_record_read(bytes, &ahead->record, &detail) != ERR_OK)
        return fail_record(scan, key, detail);
    ahead->key = key;
    ahead->hash = inbox_hash_of(ahead->record.user_id);
    return ++scan->n_ahead == RECORDS_AHEAD ? apply_ahead(scan) : ERR_OK;
}

enum err file_scan(struct file_lmdb *lmdb, const struct backing *backing, struct local_index *index,
                   struct file_shared *shared, struct file_stales *stale,
                   struct file_keys *ret_keys, char *why, size_t why_cap)
{
    struct file_keys keys = {.next = 1};
    struct file_scan scan = {
        .backing = backing,
        .index = index,
        .shared = shared,
        .stale = &stale->others,
        .keys = &keys,
        .events = {.partitions = index->events, .stale = stale},
    };
    inbox_table_reserve(index->users, file_lmdb_records(lmdb)); /* there are no more users */
    enum err error = file_lmdb_scan(lmdb, scan_record, &scan);
    if (error == ERR_OK)
        error = apply_ahead(&scan);
    if (error == ERR_OK)
        error = file_scan_end_events(&scan.events, &scan.detail);
    if (error == ERR_OK) {
        inbox_table_fit(index->users);
        *ret_keys = keys;
        return ERR_OK;
    }
    if (error == ERR_INVALID_FIELD)
        snprintf(why, why_cap, "record %llu is damaged (%s): restore the directory from a copy",
                 (unsigned long long)scan.key, scan.detail);
    else if (error == ERR_NO_MEMORY)
        snprintf(why, why_cap, "there is too little memory for the index");
    else
        snprintf(why, why_cap, "it cannot be read: %s", file_lmdb_why(lmdb));
    return ERR_STORE_UNAVAILABLE;
}
