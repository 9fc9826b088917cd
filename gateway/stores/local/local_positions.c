/* Positions: what an acknowledgement moves, and what is freed when devices are forgotten.
 *
 * Without devices the shared position is `acked` itself. With devices it is kept in their list, and
 * `acked` follows the lowest position that counts. */
#include "gateway/stores/local/local_positions.h"

#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_events.h"

/* What one acknowledgement would do. */
struct advance {
    struct device *device; /* NULL: the shared position, or a device that is not known */
    bool is_shared;
    bool is_moved;  /* the position */
    bool is_seen;   /* the device, the first time today */
    bool is_let_go; /* `acked` rises because the shared position counts no more */
    bool is_written;
    uint64_t written;
};

static struct advance advance_of(const struct inbox *inbox, const struct store_ack *ack,
                                 uint16_t today)
{
    struct devices *devices = inbox_devices(inbox);
    struct advance advance = {.is_shared = ack->device.len == 0};
    if (!advance.is_shared)
        advance.device = devices_find(devices, ack->device);
    if (advance.device != NULL) {
        advance.is_moved = ack->seq > advance.device->position;
        advance.is_seen = advance.device->day != today;
    } else if (advance.is_shared) {
        advance.is_moved = ack->seq > (devices == NULL ? inbox->acked : devices->shared);
    }
    advance.is_let_go = devices != NULL && devices_lowest(devices, ack->is_held) > inbox->acked;
    advance.written = ack->written < inbox->head ? ack->written : inbox->head;
    if (advance.written < ack->seq)
        advance.written = ack->seq;
    advance.is_written = advance.written > inbox_written(inbox);
    return advance;
}

static enum err follow_devices(struct local_state *state, struct inbox *inbox)
{
    struct devices *devices = inbox_devices(inbox);
    enum err error = local_advance(state, inbox, devices_lowest(devices, devices->is_held));
    if (error == ERR_OK && devices->n == 0)
        inbox_drop_devices(inbox);
    return error;
}

/* Room in the group is reserved for all entries. */
static enum err apply_advance(struct local_state *state, struct inbox *inbox,
                              const struct store_ack *ack, const struct advance *advance,
                              uint16_t today)
{
    struct devices *devices = inbox_devices(inbox);
    inbox_set_written(inbox, advance->written);
    group_write_user(&state->group, inbox);
    inbox->sign_day = today;
    if (devices == NULL)
        return advance->is_shared ? local_advance(state, inbox, ack->seq) : ERR_OK;
    if (advance->device != NULL) {
        struct device *device = devices_see(devices, advance->device, today);
        if (advance->is_moved)
            device->position = ack->seq;
    } else if (advance->is_shared) {
        devices_raise_shared(devices, ack->seq);
    }
    return follow_devices(state, inbox);
}

void local_apply_ack(struct local_state *state, struct store_ack *ack)
{
    ack->error = ERR_STORE_UNAVAILABLE;
    if (!state->is_readable)
        return;
    struct inbox *inbox = inbox_find(state->index.users, ack->user_id);
    struct partition *partition = inbox == NULL ? local_partition_of(state, ack->user_id) : NULL;
    if (partition != NULL) {
        local_ack_partition(state, ack, partition);
        return;
    }
    if (inbox == NULL || !epoch_equal(inbox->epoch, ack->epoch) || ack->seq > inbox->head) {
        ack->error = ERR_STALE_EPOCH;
        return;
    }
    uint16_t today = local_day_of(local_now_ms(state));
    struct devices *devices = inbox_devices(inbox);
    struct advance advance = advance_of(inbox, ack, today);
    if (devices != NULL)
        devices->is_held = ack->is_held;
    if (!advance.is_moved && !advance.is_seen && !advance.is_let_go && !advance.is_written) {
        ack->error = ERR_OK;
        return;
    }
    if (state->is_up && group_reserve(&state->group, 0, inbox_count(inbox)) == ERR_OK)
        ack->error = apply_advance(state, inbox, ack, &advance, today);
}

bool local_has_stale_devices(const struct inbox *inbox, uint16_t today)
{
    const struct devices *devices = inbox_devices(inbox);
    return devices != NULL && devices->n > 0 && today > devices->list[0].day + STORE_FORGET_DAYS;
}

void local_forget_devices(struct local_state *state, struct inbox *inbox, uint16_t today)
{
    while (local_has_stale_devices(inbox, today))
        devices_drop_oldest(inbox_devices(inbox));
    group_write_user(&state->group, inbox);
    if (follow_devices(state, inbox) != ERR_OK)
        return; /* the next acknowledgement moves it */
}
