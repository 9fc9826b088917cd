#include "gateway/stores/local/local_upgrade.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdio.h>

static void set_tenure(struct local_core *core, enum local_tenure tenure, const char *why)
{
    struct local_state *state = &core->state;
    state->tenure = tenure;
    state->is_up = false;
    state->is_full = false;
    state->is_readable = false;
    core->is_reported_usable = false;
    pthread_mutex_lock(&core->why_lock);
    snprintf(core->why, sizeof core->why, "%s", why);
    pthread_mutex_unlock(&core->why_lock);
}

void local_upgrade_await(struct local_core *core)
{
    set_tenure(core, LOCAL_AWAITED, "the process before this one has not let the store go yet");
}

/* ---- new ---- */

static void say_taken_over(struct local_core *core, int64_t began_us)
{
    struct local_state *state = &core->state;
    core->is_reported_usable = true;
    log_event(LOG_INFO, "the store was taken over", LOG_TEXT("store", state->backing->ops->kind),
              LOG_INT("users", inbox_table_count(state->index.users)),
              LOG_INT("ms", (clock_monotonic_us() - began_us) / 1000),
              LOG_INT("waiting_requests", core->deferred.n));
    if (core->events.on_state != NULL)
        core->events.on_state(core->owner, true);
}

struct store_request *local_upgrade_take_over(struct local_core *core)
{
    struct local_state *state = &core->state;
    char why[STORE_WHY_MAX_BYTES] = "";
    int64_t began_us = clock_monotonic_us();
    enum err error = state->backing->ops->rebuild(state->backing, &state->index, why);
    if (error == ERR_OK) {
        set_tenure(core, LOCAL_HERE, "");
        state->is_readable = true;
        state->is_up = true;
        state->is_full = true; /* until the first turn has asked the backing */
        say_taken_over(core, began_us);
        metrics_add(METRIC_STORE_AWAITED_DONE, core->deferred.n);
    } else {
        local_index_clear(&state->index);
        set_tenure(core, LOCAL_HERE, "");
        core->is_reported_usable = true;
        local_core_set_up(core, false, why);
    }
    return local_deferred_take(&core->deferred);
}

enum err local_upgrade_adopt(struct local_core *core, const struct store_ticket *tickets,
                             size_t n_tickets)
{
    struct local_state *state = &core->state;
    int64_t now_ms = local_now_ms(state);
    enum err worst = ERR_OK;
    for (size_t i = 0; i < n_tickets; i++) {
        const struct store_ticket *ticket = &tickets[i];
        struct expiring *entry;
        if (ticket->left_ms <= 0 || ticket->ticket.len == 0 || ticket->user_id.len == 0 ||
            ticket->ticket.len > STORE_TICKET_MAX_BYTES ||
            ticket->user_id.len > USER_ID_MAX_BYTES ||
            expiring_find(state->tickets, ticket->ticket) != NULL)
            continue;
        int64_t left_ms = (int64_t)STORE_TICKET_MAX_TTL_S * 1000;
        if (ticket->left_ms < left_ms)
            left_ms = ticket->left_ms;
        enum err error =
            expiring_add(state->tickets, ticket->ticket, ticket->user_id, now_ms + left_ms, &entry);
        if (error != ERR_OK)
            worst = error;
    }
    return worst;
}

/* ---- old ---- */

struct store_request *local_upgrade_let_go(struct local_core *core)
{
    struct local_state *state = &core->state;
    if (state->tenure == LOCAL_LET_GO)
        return NULL;
    state->backing->ops->let_go(state->backing);
    set_tenure(core, LOCAL_LET_GO, "the next process has the store");
    core->let_go_ms = local_now_ms(state);
    expiring_table_clear(state->tickets);
    log_event(LOG_INFO, "the store was let go", LOG_TEXT("store", state->backing->ops->kind));
    if (core->events.on_state != NULL)
        core->events.on_state(core->owner, false);
    return local_deferred_take(&core->deferred);
}

void local_upgrade_forget(struct local_core *core)
{
    int64_t passed_ms = local_now_ms(&core->state) - core->let_go_ms;
    if (core->state.tenure != LOCAL_LET_GO || core->has_forgotten ||
        (passed_ms >= 0 && passed_ms < LOCAL_FORGET_AFTER_MS))
        return;
    core->has_forgotten = true;
    local_index_clear(&core->state.index);
}

struct ticket_visit {
    store_ticket_visit_fn *visit;
    void *owner;
    int64_t now_ms;
};

static void visit_ticket(void *owner, struct expiring *entry)
{
    const struct ticket_visit *visit = owner;
    struct store_ticket ticket = {
        .ticket = expiring_key(entry),
        .user_id = expiring_value(entry),
        .left_ms = entry->until_ms - visit->now_ms,
    };
    if (ticket.left_ms > 0)
        visit->visit(visit->owner, &ticket);
}

void local_upgrade_each_ticket(const struct local_core *core, store_ticket_visit_fn *visit,
                               void *owner)
{
    struct ticket_visit visiting = {visit, owner, local_now_ms(&core->state)};
    expiring_visit(core->state.tickets, visit_ticket, &visiting);
}
