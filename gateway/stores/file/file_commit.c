/* A commit first settles what the transaction will do: under which keys it writes, and which
 * records leave. The transaction itself only writes, because LMDB makes us run it again when its
 * map was too small.
 *
 * Most of what leaves becomes stale with the group, and does not leave with it: a page of the tree
 * would be changed for each. It waits in file->stale until a run of it is worth while, and then
 * leaves with the groups that follow, at least twice as many records with each as the group adds,
 * so that a run ends before the next one is due. What leaves at once: notifications that nobody
 * acknowledged, because only their absence says so, and users who are forgotten, after all records
 * of theirs. */
#include "gateway/stores/file/file_commit.h"

#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

#include <stdlib.h>

enum err file_commit_record(struct file_lmdb *lmdb, uint64_t key, const struct file_record *record)
{
    char *room;
    enum err error = file_lmdb_append(lmdb, key, file_record_size(record), &room);
    if (error == ERR_OK)
        file_record_write(record, room);
    return error;
}

static enum err append_event(struct file_lmdb *lmdb, const struct group_put *put)
{
    const struct notification *note = put->note;
    struct file_record record = {
        .kind = FILE_RECORD_EVENT,
        .user_id = put->user_id,
        .epoch = note->epoch,
        .seq = note->seq,
        .time_ms = note->time_ms,
        .left = note->acked,
        .data = payload_data(note->payload),
    };
    return file_commit_record(lmdb, put->key, &record);
}

