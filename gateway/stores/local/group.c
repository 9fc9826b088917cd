/* Each list grows before it is needed: what is added afterwards has room. Lists that most groups
 * leave empty (presences) have a reservation of their own, so that the others do not pay for them.
 * A reset keeps the room, so after some groups of a size nothing is allocated any more. */
#include "gateway/stores/local/group.h"

#include "gateway/stores/local/partition.h"
#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

#include <stdlib.h>

static enum err reserve_list(void **list, size_t *cap, size_t needed, size_t item_bytes)
{
    if (needed <= *cap)
        return ERR_OK;
    size_t more_cap = *cap < 64 ? 64 : *cap * 2;
    if (more_cap < needed)
        more_cap = needed;
    void *more = realloc(*list, more_cap * item_bytes);
    if (more == NULL)
        return ERR_NO_MEMORY;
    *list = more;
    *cap = more_cap;
    return ERR_OK;
}

enum err group_reserve(struct group *group, size_t n_puts, size_t n_dels)
{
    void *puts = group->puts;
    void *dels = group->dels;
    void *users = group->users;
    void *keys = group->keys;
    void *blocks = group->blocks;
    void *withdrawals = group->withdrawals;
    enum err error =
        reserve_list(&puts, &group->cap_puts, group->n_puts + n_puts, sizeof *group->puts);
    if (error == ERR_OK)
        error = reserve_list(&dels, &group->cap_dels, group->n_dels + n_dels, sizeof *group->dels);
    if (error == ERR_OK)
        error = reserve_list(&users, &group->cap_users, group->n_users + 1, sizeof *group->users);
    if (error == ERR_OK)
        error = reserve_list(&keys, &group->cap_keys, group->n_keys + 1, sizeof *group->keys);
    if (error == ERR_OK)
        error =
            reserve_list(&blocks, &group->cap_blocks, group->n_blocks + 1, sizeof *group->blocks);
    if (error == ERR_OK)
        error = reserve_list(&withdrawals, &group->cap_withdrawals, group->n_withdrawals + 1,
                             sizeof *group->withdrawals);
    group->puts = puts;
    group->dels = dels;
    group->users = users;
    group->keys = keys;
    group->blocks = blocks;
    group->withdrawals = withdrawals;
    return error;
}

void group_put(struct group *group, struct group_put put)
{
    uint64_t payload_key = put.key - put.distance;
    bool is_shared = put.distance != 0;
    put.is_first = is_shared && (group->shared_payload == NULL || payload_key != group->shared_key);
    group->bytes += GROUP_PUT_OVERHEAD_BYTES;
    if (!is_shared || put.is_first)
        group->bytes += put.note->payload->len;
    if (put.is_first) {
        group->shared_key = payload_key;
        group->shared_payload = put.note->payload;
    }
    group->puts[group->n_puts++] = put;
}

void group_put_event(struct group *group, struct group_put put)
{
    put.is_event = true;
    group->event_bytes += put.note->payload->len + GROUP_PUT_OVERHEAD_BYTES;
    group->counts.n_events++;
    group->puts[group->n_puts++] = put;
}

void group_del(struct group *group, const struct waiting_entry *entry)
{
    group->dels[group->n_dels++] =
        (struct group_del){.key = entry->key,
                           .distance = entry->distance,
                           .bytes = entry->bytes + GROUP_PUT_OVERHEAD_BYTES,
                           .is_note = true};
}

void group_del_acked(struct group *group, const struct waiting_entry *entry)
{
    group_del(group, entry);
    group->dels[group->n_dels - 1].may_stay = true;
}

void group_del_event(struct group *group, uint64_t key, uint32_t bytes)
{
    group->dels[group->n_dels++] = (struct group_del){.key = key,
                                                      .bytes = bytes + GROUP_PUT_OVERHEAD_BYTES,
                                                      .is_note = true,
                                                      .is_event = true,
                                                      .may_stay = true};
    group->n_event_dels++;
}

void group_del_user(struct group *group, const struct inbox *inbox)
{
    if (inbox->record_key != 0)
        group->dels[group->n_dels++] =
            (struct group_del){.key = inbox->record_key, .is_user = true};
}

void group_del_key(struct group *group, const struct idempotency *entry)
{
    group->dels[group->n_dels++] =
        (struct group_del){.key = entry->record_key, .bytes = GROUP_KEY_BYTES};
}

