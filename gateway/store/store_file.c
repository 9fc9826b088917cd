/* file:PATH keeps records in LMDB, each under the next of one global rising number, so that a
 * group's records go to the end of the tree whoever they are for. README.md draws the layout.
 *
 * A commit first settles what the transaction will do: which user records are replaced, and which
 * shared payloads have lost their last reference. The transaction itself only writes, because LMDB
 * makes us run it again when its map was too small.
 *
 * After a failed commit the environment is closed, and opened again by rebuild, which scans all
 * records: the memory then says what the disk says. */
#include "gateway/store/store_local.h"

#include "gateway/base/log_limit.h"
#include "gateway/store/file_check.h"
#include "gateway/store/file_lmdb.h"
#include "gateway/store/file_lock.h"
#include "gateway/store/file_record.h"
#include "gateway/store/file_scan.h"
#include "gateway/store/file_shared.h"

#include <stdio.h>
#include <stdlib.h>

struct file_backing {
    struct backing backing; /* first: it is handed out */
    char *path;
    int lock_fd;
    struct file_lmdb *lmdb; /* NULL: closed after a failure */
    uint64_t next_key;      /* from 1: in the index 0 is none */
    uint64_t probe_key;     /* of the PROBE record; 0: there is none */
    uint64_t max_bytes;     /* 0: no limit */
    struct file_shared shared;
    uint64_t *unshared; /* of the commit under way: shared payloads that nobody needs any more */
    size_t n_unshared;
    size_t cap_unshared;
};

static struct file_backing *file_of(struct backing *backing)
{
    return (struct file_backing *)(void *)backing;
}

static uint64_t file_next_key(struct backing *backing)
{
    return file_of(backing)->next_key++;
}

static uint64_t file_note_key(struct backing *backing, struct notification *note)
{
    (void)note;
    return file_next_key(backing);
}

static bool file_has_room(const struct backing *backing, uint64_t more_bytes)
{
    const struct file_backing *file = (const struct file_backing *)(const void *)backing;
    return file->max_bytes == 0 || file->lmdb == NULL ||
           file_lmdb_used_bytes(file->lmdb) + more_bytes <= file->max_bytes;
}

/* ---- reading ---- */