static enum err append_put(struct file_lmdb *lmdb, const struct group_put *put)
{
    if (put->is_event)
        return append_event(lmdb, put);
    const struct notification *note = put->note;
    struct file_record record = {
        .kind = put->distance == 0 ? FILE_RECORD_NOTE : FILE_RECORD_REF,
        .user_id = put->user_id,
        .epoch = note->epoch,
        .seq = note->seq,
        .time_ms = note->time_ms,
        .expires_ms = note->expires_ms,
        .acked = note->acked,
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

static enum err append_partition(struct file_lmdb *lmdb, const struct partition *partition)
{
    char gaps[GAPS_TEXT_MAX_BYTES];
    char consumers[CONSUMERS_MAX_BYTES];
    struct file_record record = {
        .kind = FILE_RECORD_PARTITION,
        .user_id = store_partition_user(partition->number),
        .epoch = partition->epoch,
        .seq = partition->head,
        .acked = partition->acked,
        .left = partition_left(partition),
        .devices = {consumers, consumers_size(partition->consumers)},
        .gaps = {gaps, gaps_write(partition->gaps, gaps)},
    };
    consumers_write(partition->consumers, consumers);
    return file_commit_record(lmdb, partition->record_key, &record);
}

/* One who is gone leaves a record that says so, until those before it have left. */
static enum err append_present(struct file_lmdb *lmdb, const struct group_present *written)
{
    char nodes[PRESENT_NODES_MAX_BYTES];
    const struct present *present = written->present;
    struct file_record record = {.kind = FILE_RECORD_PRESENCE, .user_id = present_user(present)};
    if (!present->is_gone)
        record.devices =
            (struct span){nodes, present_write_nodes(written->presences, present, nodes)};
    if (!present->is_gone && present->nodes == 0) {
        record.expires_ms = present->due.at_ms;
        record.time_ms = present->last_seen_ms;
        record.cause = present->cause;
    }
    return file_commit_record(lmdb, written->key, &record);
}

static enum err append_alert(struct file_lmdb *lmdb, const struct alert *alert)
{
    struct file_record record = {
        .kind = FILE_RECORD_ALERT,
        .user_id = alert_user(alert),
        .epoch = alert->epoch,
        .seq = alert->seq,
        .time_ms = alert->pushed_ms,
        .expires_ms = alert->due.at_ms,
    };
    return file_commit_record(lmdb, alert->record_key, &record);
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

/* LMDB fills a page that is less than a quarter full from its neighbour, record by record. So most
 * are deleted first, and every third when only the third of a page is left: then its neighbour is
 * as empty, and the two become one page at once. */
enum { PASS_STEP = 3 };

static enum err delete_drops(struct file_lmdb *lmdb, const struct file_backing *file)
{
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < file->n_drops; i++)
        if (i % PASS_STEP != 0)
            error = file_lmdb_delete(lmdb, file->drops[i]);
    for (size_t i = 0; error == ERR_OK && i < file->n_drops; i += PASS_STEP)
        error = file_lmdb_delete(lmdb, file->drops[i]);
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
    for (size_t i = 0; error == ERR_OK && i < group->n_partitions; i++)
        error = append_partition(lmdb, group->partitions[i]);
    for (size_t i = 0; error == ERR_OK && i < group->n_presents; i++)
        if (group->presents[i].key != 0)
            error = append_present(lmdb, &group->presents[i]);
    for (size_t i = 0; error == ERR_OK && i < group->n_alerts; i++)
        if (!group->alerts[i].alert->is_gone)
            error = append_alert(lmdb, group->alerts[i].alert);
    return error == ERR_OK ? delete_drops(lmdb, commit->file) : error;
}

/* ---- what leaves ---- */

static enum err drop_key(struct file_backing *file, uint64_t key)
{
    if (file->n_drops == file->cap_drops) {
        size_t cap = file->cap_drops == 0 ? 64 : 2 * file->cap_drops;
        uint64_t *more = realloc(file->drops, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        file->drops = more;
        file->cap_drops = cap;
    }
    file->drops[file->n_drops++] = key;
    return ERR_OK;
}

/* A shared payload leaves with its last reference. */
static enum err drop_record(struct file_backing *file, uint64_t key, uint32_t distance)
{
    enum err error = drop_key(file, key);
    if (error == ERR_OK && distance != 0 && file_shared_unref(&file->shared, key - distance) == 0)
        error = drop_key(file, key - distance);
    return error;
}

static enum err drop_stale(struct file_backing *file, struct file_stale *stale)
{
    struct file_stale_record record = file_stale_take(stale);
    return drop_record(file, record.key, record.distance);
}

/* All records of a user who is forgotten are below the user's last one. */
static enum err drop_stale_below(struct file_backing *file, uint64_t key)
{
    enum err error = ERR_OK;
    if (!file_stale_has_below(&file->stale.others, key))
        return ERR_OK;
    error = file_stale_begin_run(&file->stale.others);
    while (error == ERR_OK && file_stale_is_next_below(&file->stale.others, key))
        error = drop_stale(file, &file->stale.others);
    return error;
}

static size_t stale_share(const struct file_backing *file, const struct file_stale *stale,
                          const struct group *group)
{
    size_t n_of_events = group->n_partitions + group->n_presents + group->n_alerts;
    size_t n_changes = group->n_puts + group->n_users + group->n_keys + group->n_dels + n_of_events;
    size_t n_written = group->n_users + n_of_events + file->n_drops;
    if (file->is_tight)
        return file->backing.full_changes > n_written ? file->backing.full_changes - n_written : 0;
    return file_stale_share(stale, n_changes);
}

static enum err drop_run(struct file_backing *file, struct file_stale *stale,
                         const struct group *group)
{
    enum err error = ERR_OK;
    for (size_t n = stale_share(file, stale, group);
         error == ERR_OK && n > 0 && file_stale_has_run(stale); n--)
        error = drop_stale(file, stale);
    return error;
}

static enum err drop_stale_share(struct file_backing *file, const struct group *group)
{
    enum err error = ERR_OK;
    uint64_t bytes = file->stale.others.bytes + file->stale.events.bytes;
    bool is_due = file_stale_is_run_due(&file->stale.others, file_lmdb_records(file->lmdb)) ||
                  file->is_tight || (file->max_bytes != 0 && bytes > file->max_bytes / 8);
    if (is_due && !file_stale_has_run(&file->stale.others))
        error = file_commit_begin_run(file);
    else if (file_stale_is_event_run_due(&file->stale.events))
        error = file_stale_begin_run(&file->stale.events);
    if (error == ERR_OK)
        error = drop_run(file, &file->stale.events, group);
    return error == ERR_OK ? drop_run(file, &file->stale.others, group) : error;
}

enum err file_commit_begin_run(struct file_backing *file)
{
    file->n_quiet_s = 0;
    enum err error = file_stale_begin_run(&file->stale.others);
    return error == ERR_OK ? file_stale_begin_run(&file->stale.events) : error;
}

bool file_commit_has_stale(const struct file_backing *file)
{
    return !file_stale_is_empty(&file->stale.others) || !file_stale_is_empty(&file->stale.events);
}

bool file_commit_has_run(const struct file_backing *file)
{
    return file_stale_has_run(&file->stale.others) || file_stale_has_run(&file->stale.events);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* Mostly they are in order: a run of stale records is. */
static void sort_drops(struct file_backing *file)
{
    size_t n = 1;
    while (n < file->n_drops && file->drops[n - 1] <= file->drops[n])
        n++;
    if (n < file->n_drops)
        qsort(file->drops, file->n_drops, sizeof *file->drops, compare_keys);
}

static enum err settle_drops(struct file_backing *file, const struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < group->n_dels; i++) {
        const struct group_del *del = &group->dels[i];
        if (del->may_stay)
            error = file_stale_add(del->is_event ? &file->stale.events : &file->stale.others,
                                   del->key, del->distance, del->bytes);
        else
            error = drop_record(file, del->key, del->distance);
        if (error == ERR_OK && del->is_user)
            error = drop_stale_below(file, del->key);
    }
    for (size_t i = 0; error == ERR_OK && i < group->n_blocks; i++)
        if (group->blocks[i].old_key != 0)
            error = drop_key(file, group->blocks[i].old_key);
    if (error == ERR_OK)
        error = drop_stale_share(file, group);
    sort_drops(file);
    return error;
}

/* ---- the commit ---- */

static enum err settle_refs(struct file_backing *file, const struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < group->n_puts; i++)
        if (group->puts[i].distance != 0)
            error = file_shared_ref(&file->shared, group->puts[i].key - group->puts[i].distance);
    return error;
}

/* The record of a user that is replaced is stale from now on. */
static enum err settle_users(struct file_backing *file, struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; i < group->n_users; i++) {
        uint64_t old_key = group->users[i].inbox->record_key;
        if (old_key != 0 && error == ERR_OK)
            error = file_stale_add(&file->stale.others, old_key, 0, 0);
        group->users[i].inbox->record_key = file->next_key++;
    }
    return error;
}

static enum err settle_partitions(struct file_backing *file, struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; i < group->n_partitions; i++) {
        uint64_t old_key = group->partitions[i]->record_key;
        if (old_key != 0 && error == ERR_OK)
            error = file_stale_add(&file->stale.others, old_key, 0, 0);
        group->partitions[i]->record_key = file->next_key++;
    }
    return error;
}

