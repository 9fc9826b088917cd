/* An alert is written in the transaction of its push, so it is pending for every push that asked
 * for one and was answered, and for no other. It ends in the transaction of its event. */
#include "gateway/stores/local/local_alerts.h"

#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_events.h"

#include <stdlib.h>

static struct partition *partition_of(const struct local_state *state, struct span user_id)
{
    return &state->index.events->list[store_partition_of(user_id)];
}

enum err local_prepare_alert(struct local_state *state, struct span user_id,
                             struct alert **ret_alert)
{
    struct partition *partition = partition_of(state, user_id);
    if (pending_alerts_count(partition->alerts) >= state->alerts_max ||
        local_is_partition_filling(state, partition))
        return ERR_FULL;
    if (partition->alerts == NULL && pending_alerts_new(&partition->alerts) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (local_take_event_room(state, GROUP_PUT_OVERHEAD_BYTES) != ERR_OK ||
        pending_alerts_reserve(partition->alerts) != ERR_OK ||
        group_reserve_alerts(&state->group, 1) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    *ret_alert = alert_new(user_id);
    return *ret_alert == NULL ? ERR_STORE_UNAVAILABLE : ERR_OK;
}

void local_add_alert(struct local_state *state, struct alert *alert,
                     const struct store_target *target, uint32_t after_s)
{
    struct partition *partition = partition_of(state, target->user_id);
    alert->epoch = target->epoch;
    alert->seq = target->seq;
    alert->pushed_ms = target->time_ms;
    alert->due.at_ms = target->time_ms + (int64_t)after_s * 1000;
    pending_alerts_add(partition->alerts, alert);
    group_write_alert(&state->group, alert);
    state->backing->event_bytes += GROUP_PUT_OVERHEAD_BYTES;
}

enum err local_repeat_alert(struct local_state *state, const struct store_target *target,
                            uint32_t after_s)
{
    const struct pending_alerts *alerts = partition_of(state, target->user_id)->alerts;
    struct alert *alert;
    if (target->time_ms + (int64_t)after_s * 1000 <= local_now_ms(state) ||
        (alerts != NULL &&
         pending_alerts_find(alerts, target->user_id, target->epoch, target->seq) != NULL))
        return ERR_OK;
    if (!local_can_add(state))
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_prepare_alert(state, target->user_id, &alert);
    if (error == ERR_OK)
        local_add_alert(state, alert, target, after_s);
    return error;
}

/* ---- what is due ---- */

enum err local_show_alerts(struct local_state *state, struct store_serve *serve, int64_t now_ms)
{
    struct pending_alerts *alerts = state->index.events->list[serve->partition].alerts;
    serve->n_pending_alerts = pending_alerts_count(alerts);
    if (serve->n_pending_alerts == 0)
        return ERR_OK;
    serve->alerts = malloc(STORE_SERVE_ALERTS * sizeof *serve->alerts);
    if (serve->alerts == NULL)
        return ERR_NO_MEMORY;
    return pending_alerts_show_due(alerts, now_ms, serve->skip_alerts, serve->alerts,
                                   STORE_SERVE_ALERTS, &serve->n_alerts, &serve->next_alert_ms);
}

/* ---- the end ---- */

/* The event, if one is kept. */
static enum err append_alert(struct local_state *state, struct partition *partition,
                             struct span data)
{
    if (data.len == 0)
        return ERR_OK;
    if (!local_can_add(state) || local_begin_partition(state, partition) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification *note = local_make_event(state, partition, data, local_now_ms(state));
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_reserve_events(state, partition, 1, data.len);
    if (error == ERR_OK)
        local_put_event(state, partition, note);
    else
        notification_unref(note);
    return error;
}

/* One of the present group is in it still, and is not written. */
static void remove_alert(struct local_state *state, struct pending_alerts *alerts,
                         struct alert *alert)
{
    pending_alerts_remove(alerts, alert);
    state->backing->event_bytes -= GROUP_PUT_OVERHEAD_BYTES;
    if (alert->is_dirty) {
        alert->is_gone = true;
        return;
    }
    group_del_alert(&state->group, alert);
    free(alert);
}

static enum err end_alert(struct local_state *state, struct partition *partition,
                          const struct store_alert_end *end)
{
    struct span user_id = {end->alert.user_id, end->alert.user_id_len};
    struct alert *alert = NULL;
    if (partition->alerts != NULL)
        alert = pending_alerts_find(partition->alerts, user_id, end->alert.epoch, end->alert.seq);
    if (alert == NULL)
        return ERR_OK;
    /* the event needs room for as many as leave, and the alert for one more */
    if (group_reserve(&state->group, 1, (size_t)partition->n + 2) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    enum err error = append_alert(state, partition, end->event);
    if (error == ERR_OK)
        remove_alert(state, partition->alerts, alert);
    return error;
}

void local_apply_alert_end(struct local_state *state, struct store_alert_end *end)
{
    end->error = ERR_STORE_UNAVAILABLE;
    if (state->is_up)
        end->error = end_alert(state, &state->index.events->list[end->partition], end);
}
