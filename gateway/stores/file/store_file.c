/* file:PATH keeps records in LMDB, each under the next of one global rising number, so that a
 * group's records go to the end of the tree, whichever users they belong to. README.md draws the
 * layout.
 *
 * After a failed commit the environment is closed, and opened again by rebuild, which scans all
 * records: the memory then says what the disk says. A file that was removed or moved while it is
 * open is read on, and not opened anew: what stands under its name then is another one. */
#include "gateway/stores/file/store_file.h"

#include "gateway/base/log_limit.h"
#include "gateway/stores/file/file_check.h"
#include "gateway/stores/file/file_commit.h"
#include "gateway/stores/file/file_lock.h"
#include "gateway/stores/file/file_scan.h"
#include "gateway/stores/local/store_local.h"

#include <stdio.h>
#include <stdlib.h>

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

/* Where there is no room for what is new, what is stale makes some. Each commit changes no more
 * pages than the reserve of the disk allows; what is left over leaves with later groups. */
enum { STALE_COMMITS = 64 };

static void drop_stale(struct file_backing *file)
{
    struct group none = {0};
    if (file->has_lost_stale)
        return; /* they are known again when the next group has failed */
    enum err error = file_commit_begin_run(file);
    for (int i = 0; i < STALE_COMMITS && error == ERR_OK && file_commit_has_run(file); i++)
        error = file_commit_group(file, &none);
    file->has_lost_stale = error != ERR_OK;
}

static enum err file_take_room(struct backing *backing, uint64_t more_bytes, uint64_t event_bytes,
                               char *why)
{
    struct file_backing *file = file_of(backing);
    uint64_t used_bytes = file_lmdb_used_bytes(file->lmdb);
    uint64_t other_bytes =
        file->stale.others.bytes + file->stale.events.bytes + backing->event_bytes;
    uint64_t kept_bytes = used_bytes > other_bytes ? used_bytes - other_bytes : 0;
    if (more_bytes != 0 && file->max_bytes != 0 && kept_bytes + more_bytes > file->max_bytes)
        return ERR_FULL;
    struct file_extent extent = file_lmdb_extent(file->lmdb);
    file->backing.full_changes = file_disk_full_changes(extent);
    more_bytes += event_bytes;
    enum err error = file_disk_take(&file->disk, extent, more_bytes, why);
    file->is_tight = error != ERR_OK;
    if (error == ERR_OK || !file_commit_has_stale(file))
        return error;
    drop_stale(file);
    error = file_disk_take(&file->disk, file_lmdb_extent(file->lmdb), more_bytes, why);
    file->is_tight = error != ERR_OK;
    return error;
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
    /* A store that waits for it reads it again each second. */
    static struct log_limit records = LOG_LIMIT(60 * 1000);
    struct span of_key = {(const char *)&key, sizeof key};
    log_limited(&records, of_key, LOG_ERROR, "a record of the store cannot be read",
                LOG_INT("key", key),
                LOG_TEXT("why", error == ERR_OK ? "it is of another kind" : detail));
    return ERR_STORE_UNAVAILABLE;
}

static enum err read_note(const struct file_record *record, struct span data,
                          struct notification **ret_note)
{
    struct payload *payload = payload_new_keyed(data, record->key);
    if (payload == NULL)
        return ERR_NO_MEMORY;
    struct notification *note =
        notification_new(payload, record->epoch, record->seq, record->time_ms, record->expires_ms);
    payload_unref(payload);
    if (note == NULL)
        return ERR_NO_MEMORY;
    note->is_replay = true;
    *ret_note = note;
    return ERR_OK;
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
    (void)inbox;
    return read_note(&record, holder.data, ret_note);
}

static enum err file_read_event(struct backing *backing, const struct group *group,
                                const struct partition *partition, uint64_t seq,
                                struct notification **ret_note)
{
    uint64_t key = partition_at(partition, seq)->key;
    struct notification *present = find_in_group(group, key);
    if (present != NULL) {
        *ret_note = notification_ref(present);
        return ERR_OK;
    }
    struct file_record record;
    enum err error = read_record(file_of(backing), key, FILE_RECORD_EVENT, &record);
    return error == ERR_OK ? read_note(&record, record.data, ret_note) : error;
}

/* ---- writing ---- */

/* LMDB says "Input/output error" whenever less was written than it wanted: the disk knows better.
 */
static void explain_write_error(struct file_backing *file, enum err error, char *why)
{
    if (error != ERR_NO_MEMORY && file_lock_probe(file->path, why, STORE_WHY_MAX_BYTES) != ERR_OK)
        return;
    snprintf(why, STORE_WHY_MAX_BYTES, "%.200s cannot be written: %s; make room or repair the disk",
             file->path, error == ERR_NO_MEMORY ? error_title(error) : file_lmdb_why(file->lmdb));
}