void group_del_block(struct group *group, const struct expiring *entry)
{
    if (entry->record_key != 0)
        group->dels[group->n_dels++] = (struct group_del){.key = entry->record_key};
}

void group_del_alert(struct group *group, const struct alert *alert)
{
    if (alert->record_key != 0)
        group->dels[group->n_dels++] = (struct group_del){.key = alert->record_key};
}

void group_write_user(struct group *group, struct inbox *inbox)
{
    if (inbox->is_dirty)
        return;
    inbox->is_dirty = true;
    group->users[group->n_users++] = (struct group_user){.inbox = inbox};
}

void group_write_partition(struct group *group, struct partition *partition)
{
    if (partition->is_dirty)
        return;
    partition->is_dirty = true;
    group->partitions[group->n_partitions++] = partition;
}

enum err group_reserve_presents(struct group *group, size_t n)
{
    void *presents = group->presents;
    enum err error = reserve_list(&presents, &group->cap_presents, group->n_presents + n,
                                  sizeof *group->presents);
    group->presents = presents;
    return error;
}

void group_write_present(struct group *group, const struct presences *presences,
                         struct present *present)
{
    if (present->is_dirty)
        return;
    present->is_dirty = true;
    group->event_bytes += GROUP_PUT_OVERHEAD_BYTES;
    group->presents[group->n_presents++] =
        (struct group_present){.presences = presences, .present = present};
}

enum err group_reserve_alerts(struct group *group, size_t n)
{
    void *alerts = group->alerts;
    enum err error =
        reserve_list(&alerts, &group->cap_alerts, group->n_alerts + n, sizeof *group->alerts);
    group->alerts = alerts;
    return error;
}

void group_write_alert(struct group *group, struct alert *alert)
{
    alert->is_dirty = true;
    group->event_bytes += GROUP_PUT_OVERHEAD_BYTES;
    group->alerts[group->n_alerts++] = (struct group_alert){alert};
}

void group_write_key(struct group *group, struct group_key key)
{
    group->bytes += GROUP_KEY_BYTES;
    group->keys[group->n_keys++] = key;
}

void group_write_block(struct group *group, struct expiring *entry)
{
    if (entry->is_dirty)
        return;
    entry->is_dirty = true;
    group->blocks[group->n_blocks++] = (struct group_block){.entry = entry};
}

void group_withdraw(struct group *group, struct span user_id, struct withdrawal *withdrawal)
{
    group->withdrawals[group->n_withdrawals++] =
        (struct group_withdrawal){user_id, withdrawal, group->n_puts};
}

void group_count_left(struct group *group, enum gap_cause cause)
{
    struct group_counts *counts = &group->counts;
    counts->n_expired += cause == GAP_EXPIRED;
    counts->n_overflow += cause == GAP_OVERFLOW;
    counts->n_cancelled += cause == GAP_CANCELLED;
    counts->n_collapsed += cause == GAP_COLLAPSED;
}

bool group_is_empty(const struct group *group)
{
    return group->n_puts == 0 && group->n_dels == 0 && group->n_users == 0 && group->n_keys == 0 &&
           group->n_blocks == 0 && group->n_partitions + group->n_presents + group->n_alerts == 0;
}

void group_reset(struct group *group)
{
    for (size_t i = 0; i < group->n_puts; i++)
        notification_unref(group->puts[i].note);
    for (size_t i = 0; i < group->n_withdrawals; i++)
        withdrawal_unref(group->withdrawals[i].withdrawal);
    for (size_t i = 0; i < group->n_presents; i++)
        if (group->presents[i].present->is_gone)
            free(group->presents[i].present);
    group->n_puts = 0;
    group->n_dels = 0;
    group->n_event_dels = 0;
    group->n_users = 0;
    group->n_keys = 0;
    group->n_blocks = 0;
    group->n_withdrawals = 0;
    for (size_t i = 0; i < group->n_alerts; i++)
        if (group->alerts[i].alert->is_gone)
            free(group->alerts[i].alert);
    group->n_partitions = 0;
    group->n_alerts = 0;
    group->n_presents = 0;
    group->bytes = 0;
    group->event_bytes = 0;
    group->shared_key = 0;
    group->shared_payload = NULL;
    group->counts = (struct group_counts){0};
}

void group_fini(struct group *group)
{
    group_reset(group);
    free(group->puts);
    free(group->dels);
    free(group->users);
    free(group->keys);
    free(group->blocks);
    free(group->withdrawals);
    free(group->presents);
    free(group->alerts);
}
