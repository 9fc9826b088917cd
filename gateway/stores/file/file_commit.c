/* A commit first settles what the transaction will do: which user records are replaced, and which
 * shared payloads have lost their last reference. The transaction itself only writes, because LMDB
 * makes us run it again when its map was too small. */
#include "gateway/stores/file/file_commit.h"

#include <stdlib.h>

enum err file_commit_record(struct file_lmdb *lmdb, uint64_t key, const struct file_record *record)
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
    return file_commit_record(lmdb, put->key, &record);
}

static enum err append_puts(struct file_lmdb *lmdb, const struct group *group)
{
    for (size_t i = 0; i < group->n_puts; i++) {
        const struct group_put *put = &group->puts[i];
        enum err error = ERR_OK;
        if (put->is_first) {
            struct file_record record = {.kind = FILE_RECORD_SHARED,
                                         .data = payload_data(put->note->payload)};
            error = file_commit_record(lmdb, put->key - put->distance, &record);
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
    return file_commit_record(lmdb, inbox->record_key, &record);
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
    return file_commit_record(lmdb, entry->record_key, &record);
}

static enum err append_block(struct file_lmdb *lmdb, const struct expiring *entry)
{
    struct file_record record = {
        .kind = FILE_RECORD_BLOCK,
        .user_id = expiring_key(entry),
        .expires_ms = entry->until_ms,
    };
    return file_commit_record(lmdb, entry->record_key, &record);
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

/* All records are appended before any is deleted: keys must rise, and a delete must not
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
static enum err settle_group(struct file_backing *file, struct group *group)
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

enum err file_commit_group(struct file_backing *file, struct group *group)
{
    struct file_commit commit = {file, group};
    enum err error = settle_group(file, group);
    return error == ERR_OK ? file_lmdb_write(file->lmdb, write_group, &commit) : error;
}
