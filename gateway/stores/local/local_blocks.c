/* Who is blocked. An entry without an end (until_ms 0) was lifted: it stands until its record is
 * deleted with the group. */
#include "gateway/stores/local/local_blocks.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/local/local_apply.h"

int64_t local_blocked_until(const struct local_state *state, struct span user_id, int64_t now_ms)
{
    const struct expiring *entry = expiring_find(state->index.blocks, user_id);
    return entry != NULL && entry->until_ms > now_ms ? entry->until_ms : 0;
}

static enum err set_block(struct local_state *state, const struct store_block *block,
                          int64_t until_ms)
{
    struct expiring *entry = expiring_find(state->index.blocks, block->user_id);
    if (entry == NULL && until_ms == 0)
        return ERR_OK;
    if (group_reserve(&state->group, 0, 0) != ERR_OK)
        return ERR_NO_MEMORY;
    if (entry == NULL) {
        enum err error =
            expiring_add(state->index.blocks, block->user_id, (struct span){0}, until_ms, &entry);
        if (error != ERR_OK)
            return error;
    }
    entry->until_ms = until_ms;
    group_write_block(&state->group, entry);
    return ERR_OK;
}

void local_apply_block(struct local_state *state, struct store_block *block)
{
    int64_t until_ms = block->for_s == 0 ? 0 : local_now_ms(state) + (int64_t)block->for_s * 1000;
    bool can_write = state->is_up && (until_ms == 0 || !state->is_full);
    block->error = can_write ? set_block(state, block, until_ms) : ERR_STORE_UNAVAILABLE;
    block->until_ms = block->error == ERR_OK ? until_ms : 0;
    if (block->error == ERR_FULL)
        metrics_count(METRIC_BLOCKS_REFUSED);
}

void local_blocks_committed(struct local_state *state)
{
    struct group *group = &state->group;
    for (size_t i = 0; i < group->n_blocks; i++) {
        struct expiring *entry = group->blocks[i].entry;
        entry->is_dirty = false;
        if (entry->until_ms == 0)
            expiring_remove(state->index.blocks, entry);
    }
}

struct sweep {
    struct local_state *state;
    int64_t now_ms;
};

static void sweep_block(void *owner, struct expiring *entry)
{
    struct sweep *sweep = owner;
    struct local_state *state = sweep->state;
    if (entry->is_dirty || entry->until_ms > sweep->now_ms ||
        group_reserve(&state->group, 0, 1) != ERR_OK)
        return;
    group_del_block(&state->group, entry);
    expiring_remove(state->index.blocks, entry);
}

void local_sweep_blocks(struct local_state *state, int64_t now_ms)
{
    struct sweep sweep = {state, now_ms};
    expiring_visit(state->index.blocks, sweep_block, &sweep);
}