static enum err file_commit(struct backing *backing, struct group *group, char *why)
{
    struct file_backing *file = file_of(backing);
    if (file_disk_check(&file->disk, why) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    backing->wants_commit = false;
    if (!file->is_tight && file->lmdb != NULL)
        file_disk_lengthen(&file->disk, file_lmdb_extent(file->lmdb));
    enum err error = file->has_lost_stale ? ERR_STORE_UNAVAILABLE : file_commit_group(file, group);
    if (error == ERR_OK)
        return ERR_OK;
    explain_write_error(file, error, why);
    file->has_failed = true;
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    return ERR_STORE_UNAVAILABLE;
}

/* What is stale leaves within some seconds also where nothing is pushed. */
enum { STALE_MAX_QUIET_S = 10 };

static enum err file_check_disk(struct backing *backing, char *why)
{
    struct file_backing *file = file_of(backing);
    enum err error = file_disk_check(&file->disk, why);
    if (error != ERR_OK)
        return error;
    if (++file->n_quiet_s >= STALE_MAX_QUIET_S && !file_commit_has_run(file) &&
        file_commit_begin_run(file) != ERR_OK)
        return ERR_OK; /* it is tried again */
    backing->wants_commit = file_commit_has_run(file);
    return ERR_OK;
}

/* ---- the probe: is there room again? ---- */

static enum err write_probe(void *owner, struct file_lmdb *lmdb)
{
    struct file_backing *file = owner;
    struct file_record record = {.kind = FILE_RECORD_PROBE};
    enum err error = file_commit_record(lmdb, file->next_key, &record);
    if (error == ERR_OK && file->probe_key != 0)
        error = file_lmdb_delete(lmdb, file->probe_key);
    return error;
}

/* After a failure: first whether the disk has room for more than a group needs at least, then
 * whether LMDB commits. A commit of one small record may find a free page in the file and say
 * nothing about the next. A full disk is no obstacle where the reserve is. */
static enum err probe_disk(struct file_backing *file, char *why)
{
    enum err error = file_lock_probe(file->path, why, STORE_WHY_MAX_BYTES);
    if (error != ERR_OK && (error != ERR_FULL || file->disk.cannot_take_ahead))
        return ERR_STORE_UNAVAILABLE;
    error = file_lmdb_write(file->lmdb, write_probe, file);
    if (error == ERR_OK) {
        file->probe_key = file->next_key++;
        file->has_failed = false;
        return ERR_OK;
    }
    snprintf(why, STORE_WHY_MAX_BYTES, "%.200s cannot be written: %s", file->path,
             file_lmdb_why(file->lmdb));
    return ERR_STORE_UNAVAILABLE;
}

static enum err file_probe(struct backing *backing, char *why)
{
    struct file_backing *file = file_of(backing);
    enum err error = file_disk_check(&file->disk, why);
    if (error == ERR_OK && file->has_failed)
        error = probe_disk(file, why);
    if (error != ERR_OK)
        return error;
    return file_take_room(backing, FILE_LOCK_PROBE_BYTES, 0, why) == ERR_STORE_UNAVAILABLE
               ? ERR_FULL
               : ERR_OK;
}

/* ---- opening the records, and again after a failure ---- */

/* What is open after a commit that did not begin stays open: it may stand under no name now. */
static enum err open_records(struct file_backing *file, char *why)
{
    char why_lmdb[STORE_WHY_MAX_BYTES / 2];
    if (file->lmdb != NULL)
        return ERR_OK;
    if (file_disk_check(&file->disk, why) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (file_lmdb_open(file->path, &file->lmdb, why_lmdb, sizeof why_lmdb) != ERR_OK) {
        snprintf(why, STORE_WHY_MAX_BYTES, "%.130s cannot be opened: %.140s", file->path, why_lmdb);
        return ERR_STORE_UNAVAILABLE;
    }
    if (file_disk_open(&file->disk, file_lmdb_fd(file->lmdb)) == ERR_OK)
        return ERR_OK;
    snprintf(why, STORE_WHY_MAX_BYTES, "%.130s cannot be opened: too few descriptors", file->path);
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    return ERR_STORE_UNAVAILABLE;
}

static void clear_stale(struct file_backing *file)
{
    file_stale_clear(&file->stale.others);
    file_stale_clear(&file->stale.events);
}

static enum err file_rebuild(struct backing *backing, struct local_index *index, char *why)
{
    struct file_backing *file = file_of(backing);
    char why_lmdb[STORE_WHY_MAX_BYTES / 2];
    if (open_records(file, why) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    file_shared_clear(&file->shared);
    clear_stale(file);
    struct file_keys keys = {0};
    if (file_scan(file->lmdb, backing, index, &file->shared, &file->stale, &keys, why_lmdb,
                  sizeof why_lmdb) == ERR_OK) {
        file->has_lost_stale = false;
        file->next_key = keys.next;
        file->probe_key = keys.probe;
        backing->event_bytes = partitions_bytes(index->events, GROUP_PUT_OVERHEAD_BYTES);
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

static void file_let_go(struct backing *backing)
{
    struct file_backing *file = file_of(backing);
    file_lmdb_close(file->lmdb);
    file->lmdb = NULL;
    file_disk_close(&file->disk);
}

static int file_lock_fd(const struct backing *backing)
{
    return ((const struct file_backing *)(const void *)backing)->disk.lock_fd;
}

static void file_close(struct backing *backing, struct local_index *index)
{
    (void)index;
    struct file_backing *file = file_of(backing);
    file_let_go(backing);
    file_shared_clear(&file->shared);
    clear_stale(file);
    free(file->drops);
    file_lock_release(file->disk.lock_fd);
    free(file->path);
    free(file);
}

static const struct backing_ops file_ops = {
    .kind = "file",
    .note_key = file_note_key,
    .payload_key = file_next_key,
    .take_room = file_take_room,
    .read = file_read,
    .read_event = file_read_event,
    .end_turn = file_end_turn,
    .commit = file_commit,
    .rebuild = file_rebuild,
    .check = file_check_disk,
    .probe = file_probe,
    .let_go = file_let_go,
    .lock_fd = file_lock_fd,
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
    int lock_fd;
    error = config->is_awaited ? file_lock_share(path, config->lock_fd, &lock_fd, why, why_cap)
                               : file_lock_take(path, &lock_fd, why, why_cap);
    if (error != ERR_OK)
        goto undo;
    file->backing.ops = &file_ops;
    file->path = copy;
    file_disk_begin(&file->disk, copy, lock_fd);
    file->next_key = 1;
    file->max_bytes = config->max_bytes;
    *ret_file = file;
    return ERR_OK;
undo:
    free(copy);
    free(file);
    return ERR_STORE_UNAVAILABLE;
}

/* A child process reads the file first; the records are then read by this one. */
static enum err read_records(struct file_backing *file, struct local_index *index, char *why,
                             size_t why_cap)
{
    char why_scan[STORE_WHY_MAX_BYTES] = "";
    enum err error = file_check(file->path, why_scan, sizeof why_scan);
    if (error == ERR_OK)
        error = file_rebuild(&file->backing, index, why_scan);
    if (error == ERR_OK)
        file_lock_sync(file->path);
    else
        snprintf(why, why_cap, "%s", why_scan);
    return error;
}

/* What is awaited was read by the process that has it, and is opened when that one has let it go.
 */
static enum err open_with(const struct store_config *config, const char *path,
                          const struct store_clock *clock, struct store **ret_store, char *why,
                          size_t why_cap)
{
    struct file_backing *file;
    struct local_index index;
    if (file_new(config, path, &file, why, why_cap) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_index_new(&index);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "%s", error_title(error));
        file_close(&file->backing, NULL);
        return ERR_STORE_UNAVAILABLE;
    }
    if (!config->is_awaited && read_records(file, &index, why, why_cap) != ERR_OK) {
        local_index_free(&index);
        file_close(&file->backing, NULL);
        return ERR_STORE_UNAVAILABLE;
    }
    error = store_local_open(config, clock, &file->backing, index, ret_store);
    if (error == ERR_OK)
        return ERR_OK;
    snprintf(why, why_cap, "the store's thread cannot be started: %s", error_title(error));
    return ERR_STORE_UNAVAILABLE;
}

enum err store_file_open(const struct store_config *config, const char *path,
                         struct store **ret_store, char *why, size_t why_cap)
{
    return open_with(config, path, NULL, ret_store, why, why_cap);
}

enum err store_file_open_unthreaded(const struct store_config *config, const char *path,
                                    struct store_clock clock, struct store **ret_store, char *why,
                                    size_t why_cap)
{
    return open_with(config, path, &clock, ret_store, why, why_cap);
}

static enum err name_lock(const struct stat *lock, struct buf *out)
{
    return buf_printf(out, "file %ju %ju", (uintmax_t)lock->st_dev, (uintmax_t)lock->st_ino);
}

/* A directory may be reached by several paths, and by a relative one from several places. */
enum err store_file_name_place(const char *path, struct buf *out)
{
    struct stat lock;
    enum err error = file_lock_find(path, &lock);
    return error == ERR_OK ? name_lock(&lock, out) : error;
}

enum err store_file_name_lock(int lock_fd, struct buf *out)
{
    struct stat lock;
    return fstat(lock_fd, &lock) == 0 ? name_lock(&lock, out) : ERR_SYSTEM;
}
