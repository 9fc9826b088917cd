/* Tickets live for seconds and are worth nothing over a restart, which ends the sessions as well:
 * so they are in memory alone, beside the index, and need no commit. Where the sessions pass to
 * another process, they pass too (local_upgrade.c). */
#include "gateway/base/metrics.h"
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"

static enum err give_ticket(struct local_state *state, const struct store_ticket_give *give,
                            int64_t now_ms)
{
    if (state->tenure == LOCAL_LET_GO)
        return ERR_STORE_UNAVAILABLE; /* they are with the next process */
    struct expiring *entry = expiring_find(state->tickets, give->ticket);
    if (entry != NULL && entry->until_ms > now_ms)
        return ERR_CONFLICT;
    if (entry != NULL)
        expiring_remove(state->tickets, entry);
    return expiring_add(state->tickets, give->ticket, give->user_id,
                        now_ms + (int64_t)give->ttl_s * 1000, &entry);
}

void local_apply_ticket_give(struct local_state *state, struct store_ticket_give *give)
{
    give->error = give_ticket(state, give, local_now_ms(state));
    if (give->error == ERR_FULL)
        metrics_count(METRIC_TICKETS_REFUSED);
}

static enum err take_ticket(struct local_state *state, struct store_ticket_take *take)
{
    if (state->tenure == LOCAL_LET_GO)
        return ERR_STORE_UNAVAILABLE;
    struct expiring *entry = expiring_find(state->tickets, take->ticket);
    if (entry == NULL)
        return ERR_NOT_FOUND;
    bool is_over = entry->until_ms <= local_now_ms(state);
    if (!is_over) {
        struct span user_id = expiring_value(entry);
        memcpy(take->user_id, user_id.bytes, user_id.len);
        take->user_id_len = user_id.len;
    }
    expiring_remove(state->tickets, entry);
    return is_over ? ERR_NOT_FOUND : ERR_OK;
}

void local_apply_ticket_take(struct local_state *state, struct store_ticket_take *take)
{
    take->error = take_ticket(state, take);
}

struct sweep {
    struct expiring_table *tickets;
    int64_t now_ms;
};

static void sweep_ticket(void *owner, struct expiring *entry)
{
    struct sweep *sweep = owner;
    if (entry->until_ms <= sweep->now_ms)
        expiring_remove(sweep->tickets, entry);
}

void local_sweep_tickets(struct local_state *state, int64_t now_ms)
{
    struct sweep sweep = {state->tickets, now_ms};
    expiring_visit(state->tickets, sweep_ticket, &sweep);
}
