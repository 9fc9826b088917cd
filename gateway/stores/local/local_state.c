/* A user's own record (epoch, head, positions, causes) is written only when its notes no longer
 * imply it: when a position moves that no note carries, when something leaves unacknowledged, when
 * an epoch begins, and once a day as a sign of life. */
#include "gateway/stores/local/local_state.h"

enum { DAY_MS = 24 * 3600 * 1000 };

enum err local_index_new(struct local_index *ret_index)
{
    struct local_index index;
    enum err error = inbox_table_new(&index.users);
    if (error != ERR_OK)
        return error;
    error = idempotency_table_new(&index.keys);
    if (error != ERR_OK)
        goto undo_users;
    error = expiring_table_new(STORE_MAX_BLOCKS, &index.blocks);
    if (error != ERR_OK)
        goto undo_keys;
    error = partitions_new(&index.events);
    if (error != ERR_OK)
        goto undo_blocks;
    *ret_index = index;
    return ERR_OK;

undo_blocks:
    expiring_table_free(index.blocks);
undo_keys:
    idempotency_table_free(index.keys);
undo_users:
    inbox_table_free(index.users);
    return error;
}

void local_index_clear(struct local_index *index)
{
    inbox_table_clear(index->users);
    idempotency_table_clear(index->keys);
    expiring_table_clear(index->blocks);
    partitions_clear(index->events);
}

void local_index_free(struct local_index *index)
{
    inbox_table_free(index->users);
    idempotency_table_free(index->keys);
    expiring_table_free(index->blocks);
    partitions_free(index->events);
}

uint16_t local_day_of(int64_t time_ms)
{
    return (uint16_t)(time_ms / DAY_MS);
}

struct inbox *local_add_user(struct local_state *state, struct span user_id, int64_t now_ms)
{
    struct epoch epoch;
    if (epoch_random(&epoch) != ERR_OK)
        return NULL;
    struct inbox *inbox = inbox_add(state->index.users, user_id, epoch);
    if (inbox != NULL)
        inbox->sign_day = local_day_of(now_ms);
    return inbox;
}

bool local_has_lost_numbers(const struct inbox *inbox, struct epoch known_epoch,
                            uint64_t known_head)
{
    return inbox->head < known_head &&
           (epoch_is_none(known_epoch) || epoch_equal(known_epoch, inbox->epoch));
}