/* Keys of a group's puts rise, and are higher than all that was committed. */
static struct notification *find_in_group(const struct group *group, uint64_t key)
{
    size_t low = 0;
    size_t high = group->n_puts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (group->puts[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < group->n_puts && group->puts[low].key == key ? group->puts[low].note : NULL;
}

/* A record of this kind, as its key promises. */
static enum err read_record(struct file_backing *file, uint64_t key, enum file_record_kind kind,
                            struct file_record *ret_record)
{
    struct span bytes;
    const char *detail = NULL;
    enum err error = file_lmdb_read(file->lmdb, key, &bytes);
    if (error != ERR_OK)
        detail = file_lmdb_why(file->lmdb);
    else
        error = file_record_read(bytes, ret_record, &detail);
    if (error == ERR_OK && ret_record->kind == kind)
        return ERR_OK;
    /* Whoever waits for it has it read again each second. */
    static struct log_limit records = LOG_LIMIT(60 * 1000);
    struct span of_key = {(const char *)&key, sizeof key};
    log_limited(&records, of_key, LOG_ERROR, "a record of the store cannot be read",
                LOG_INT("key", key),
                LOG_TEXT("why", error == ERR_OK ? "it is of another kind" : detail));
    return ERR_STORE_UNAVAILABLE;
}

static enum err file_read(struct backing *backing, const struct group *group,
                          const struct inbox *inbox, const struct waiting_entry *entry,
                          struct notification **ret_note)
{
    struct file_backing *file = file_of(backing);
    struct notification *present = find_in_group(group, entry->key);
    if (present != NULL) {
        *ret_note = notification_ref(present);
        return ERR_OK;
    }
    bool is_ref = entry->distance != 0;
    struct file_record record;
    enum err error =
        read_record(file, entry->key, is_ref ? FILE_RECORD_REF : FILE_RECORD_NOTE, &record);
    if (error != ERR_OK)
        return error;
    struct file_record holder = record;
    if (is_ref)
        error = read_record(file, entry->key - entry->distance, FILE_RECORD_SHARED, &holder);
    if (error != ERR_OK)
        return error;
    struct payload *payload = payload_new_keyed(holder.data, record.key);
    if (payload == NULL)
        return ERR_NO_MEMORY;
    struct notification *note =
        notification_new(payload, inbox->epoch, entry->seq, record.time_ms, record.expires_ms);
    payload_unref(payload);
    if (note == NULL)
        return ERR_NO_MEMORY;
    note->is_replay = true;
    *ret_note = note;
    return ERR_OK;
}

/* ---- writing ---- */

static enum err append_record(struct file_lmdb *lmdb, uint64_t key,
                              const struct file_record *record)
{
    char *room;
    enum err error = file_lmdb_append(lmdb, key, file_record_size(record), &room);
    if (error == ERR_OK)
        file_record_write(record, room);
    return error;
}

static enum err append_put(struct file_lmdb *lmdb, const struct group_put *put)
{
    const struct notification *note = put->note;
    struct file_record record = {
        .kind = put->distance == 0 ? FILE_RECORD_NOTE : FILE_RECORD_REF,
        .user_id = put->user_id,
        .epoch = note->epoch,
        .seq = note->seq,
        .time_ms = note->time_ms,
        .expires_ms = note->expires_ms,
        .distance = put->distance,
        .bytes = note->payload->len,
        .key = payload_key(note->payload),
    };
    if (put->distance == 0)
        record.data = payload_data(note->payload);
    return append_record(lmdb, put->key, &record);
}

static enum err append_puts(struct file_lmdb *lmdb, const struct group *group)
{
    for (size_t i = 0; i < group->n_puts; i++) {
        const struct group_put *put = &group->puts[i];
        enum err error = ERR_OK;
        if (put->is_first) {
            struct file_record record = {.kind = FILE_RECORD_SHARED,
                                         .data = payload_data(put->note->payload)};
            error = append_record(lmdb, put->key - put->distance, &record);
        }
        if (error == ERR_OK)
            error = append_put(lmdb, put);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

static enum err append_user(struct file_lmdb *lmdb, const struct inbox *inbox)
{
    char gaps[GAPS_TEXT_MAX_BYTES];
    char devices[DEVICES_MAX_BYTES];
    struct file_record record = {
        .kind = FILE_RECORD_USER,
        .user_id = inbox_user(inbox),
        .epoch = inbox->epoch,
        .seq = inbox->head,
        .acked = inbox->acked,
        .sign_day = inbox->sign_day,
        .written = inbox_written(inbox),
        .devices = {devices, devices_size(inbox_devices(inbox))},
        .gaps = {gaps, gaps_write(inbox_gaps(inbox), gaps)},
    };
    devices_write(inbox_devices(inbox), devices);
    return append_record(lmdb, inbox->record_key, &record);
}

static enum err append_key(struct file_lmdb *lmdb, const struct group_key *key)
{
    const struct idempotency *entry = key->entry;
    struct file_record record = {
        .kind = FILE_RECORD_KEY,
        .user_id = key->user_id,
        .epoch = entry->epoch,
        .seq = entry->seq,
        .time_ms = entry->time_ms,
        .expires_ms = entry->expires_ms,
        .key = key->key,
        .print = entry->print,
    };
    return append_record(lmdb, entry->record_key, &record);
}

static enum err append_block(struct file_lmdb *lmdb, const struct expiring *entry)
{
    struct file_record record = {
        .kind = FILE_RECORD_BLOCK,
        .user_id = expiring_key(entry),
        .expires_ms = entry->until_ms,
    };
    return append_record(lmdb, entry->record_key, &record);
}

struct file_commit {
    struct file_backing *file;
    const struct group *group;
};

static enum err delete_replaced(struct file_lmdb *lmdb, const struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < group->n_users; i++)
        if (group->users[i].old_key != 0)
            error = file_lmdb_delete(lmdb, group->users[i].old_key);
    for (size_t i = 0; error == ERR_OK && i < group->n_blocks; i++)
        if (group->blocks[i].old_key != 0)
            error = file_lmdb_delete(lmdb, group->blocks[i].old_key);
    return error;
}

/* All that is appended stands before all that is deleted: keys must rise, and a delete must not
 * move the tail of the tree under the appends. */
static enum err write_group(void *owner, struct file_lmdb *lmdb)
{
    const struct file_commit *commit = owner;
    const struct group *group = commit->group;
    enum err error = append_puts(lmdb, group);
    for (size_t i = 0; error == ERR_OK && i < group->n_users; i++)
        error = append_user(lmdb, group->users[i].inbox);
    for (size_t i = 0; error == ERR_OK && i < group->n_keys; i++)
        error = append_key(lmdb, &group->keys[i]);
    for (size_t i = 0; error == ERR_OK && i < group->n_blocks; i++)
        if (group->blocks[i].entry->record_key != 0)
            error = append_block(lmdb, group->blocks[i].entry);
    if (error == ERR_OK)
        error = delete_replaced(lmdb, group);
    for (size_t i = 0; error == ERR_OK && i < group->n_dels; i++)
        error = file_lmdb_delete(lmdb, group->dels[i].key);
    for (size_t i = 0; error == ERR_OK && i < commit->file->n_unshared; i++)
        error = file_lmdb_delete(lmdb, commit->file->unshared[i]);
    return error;
}

static enum err note_unshared(struct file_backing *file, uint64_t key)
{
    if (file->n_unshared == file->cap_unshared) {
        size_t cap = file->cap_unshared == 0 ? 64 : 2 * file->cap_unshared;
        uint64_t *more = realloc(file->unshared, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        file->unshared = more;
        file->cap_unshared = cap;
    }
    file->unshared[file->n_unshared++] = key;
    return ERR_OK;
}

/* What the transaction will do, so that running it twice changes nothing more. Keys rise: notes
 * have theirs already; users, idempotency keys and blocks follow. */
static enum err settle(struct file_backing *file, struct group *group)
{
    enum err error = ERR_OK;
    file->n_unshared = 0;
    for (size_t i = 0; error == ERR_OK && i < group->n_puts; i++)
        if (group->puts[i].distance != 0)
            error = file_shared_ref(&file->shared, group->puts[i].key - group->puts[i].distance);
    for (size_t i = 0; error == ERR_OK && i < group->n_dels; i++) {
        uint64_t shared_key = group->dels[i].key - group->dels[i].distance;
        if (group->dels[i].distance != 0 && file_shared_unref(&file->shared, shared_key) == 0)
            error = note_unshared(file, shared_key);
    }
    for (size_t i = 0; i < group->n_users; i++) {
        group->users[i].old_key = group->users[i].inbox->record_key;
        group->users[i].inbox->record_key = file->next_key++;
    }
    for (size_t i = 0; i < group->n_keys; i++)
        group->keys[i].entry->record_key = file->next_key++;
    for (size_t i = 0; i < group->n_blocks; i++) {
        struct expiring *entry = group->blocks[i].entry;
        group->blocks[i].old_key = entry->record_key;
        entry->record_key = entry->until_ms == 0 ? 0 : file->next_key++;
    }
    return error;
}

static enum err file_commit(struct backing *backing, struct group *group, char *why)
{
    struct file_backing *file = file_of(backing);
    enum err error = settle(file, group);
    if (error == ERR_OK) {
        struct file_commit commit = {file, group};
        error = file_lmdb_write(file->lmdb, write_group, &commit);
    }
    if (error == ERR_OK)
        return ERR_OK;
    snprintf(why, STORE_WHY_MAX_BYTES, "%.200s cannot be written: %s; make room or repair the disk",
             file->path, error == ERR_NO_MEMORY ? error_title(error) : file_lmdb_why(file->lmdb));
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    return ERR_STORE_UNAVAILABLE;
}

/* ---- the probe: is there room again? ---- */

static enum err write_probe(void *owner, struct file_lmdb *lmdb)
{
    struct file_backing *file = owner;
    struct file_record record = {.kind = FILE_RECORD_PROBE};
    enum err error = append_record(lmdb, file->next_key, &record);
    if (error == ERR_OK && file->probe_key != 0)
        error = file_lmdb_delete(lmdb, file->probe_key);
    return error;
}

/* First whether the disk has room for more than a group needs at least, then whether LMDB commits:
 * a commit of one small record may find a free page in the file and say nothing about the next. */
static enum err file_probe(struct backing *backing, char *why)
{
    struct file_backing *file = file_of(backing);
    enum err error = file_lock_probe(file->path, why, STORE_WHY_MAX_BYTES);
    if (error != ERR_OK)
        return error;
    error = file_lmdb_write(file->lmdb, write_probe, file);
    if (error == ERR_OK) {
        file->probe_key = file->next_key++;
        return ERR_OK;
    }
    snprintf(why, STORE_WHY_MAX_BYTES, "%.200s cannot be written: %s", file->path,
             file_lmdb_why(file->lmdb));
    return error;
}

/* ---- opening the records, and again after a failure ---- */

static enum err file_rebuild(struct backing *backing, struct local_index *index, char *why)
{
    struct file_backing *file = file_of(backing);
    char why_lmdb[STORE_WHY_MAX_BYTES / 2];
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    if (file_lmdb_open(file->path, &file->lmdb, why_lmdb, sizeof why_lmdb) != ERR_OK) {
        snprintf(why, STORE_WHY_MAX_BYTES, "%.130s cannot be opened: %.140s", file->path, why_lmdb);
        return ERR_STORE_UNAVAILABLE;
    }
    file_shared_clear(&file->shared);
    struct file_keys keys = {0};
    if (file_scan(file->lmdb, index, &file->shared, &keys, why_lmdb, sizeof why_lmdb) == ERR_OK) {
        file->next_key = keys.next;
        file->probe_key = keys.probe;
        return ERR_OK;
    }
    snprintf(why, STORE_WHY_MAX_BYTES, "%.130s: %.140s", file->path, why_lmdb);
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    return ERR_STORE_UNAVAILABLE;
}

/* ---- opening ---- */

static void file_end_turn(struct backing *backing)
{
    struct file_backing *file = file_of(backing);
    if (file->lmdb != NULL)
        file_lmdb_end_reads(file->lmdb);
}

static void file_close(struct backing *backing, struct local_index *index)
{
    (void)index;
    struct file_backing *file = file_of(backing);
    file_lmdb_close(file->lmdb);
    file_shared_clear(&file->shared);
    free(file->unshared);
    file_lock_release(file->lock_fd);
    free(file->path);
    free(file);
}

static const struct backing_ops file_ops = {
    .kind = "file",
    .note_key = file_note_key,
    .payload_key = file_next_key,
    .has_room = file_has_room,
    .read = file_read,
    .end_turn = file_end_turn,
    .commit = file_commit,
    .rebuild = file_rebuild,
    .probe = file_probe,
    .close = file_close,
};

/* A backing that holds the directory's lock, its environment not open yet. */
static enum err file_new(const struct store_config *config, const char *path,
                         struct file_backing **ret_file, char *why, size_t why_cap)
{
    struct file_backing *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    enum err error = ERR_NO_MEMORY;
    snprintf(why, why_cap, "%s", error_title(error));
    if (file == NULL || copy == NULL)
        goto undo;
    error = file_lock_take(path, &file->lock_fd, why, why_cap);
    if (error != ERR_OK)
        goto undo;
    file->backing.ops = &file_ops;
    file->path = copy;
    file->next_key = 1;
    file->max_bytes = config->max_bytes;
    *ret_file = file;
    return ERR_OK;
undo:
    free(copy);
    free(file);
    return ERR_STORE_UNAVAILABLE;
}

enum err store_file_open(const struct store_config *config, const char *path,
                         struct store **ret_store, char *why, size_t why_cap)
{
    struct file_backing *file;
    struct local_index index;
    char why_scan[STORE_WHY_MAX_BYTES] = "";
    if (file_new(config, path, &file, why, why_cap) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_index_new(&index);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "%s", error_title(error));
        file_close(&file->backing, NULL);
        return ERR_STORE_UNAVAILABLE;
    }
    if (file_check(path, why_scan, sizeof why_scan) != ERR_OK ||
        file_rebuild(&file->backing, &index, why_scan) != ERR_OK) {
        snprintf(why, why_cap, "%s", why_scan);
        local_index_free(&index);
        file_close(&file->backing, NULL);
        return ERR_STORE_UNAVAILABLE;
    }
    file_lock_sync(path);
    error = store_local_open(config, NULL, &file->backing, index, ret_store);
    if (error == ERR_OK)
        return ERR_OK;
    snprintf(why, why_cap, "the store's thread cannot be started: %s", error_title(error));
    return ERR_STORE_UNAVAILABLE;
}
