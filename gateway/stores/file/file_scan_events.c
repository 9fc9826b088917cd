/* Each record of a partition says up to which number events have left then, so those that are stale
 * are found again: they go from the index to the list of what is stale. Some have left the file
 * already, always the lowest first. So a number that is higher than the next one says that all
 * below it had left, which a later record must say as well: if none does, an event is missing. */
#include "gateway/stores/file/file_scan_events.h"

#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

#include <stdlib.h>

static enum err make_stale(struct file_scan_events *scan, struct partition *partition)
{
    struct partition_entry entry = partition_drop(partition, GAP_NONE);
    return file_stale_add(&scan->stale->events, entry.key, 0, entry.bytes);
}

/* All up to this number have left. */
static enum err drop_left(struct file_scan_events *scan, struct partition *partition, uint64_t left)
{
    enum err error = ERR_OK;
    while (error == ERR_OK && partition->n > 0 && partition_left(partition) < left)
        error = make_stale(scan, partition);
    return error;
}

/* The numbers go on at one that is higher than the next. */
static enum err skip_to(struct file_scan_events *scan, struct partition *partition, uint64_t head)
{
    enum err error = ERR_OK;
    if (partition->head == head)
        return ERR_OK;
    while (error == ERR_OK && partition->n > 0)
        error = make_stale(scan, partition);
    partition->head = head;
    return error;
}

static enum err scan_event(struct file_scan_events *scan, struct partition *partition, uint64_t key,
                           const struct file_record *record)
{
    enum err error = skip_to(scan, partition, record->seq - 1);
    if (error == ERR_OK)
        error = partition_reserve(partition, 1);
    if (error != ERR_OK)
        return error;
    partition_push(partition,
                   (struct partition_entry){key, record->time_ms, (uint32_t)record->data.len});
    uint64_t *left = &scan->left[partition->number];
    if (record->left <= *left)
        return ERR_OK;
    partition_add_gap(partition, *left + 1, record->left, GAP_OVERFLOW);
    *left = record->left;
    return drop_left(scan, partition, record->left);
}

static enum err set_readers(struct partition *partition, const struct file_record *record)
{
    struct gaps *gaps = NULL;
    struct consumers *consumers = NULL;
    enum err error = gaps_read(record->gaps, &gaps);
    if (error == ERR_OK && gaps != NULL && gaps->ranges[gaps->n - 1].to > record->left)
        error = ERR_INVALID_FIELD;
    if (error == ERR_OK)
        error = consumers_read(record->devices, &consumers);
    if (error != ERR_OK) {
        free(gaps);
        return error;
    }
    free(partition->gaps);
    free(partition->consumers);
    partition->gaps = gaps;
    partition->consumers = consumers;
    return ERR_OK;
}

static enum err scan_partition(struct file_scan_events *scan, struct partition *partition,
                               uint64_t key, const struct file_record *record,
                               const char **ret_detail)
{
    *ret_detail = "its causes are malformed";
    enum err error = set_readers(partition, record);
    if (error == ERR_OK && partition->record_key != 0)
        error = file_stale_add(&scan->stale->others, partition->record_key, 0, 0);
    if (error == ERR_OK)
        error = skip_to(scan, partition, record->seq);
    if (error != ERR_OK)
        return error;
    partition->record_key = key;
    partition->acked = record->acked;
    scan->left[partition->number] = record->left;
    return drop_left(scan, partition, record->left);
}

enum err file_scan_event(struct file_scan_events *scan, uint64_t key,
                         const struct file_record *record, const char **ret_detail)
{
    unsigned number = 0;
    bool is_event = record->kind == FILE_RECORD_EVENT;
    *ret_detail = "its partition is none";
    if (!store_is_partition_user(record->user_id, &number))
        return ERR_INVALID_FIELD;
    struct partition *partition = &scan->partitions->list[number];
    *ret_detail = "its number is not above the one before it";
    if (record->seq < partition->head + is_event)
        return ERR_INVALID_FIELD;
    *ret_detail = "its position is below the one before it";
    if (record->left < scan->left[number] || record->acked < (is_event ? 0 : partition->acked))
        return ERR_INVALID_FIELD;
    partition->epoch = record->epoch;
    return is_event ? scan_event(scan, partition, key, record)
                    : scan_partition(scan, partition, key, record, ret_detail);
}

