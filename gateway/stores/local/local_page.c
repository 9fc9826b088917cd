/* A page in three steps: make or renew the user and the device where the contract says so; find
 * where the page begins; read the index from there on, the payloads of what is shown, and the
 * causes of what is not. When a step fails the page shows nothing.
 */
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"
#include "gateway/stores/local/local_events.h"

#include <stdlib.h>

void local_page_fail(struct store_page *page, enum err error)
{
    store_page_clear(page);
    page->blocked_until_ms = 0;
    page->error = error;
}

/* ---- the user ---- */

/* A ninth device pushes out the longest unseen. It begins at `acked`, so `acked` stays. */
static enum err add_device(struct local_state *state, struct inbox *inbox, struct span name,
                           uint16_t today)
{
    struct devices *devices = inbox_devices(inbox);
    if (devices != NULL && devices->n == STORE_MAX_DEVICES) {
        devices_drop_oldest(devices);
        state->group.counts.n_forgotten++;
    } else if (inbox_reserve_device(inbox) != ERR_OK) {
        return ERR_STORE_UNAVAILABLE;
    }
    devices_add(inbox_devices(inbox), name, inbox->acked, today);
    return ERR_OK;
}

/* Finds the user, or makes what the page needs of it. */
static enum err renew_user(struct local_state *state, const struct store_page *page,
                           bool must_reset, bool is_new_device, int64_t now_ms,
                           struct inbox **inbox)
{
    uint16_t today = local_day_of(now_ms);
    if (!local_can_add(state) || group_reserve(&state->group, 0, 0) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    bool is_new = *inbox == NULL;
    if (is_new)
        *inbox = local_add_user(state, page->user_id, now_ms);
    if (*inbox == NULL)
        return ERR_STORE_UNAVAILABLE;
    if (must_reset && local_begin_epoch(state, *inbox) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (is_new_device && add_device(state, *inbox, page->device, today) != ERR_OK) {
        if (is_new)
            inbox_remove(state->index.users, *inbox);
        return ERR_STORE_UNAVAILABLE;
    }
    (*inbox)->sign_day = today;
    group_write_user(&state->group, *inbox);
    return ERR_OK;
}

/* The user that a page is read for; NULL: nothing was ever pushed to this user. A connection alone
 * creates no user: that would cost each one a commit. Signs of life are written once
 * a day, and left out while nothing can be written. */
static enum err find_for_page(struct local_state *state, const struct store_page *page,
                              int64_t now_ms, struct inbox **ret_inbox)
{
    if (!state->is_readable)
        return ERR_STORE_UNAVAILABLE;
    struct inbox *inbox = inbox_find(state->index.users, page->user_id);
    uint16_t today = local_day_of(now_ms);
    bool is_device = page->is_arrival && page->device.len > 0;
    *ret_inbox = NULL;
    if (inbox == NULL && !page->must_begin && !is_device && epoch_is_none(page->known_epoch))
        return ERR_OK;
    struct device *device =
        is_device && inbox != NULL ? devices_find(inbox_devices(inbox), page->device) : NULL;
    bool is_new_day = inbox != NULL && inbox->sign_day != today;
    bool must_reset =
        inbox != NULL && local_has_lost_numbers(inbox, page->known_epoch, page->known_head);
    if (device != NULL) {
        is_new_day = is_new_day || device->day != today;
        devices_see(inbox_devices(inbox), device, local_can_add(state) ? today : device->day);
    }
    bool is_new_device = is_device && device == NULL;
    bool must_write = inbox == NULL || must_reset || is_new_device;
    if (must_write || (is_new_day && local_can_add(state))) {
        enum err error = renew_user(state, page, must_reset, is_new_device, now_ms, &inbox);
        if (error != ERR_OK)
            return error;
    }
    *ret_inbox = inbox;
    return ERR_OK;
}

/* ---- where it begins ---- */

static uint64_t position_of(const struct inbox *inbox, struct span device_name)
{
    struct devices *devices = inbox_devices(inbox);
    if (devices == NULL)
        return inbox->acked;
    if (device_name.len == 0)
        return devices->shared;
    const struct device *device = devices_find(devices, device_name);
    return device == NULL ? inbox->acked : device->position;
}

static void answer_positions(struct store_page *page, const struct inbox *inbox)
{
    page->epoch = inbox == NULL ? (struct epoch){{0}} : inbox->epoch;
    page->head = inbox == NULL ? 0 : inbox->head;
    page->acked = inbox == NULL ? 0 : inbox->acked;
    page->position = inbox == NULL ? 0 : position_of(inbox, page->device);
    page->has_devices = inbox != NULL && inbox_devices(inbox) != NULL;
    page->is_resumed =
        !page->from_acked && page->after <= page->head &&
        (epoch_is_none(page->after_epoch) || epoch_equal(page->after_epoch, page->epoch));
    page->start = page->is_resumed ? page->after : page->position;
    page->last = page->start;
}

/* ---- what it shows ---- */

/* Takes entries from a place on; page->last says how far it came, *ret_n how many entries it
 * covers, those included that have expired. */
static enum err take_entries(struct local_state *state, struct store_page *page,
                             const struct inbox *inbox, size_t place, int64_t now_ms, size_t *ret_n)
{
    const struct waiting *waiting = inbox->waiting;
    uint64_t bytes = 0;
    for (*ret_n = 0; place < waiting_end(waiting); place = waiting_next(waiting, place), ++*ret_n) {
        const struct waiting_entry *entry = &waiting->entries[place];
        if (waiting_expires_ms(entry) > now_ms) {
            bytes += entry->bytes;
            if (page->n_notes == page->max_count || (page->n_notes > 0 && bytes > page->max_bytes))
                return ERR_OK;
            enum err error = local_read_replay(state, inbox, entry, &page->notes[page->n_notes]);
            if (error != ERR_OK)
                return error;
            page->n_notes++;
        }
        page->last = entry->seq;
    }
    page->last = inbox->head;
    return ERR_OK;
}

/* ---- what is missing ---- */

static void add_gap(struct store_page *page, struct gap gap)
{
    struct gap *last = page->n_gaps == 0 ? NULL : &page->gaps[page->n_gaps - 1];
    if (last != NULL && last->to + 1 == gap.from && last->cause == gap.cause)
        last->to = gap.to;
    else
        page->gaps[page->n_gaps++] = gap;
}

/* What has expired and was not swept yet is in the index still, but not in the page: it goes
 * between the ranges of what is in neither. */
static void merge_expired(struct store_page *page, const uint64_t *expired, size_t n_expired,
                          const struct gap *missing, size_t n_missing)
{
    size_t at = 0;
    for (size_t i = 0; i < n_expired; i++) {
        uint64_t seq = expired[i];
        while (at < n_missing && missing[at].from < seq)
            add_gap(page, missing[at++]);
        add_gap(page, (struct gap){seq, seq, GAP_EXPIRED});
    }
    while (at < n_missing)
        add_gap(page, missing[at++]);
}

/* Of the n entries from a place on that the page covers. */
static enum err fill_gaps(struct store_page *page, const struct inbox *inbox, size_t place,
                          size_t n, int64_t now_ms)
{
    const struct waiting *waiting = inbox->waiting;
    struct gap *missing = NULL;
    size_t n_missing = 0;
    size_t n_expired = 0;
    uint64_t *seqs = malloc(2 * (n + 1) * sizeof *seqs);
    if (seqs == NULL)
        return ERR_NO_MEMORY;
    uint64_t *expired = seqs + n + 1;
    for (size_t i = 0; i < n; i++, place = waiting_next(waiting, place)) {
        seqs[i] = waiting->entries[place].seq;
        if (waiting_expires_ms(&waiting->entries[place]) <= now_ms)
            expired[n_expired++] = seqs[i];
    }
    enum err error = gaps_missing(inbox_gaps(inbox), inbox->acked, page->start, page->last, seqs, n,
                                  &missing, &n_missing);
    if (error == ERR_OK && n_missing + n_expired > 0) {
        page->gaps = malloc((n_missing + n_expired) * sizeof *page->gaps);
        if (page->gaps == NULL)
            error = ERR_NO_MEMORY;
        else
            merge_expired(page, expired, n_expired, missing, n_missing);
    }
    free(seqs);
    free(missing);
    return error;
}

/* ---- the whole of it ---- */

static enum err fill_page(struct local_state *state, struct store_page *page,
                          const struct inbox *inbox, int64_t now_ms)
{
    size_t place = waiting_seek(inbox->waiting, page->start);
    size_t n = 0;
    size_t room = place < waiting_end(inbox->waiting) ? inbox_count(inbox) : 0;
    if (room > page->max_count)
        room = page->max_count;
    if (room > 0) {
        page->notes = malloc(room * sizeof(struct notification *));
        if (page->notes == NULL)
            return ERR_NO_MEMORY;
    }
    enum err error = take_entries(state, page, inbox, place, now_ms, &n);
    if (error == ERR_OK && page->wants_gaps && page->last > page->start)
        error = fill_gaps(page, inbox, place, n, now_ms);
    if (error == ERR_OK && page->wants_withdrawn)
        error = gaps_withdrawn(inbox_gaps(inbox), page->withdrawn_after, page->start,
                               &page->withdrawn, &page->n_withdrawn);
    return error;
}

/* Does the page have to make or renew something of the user, or show something? */
static bool is_idle_for_page(const struct local_state *state, const struct store_page *page,
                             const struct inbox *inbox, int64_t now_ms)
{
    if (page->device.len > 0 || page->wants_withdrawn ||
        local_blocked_until(state, page->user_id, now_ms) != 0)
        return false;
    if (inbox == NULL)
        return !page->must_begin && epoch_is_none(page->known_epoch) &&
               local_partition_of(state, page->user_id) == NULL;
    return inbox_count(inbox) == 0 && inbox->sign_day == local_day_of(now_ms) &&
           !local_has_lost_numbers(inbox, page->known_epoch, page->known_head);
}

bool local_page_at_once(const struct local_state *state, struct store_page *page)
{
    const struct inbox *inbox = inbox_find(state->index.users, page->user_id);
    if (!state->is_readable || !is_idle_for_page(state, page, inbox, local_now_ms(state)))
        return false;
    answer_positions(page, inbox);
    page->last = page->head;
    page->error = ERR_OK;
    return !page->wants_gaps || page->start == page->head;
}

void local_apply_page(struct local_state *state, struct store_page *page)
{
    struct partition *partition = local_partition_of(state, page->user_id);
    if (partition != NULL) {
        local_page_partition(state, page, partition);
        return;
    }
    int64_t now_ms = local_now_ms(state);
    struct inbox *inbox = NULL;
    bool must_tell = state->is_readable && (page->is_arrival || page->tells_block);
    page->blocked_until_ms = must_tell ? local_blocked_until(state, page->user_id, now_ms) : 0;
    page->error = ERR_OK;
    if (page->blocked_until_ms == 0)
        page->error = find_for_page(state, page, now_ms, &inbox);
    answer_positions(page, inbox);
    if (page->error != ERR_OK || inbox == NULL)
        return;
    local_drop_due(state, inbox, now_ms);
    enum err error = fill_page(state, page, inbox, now_ms);
    if (error != ERR_OK)
        local_page_fail(page, error);
}