enum err local_begin_epoch(struct local_state *state, struct inbox *inbox)
{
    struct epoch epoch;
    const struct waiting *waiting = inbox->waiting;
    if (group_reserve(&state->group, 0, inbox_count(inbox)) != ERR_OK ||
        epoch_random(&epoch) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    for (size_t place = waiting_first(waiting); place < waiting_end(waiting);
         place = waiting_next(waiting, place))
        group_del(&state->group, &waiting->entries[place]);
    inbox_reset(inbox, epoch);
    group_write_user(&state->group, inbox);
    state->group.counts.n_resyncs++;
    return ERR_OK;
}

void local_remove(struct local_state *state, struct inbox *inbox, size_t place,
                  enum gap_cause cause)
{
    const struct waiting_entry *entry = &inbox->waiting->entries[place];
    group_del(&state->group, entry);
    group_count_left(&state->group, cause);
    inbox_add_gap(inbox, entry->seq, cause);
    waiting_drop(&inbox->waiting, place);
    group_write_user(&state->group, inbox);
}

struct leaver {
    struct group *group;
    struct inbox *inbox;
};

static void leave_expired(void *owner, const struct waiting_entry *entry)
{
    struct leaver *leaver = owner;
    group_del(leaver->group, entry);
    group_count_left(leaver->group, GAP_EXPIRED);
    inbox_add_gap(leaver->inbox, entry->seq, GAP_EXPIRED);
}

void local_drop_expired(struct local_state *state, struct inbox *inbox, int64_t now_ms)
{
    struct leaver leaver = {&state->group, inbox};
    if (waiting_drop_expired(&inbox->waiting, now_ms, local_changes_left(state), leave_expired,
                             &leaver) > 0)
        group_write_user(&state->group, inbox);
}

void local_drop_due(struct local_state *state, struct inbox *inbox, int64_t now_ms)
{
    if (state->is_up && waiting_has_expired(inbox->waiting, now_ms) &&
        group_reserve(&state->group, 0, inbox_count(inbox)) == ERR_OK)
        local_drop_expired(state, inbox, now_ms);
}

enum err local_carry(struct local_state *state, struct inbox *inbox, uint64_t acked)
{
    if (acked <= inbox->acked)
        return ERR_OK;
    if (group_reserve(&state->group, 0, inbox_count(inbox)) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    local_drop_expired(state, inbox, local_now_ms(state));
    while (inbox_count(inbox) > 0) {
        size_t oldest = waiting_first(inbox->waiting);
        const struct waiting_entry *entry = &inbox->waiting->entries[oldest];
        if (entry->seq > acked)
            break;
        if (local_changes_left(state) == 0) {
            acked = entry->seq - 1;
            state->is_unfinished = true;
            break;
        }
        group_del_acked(&state->group, entry);
        waiting_drop(&inbox->waiting, oldest);
    }
    if (acked > inbox->acked)
        inbox_set_acked(inbox, acked);
    return ERR_OK;
}

enum err local_advance(struct local_state *state, struct inbox *inbox, uint64_t acked)
{
    bool is_moved = acked > inbox->acked;
    enum err error = local_carry(state, inbox, acked);
    if (is_moved && error == ERR_OK)
        group_write_user(&state->group, inbox);
    return error;
}

/* NULL: nothing of this number waits. */
static const struct waiting_entry *find_entry(const struct inbox *inbox, uint64_t seq)
{
    size_t place = waiting_seek(inbox->waiting, seq - 1);
    if (place == waiting_end(inbox->waiting) || inbox->waiting->entries[place].seq != seq)
        return NULL;
    return &inbox->waiting->entries[place];
}

static void find_present_fate(const struct inbox *inbox, uint64_t seq, int64_t now_ms,
                              struct store_found *found)
{
    const struct waiting_entry *entry = find_entry(inbox, seq);
    found->is_written = seq <= inbox_written(inbox);
    found->fate = FATE_GONE;
    found->cause = gaps_find(inbox_gaps(inbox), seq);
    if (entry != NULL) {
        bool is_pending = waiting_expires_ms(entry) > now_ms;
        found->fate = is_pending ? FATE_PENDING : FATE_GONE;
        found->cause = is_pending ? GAP_NONE : GAP_EXPIRED;
    } else if (found->cause == GAP_NONE && seq <= inbox->acked) {
        found->fate = FATE_DELIVERED;
    } else if (found->cause == GAP_NONE) {
        found->cause = GAP_UNKNOWN;
    }
}

enum err local_find_fate(const struct inbox *inbox, struct epoch epoch, uint64_t seq,
                         int64_t now_ms, struct store_found *ret_found)
{
    if (inbox == NULL)
        return ERR_NOT_FOUND;
    if (!epoch_equal(inbox->epoch, epoch)) {
        *ret_found = (struct store_found){FATE_GONE, GAP_UNKNOWN, false};
        return ERR_OK;
    }
    if (seq == 0 || seq > inbox->head)
        return ERR_NOT_FOUND;
    find_present_fate(inbox, seq, now_ms, ret_found);
    return ERR_OK;
}

enum err local_read_replay(struct local_state *state, const struct inbox *inbox,
                           const struct waiting_entry *entry, struct notification **ret_note)
{
    struct notification *kept;
    enum err error = state->backing->ops->read(state->backing, &state->group, inbox, entry, &kept);
    if (error != ERR_OK)
        return error;
    if (kept->is_replay) {
        *ret_note = kept;
        return ERR_OK;
    }
    struct notification *replay =
        notification_new(kept->payload, kept->epoch, kept->seq, kept->time_ms, kept->expires_ms);
    notification_unref(kept);
    if (replay == NULL)
        return ERR_NO_MEMORY;
    replay->is_replay = true;
    *ret_note = replay;
    return ERR_OK;
}