/* Of one who came and went within the group there is nothing to say. */
static enum err settle_presents(struct file_backing *file, struct group *group)
{
    enum err error = ERR_OK;
    for (size_t i = 0; i < group->n_presents; i++) {
        struct present *present = group->presents[i].present;
        uint64_t old_key = present->record_key;
        bool is_nothing = present->is_gone && old_key == 0;
        group->presents[i].key = is_nothing ? 0 : file->next_key++;
        present->record_key = group->presents[i].key;
        if (old_key != 0 && error == ERR_OK)
            error = file_stale_add(&file->stale.others, old_key, 0, 0);
        if (old_key != 0 && present->is_gone && error == ERR_OK)
            error = file_stale_add(&file->stale.others, present->record_key, 0, 0);
    }
    return error;
}

/* Keys rise: notes have theirs already; users, idempotency keys, blocks, partitions, presences
 * and alerts follow. */
static enum err settle_group(struct file_backing *file, struct group *group)
{
    file->n_drops = 0;
    enum err error = settle_refs(file, group);
    if (error == ERR_OK)
        error = settle_users(file, group);
    for (size_t i = 0; i < group->n_keys; i++)
        group->keys[i].entry->record_key = file->next_key++;
    for (size_t i = 0; i < group->n_blocks; i++) {
        struct expiring *entry = group->blocks[i].entry;
        group->blocks[i].old_key = entry->record_key;
        entry->record_key = entry->until_ms == 0 ? 0 : file->next_key++;
    }
    if (error == ERR_OK)
        error = settle_partitions(file, group);
    if (error == ERR_OK)
        error = settle_presents(file, group);
    for (size_t i = 0; i < group->n_alerts; i++)
        group->alerts[i].alert->record_key = file->next_key++;
    return error == ERR_OK ? settle_drops(file, group) : error;
}

enum err file_commit_group(struct file_backing *file, struct group *group)
{
    struct file_commit commit = {file, group};
    enum err error = settle_group(file, group);
    return error == ERR_OK ? file_lmdb_write(file->lmdb, write_group, &commit) : error;
}
