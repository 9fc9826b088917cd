/* Why a number left the inbox, and what a client is told about that. */
#include "tests/sim/sim.h"

#include <inttypes.h>

static enum gap_cause cause_at(const struct sim_user *user, uint64_t seq, int64_t at_ms)
{
    switch (user->entries[seq - 1].fate) {
    case SIM_WAITING:
        return user->entries[seq - 1].expires_ms > at_ms ? GAP_NONE : GAP_EXPIRED;
    case SIM_OVERFLOW:
        return GAP_OVERFLOW;
    case SIM_CANCELLED:
        return GAP_CANCELLED;
    case SIM_COLLAPSED:
        return GAP_COLLAPSED;
    case SIM_ACKED:
        break;
    }
    return GAP_ACKNOWLEDGED;
}

enum gap_cause sim_gaps_cause(const struct sim *sim, const struct sim_user *user, uint64_t seq)
{
    return cause_at(user, seq, sim_wall_ms(sim));
}

/* Were there enough ranges of causes then that the store merged some? It does not part them again
 * when what lay between two others leaves as well. */
static bool are_causes_merged_at(const struct sim_user *user, int64_t at_ms)
{
    unsigned n_ranges = 0;
    enum gap_cause before = GAP_NONE;
    for (uint64_t seq = 1; seq <= user->head; seq++) {
        enum gap_cause cause = cause_at(user, seq, at_ms);
        n_ranges += gap_cause_is_recorded(cause) && cause != before;
        before = cause;
    }
    return n_ranges > GAPS_MAX;
}

bool sim_gaps_are_merged(const struct sim *sim, const struct sim_user *user)
{
    return are_causes_merged_at(user, sim_wall_ms(sim));
}

/* Between two events of an inbox its notifications may expire one by one, so there may have been
 * more ranges for a while than before and after. */
static bool were_causes_merged(const struct sim *sim, const struct sim_user *user)
{
    int64_t now_ms = sim_wall_ms(sim);
    for (uint64_t seq = 1; seq <= user->head; seq++) {
        int64_t at_ms = user->entries[seq - 1].expires_ms;
        if (at_ms <= now_ms && are_causes_merged_at(user, at_ms))
            return true;
    }
    return false;
}

bool sim_gaps_must_be_known(const struct sim *sim, const struct sim_user *user)
{
    return !user->has_merged && !sim_gaps_are_merged(sim, user) && !were_causes_merged(sim, user);
}

/* That a position may have been, in any node. */
static uint64_t highest_of(const struct sim_user *user)
{
    uint64_t highest = user->stored;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        highest = user->highest[i] > highest ? user->highest[i] : highest;
    return highest;
}

/* The store has lost that it had left, and the client hears of it all the same. */
static bool has_left_before(const struct sim_user *user, uint64_t seq)
{
    return seq <= user->head && user->entries[seq - 1].had_left;
}

void sim_model_gap(struct sim_tab *tab, uint64_t seq, enum gap_cause cause)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    enum gap_cause real = seq > user->head ? GAP_NONE : sim_gaps_cause(sim, user, seq);
    if (tab->is_doomed || has_left_before(user, seq))
        return;
    bool is_right = real != GAP_NONE &&
                    (cause == real || (cause == GAP_UNKNOWN && !sim_gaps_must_be_known(sim, user)));
    if (cause == GAP_EXPIRED) /* it may have left otherwise before, unseen */
        is_right |= seq <= user->head && user->entries[seq - 1].expires_ms <= sim_wall_ms(sim);
    if (cause == GAP_ACKNOWLEDGED)
        is_right |= seq <= highest_of(user);
    if (!is_right)
        sim_fail(sim, "tab %u of user %s: %" PRIu64 " is in a gap as %s, but was %s", tab->number,
                 user->id, seq, gap_cause_text(cause),
                 real == GAP_NONE ? "waiting" : gap_cause_text(real));
    sim->totals.gap_numbers[(uint8_t)cause]++;
}

void sim_model_hidden(struct sim_tab *tab, uint64_t seq)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    enum gap_cause real = seq > user->head ? GAP_NONE : sim_gaps_cause(sim, user, seq);
    if (tab->is_doomed || has_left_before(user, seq))
        return;
    if (real != GAP_CANCELLED && real != GAP_COLLAPSED)
        sim_fail(sim, "tab %u is told to hide %" PRIu64 ", which was %s", tab->number, seq,
                 real == GAP_NONE ? "waiting" : gap_cause_text(real));
    if (seq > tab->tail)
        sim_fail(sim, "tab %u is told to hide %" PRIu64 ", which it never heard of", tab->number,
                 seq);
    tab->hidden[seq] = 1;
    sim->totals.hidden_told++;
}