/* ---- who is online ---- */

/* NULL: no memory. */
static struct present *find_present(struct presences *presences, struct span user_id)
{
    struct present *present = presences_find(presences, user_id);
    if (present != NULL || presences_reserve(presences, 1) != ERR_OK)
        return present;
    present = present_new(user_id);
    if (present != NULL)
        presences_add(presences, present);
    return present;
}

static enum err set_present(struct presences *presences, struct present *present,
                            const struct file_record *record)
{
    present_leave_all(presences, present);
    if (record->devices.len > 0)
        return present_read_nodes(presences, present, record->devices);
    present->last_seen_ms = record->time_ms;
    present->cause = record->cause;
    present->due.at_ms = record->expires_ms;
    due_heap_add(&presences->due, &present->due);
    return ERR_OK;
}

/* The last word of a user: it is stale, and leaves after what was said before it. */
static enum err forget_present(struct file_scan_events *scan, struct presences *presences,
                               uint64_t key, struct span user_id)
{
    struct present *present = presences_find(presences, user_id);
    enum err error = ERR_OK;
    if (present != NULL) {
        error = file_stale_add(&scan->stale->others, present->record_key, 0, 0);
        presences_remove(presences, present);
        free(present);
    }
    return error == ERR_OK ? file_stale_add(&scan->stale->others, key, 0, 0) : error;
}

enum err file_scan_presence(struct file_scan_events *scan, uint64_t key,
                            const struct file_record *record, const char **ret_detail)
{
    struct partition *partition = &scan->partitions->list[store_partition_of(record->user_id)];
    if (partition->presences == NULL && presences_new(&partition->presences) != ERR_OK)
        return ERR_NO_MEMORY;
    struct presences *presences = partition->presences;
    if (record->devices.len == 0 && record->expires_ms == 0)
        return forget_present(scan, presences, key, record->user_id);
    struct present *present = find_present(presences, record->user_id);
    if (present == NULL)
        return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    if (present->record_key != 0)
        error = file_stale_add(&scan->stale->others, present->record_key, 0, 0);
    present->record_key = key;
    if (error == ERR_OK)
        error = set_present(presences, present, record);
    *ret_detail = "its nodes are too many";
    return error == ERR_FULL ? ERR_INVALID_FIELD : error;
}

enum err file_scan_alert(struct file_scan_events *scan, uint64_t key,
                         const struct file_record *record)
{
    struct partition *partition = &scan->partitions->list[store_partition_of(record->user_id)];
    if (partition->alerts == NULL && pending_alerts_new(&partition->alerts) != ERR_OK)
        return ERR_NO_MEMORY;
    struct alert *alert = alert_new(record->user_id);
    if (alert == NULL || pending_alerts_reserve(partition->alerts) != ERR_OK) {
        free(alert);
        return ERR_NO_MEMORY;
    }
    alert->record_key = key;
    alert->epoch = record->epoch;
    alert->seq = record->seq;
    alert->pushed_ms = record->time_ms;
    alert->due.at_ms = record->expires_ms;
    pending_alerts_add(partition->alerts, alert);
    return ERR_OK;
}

enum err file_scan_end_events(const struct file_scan_events *scan, const char **ret_detail)
{
    *ret_detail = "events before it are missing";
    for (int i = 0; i < STORE_PARTITIONS; i++)
        if (partition_left(&scan->partitions->list[i]) > scan->left[i])
            return ERR_INVALID_FIELD;
    return ERR_OK;
}
