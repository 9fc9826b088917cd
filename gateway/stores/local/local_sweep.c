#include "gateway/base/log_limit.h"
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"
#include "gateway/stores/local/local_events.h"
#include "gateway/stores/local/local_positions.h"

enum { SWEEP_SLICE_MS = 1000, SWEEP_ROUND_MS = 60 * 1000, SWEEP_KEYS = 8192 };

/* A repeat of a push whose key was forgotten is a push of its own, so it is logged. */
static void say_that_keys_are_forgotten(const struct local_state *state, size_t n)
{
    static struct log_limit limit = LOG_LIMIT(60 * 1000);
    if (n > 0)
        log_limited(&limit, span_of("any"), LOG_WARN,
                    "idempotency keys are forgotten before their time", LOG_INT("keys", n),
                    LOG_INT("max", state->idempotency_max),
                    LOG_TEXT("advice", "raise --idempotency-max or shorten --idempotency-window"));
}

/* At least as many a turn as a turn can add. Those of the present group stay. */
static void sweep_keys(struct local_state *state, int64_t now_ms)
{
    struct idempotency_table *keys = state->index.keys;
    size_t n_left = SWEEP_KEYS + state->group.n_keys;
    size_t n_forgotten = 0;
    for (; n_left > 0; n_left--) {
        const struct idempotency *oldest = idempotency_oldest(keys);
        if (oldest == NULL || oldest->record_key == 0 || local_changes_left(state) == 0)
            break;
        bool is_over = oldest->time_ms + state->idempotency_window_ms <= now_ms;
        bool is_too_many = idempotency_table_count(keys) > state->idempotency_max;
        if ((!is_over && !is_too_many) || group_reserve(&state->group, 0, 1) != ERR_OK)
            break;
        group_del_key(&state->group, oldest);
        idempotency_drop_oldest(keys);
        n_forgotten += !is_over;
    }
    state->group.counts.n_keys_forgotten += n_forgotten;
    say_that_keys_are_forgotten(state, n_forgotten);
}

struct sweep {
    struct local_state *state;
    int64_t now_ms;
};

static void sweep_user(void *owner, struct inbox *inbox)
{
    struct sweep *sweep = owner;
    struct local_state *state = sweep->state;
    uint16_t today = local_day_of(sweep->now_ms);
    size_t count = inbox_count(inbox);
    bool has_stale_devices = local_has_stale_devices(inbox, today);
    bool is_forgotten = count == 0 && today > inbox->sign_day + STORE_FORGET_DAYS;
    if ((count == 0 && !has_stale_devices && !is_forgotten) || local_changes_left(state) == 0)
        return;
    if (group_reserve(&state->group, 0, count + 1) != ERR_OK)
        return; /* the next round finds it again */
    local_drop_expired(state, inbox, sweep->now_ms);
    if (has_stale_devices && !is_forgotten)
        local_forget_devices(state, inbox, today);
    if (is_forgotten && !inbox->is_dirty) {
        /* Signs are kept to the day: a day more makes sure that it is never less than promised. */
        group_del_user(&state->group, inbox);
        inbox_remove(state->index.users, inbox);
    }
}

void local_apply_sweep(struct local_state *state)
{
    int64_t now_ms = local_now_ms(state);
    int64_t passed_ms = now_ms - state->swept_ms;
    bool is_due = passed_ms < 0 || passed_ms >= SWEEP_SLICE_MS;
    if (is_due) {
        state->swept_ms = now_ms;
        local_sweep_tickets(state, now_ms);
    }
    if (!state->is_up)
        return;
    sweep_keys(state, now_ms);
    if (!is_due)
        return;
    local_sweep_blocks(state, now_ms);
    local_sweep_events(state, now_ms);
    if (passed_ms < 0 || passed_ms > SWEEP_ROUND_MS)
        passed_ms = SWEEP_ROUND_MS;
    struct sweep sweep = {state, now_ms};
    size_t n_buckets =
        inbox_table_buckets(state->index.users) * (size_t)passed_ms / SWEEP_ROUND_MS + 1;
    inbox_table_visit(state->index.users, n_buckets, sweep_user, &sweep);
}
