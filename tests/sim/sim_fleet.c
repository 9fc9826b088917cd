/* What is promised across nodes: a block holds on each of them, whoever is kicked has gone when all
 * nodes have said so, what was withdrawn and had not been shown is not shown later, and what has no
 * number reaches every session while nothing is lost. */
#include "tests/sim/sim.h"

#include <inttypes.h>

static bool has_begun(const struct sim_tab *tab)
{
    return tab->session != NULL && reader_has_begun(&tab->session->reader);
}

/* ---- blocks and kicks ---- */

void sim_fleet_blocked(struct sim *sim, const struct store_block *block)
{
    struct sim_user *user = sim_model_user(sim, block->user_id);
    if (block->error != ERR_OK)
        return;
    sim_trace(sim, "user %s is blocked for %u s", user->id, block->for_s);
    user->blocked_until_ms = block->until_ms;
    user->was_kicked = false;
    sim->totals.blocks++;
}

void sim_fleet_check_page(struct sim *sim, const struct store_page *page)
{
    const struct sim_user *user = sim_model_user(sim, page->user_id);
    bool is_blocked = user->blocked_until_ms > sim_wall_ms(sim);
    if ((page->blocked_until_ms != 0) != is_blocked)
        sim_fail(sim, "user %s: a page %s a block", user->id, is_blocked ? "hides" : "invents");
}

void sim_fleet_answered(struct sim *sim, const struct gateway_kick *kick)
{
    if (kick->error == ERR_OK && kick->blocked_until_ms != 0)
        sim_model_user(sim, kick->user_id)->was_kicked = true;
}

void sim_fleet_kicking(struct sim *sim, unsigned user, unsigned number)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->user == user && has_begun(tab) && sim_channel_is_subscribed(tab->node, user))
            tab->kick = number;
    }
}

void sim_fleet_kicked(struct sim *sim, unsigned number)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->kick == number && tab->session != NULL)
            sim_fail(sim, "all nodes have answered a kick, and tab %u of user %u is there at %u",
                     tab->number, tab->user, tab->node->index);
    }
}

/* ---- withdrawn, and never shown ---- */

void sim_fleet_asking(struct sim *sim, unsigned user, uint64_t seq)
{
    struct sim_entry *entry = &sim->users[user].entries[seq - 1];
    if (sim->users[user].n_losses > 0)
        return;
    entry->was_asked_of_all = entry->unreported == 0 && sim_channel_is_whole(sim, user);
}

static bool has_had(const struct sim_tab *tab, uint64_t seq)
{
    for (uint32_t i = 0; i < tab->n_had; i++) {
        if (tab->had[i] == seq)
            return true;
    }
    return false;
}

void sim_fleet_cancelled(struct sim *sim, const struct gateway_cancel *cancel)
{
    struct sim_user *user = sim_model_user(sim, cancel->user_id);
    if (cancel->error != ERR_OK || cancel->fate != GATEWAY_PENDING || cancel->is_written)
        return;
    struct sim_entry *entry = &user->entries[cancel->seq - 1];
    if (user->n_losses > 0)
        return;
    if (sim_store_is_shared(sim) && !entry->was_asked_of_all)
        return;
    sim->totals.unwritten++;
    entry->is_unwritten = true;
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (&sim->users[tab->user] == user && tab->session != NULL && has_had(tab, cancel->seq))
            sim_fail(sim, "user %s: tab %u has %" PRIu64 ", which was withdrawn as not shown",
                     user->id, tab->number, cancel->seq);
    }
}

/* ---- in a calm ---- */

void sim_fleet_send_to_all(struct sim *sim)
{
    for (unsigned user = 0; user < sim->plan.n_users && sim->n_pushes < SIM_PUSHES_MAX; user++) {
        uint32_t number = sim->n_pushes;
        sim_push_to(sim, user);
        LIST_FOR_EACH(link, &sim->tabs)
        {
            struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
            if (tab->user == user && has_begun(tab) && tab->pace == SIM_FAST && tab->fd >= 0)
                tab->ephemeral = number + 1;
        }
    }
}

/* Where messages are lost, the comparison finds a block; where none is, the nodes that the question
 * did not reach find it with the page that they read when they are back. */
static bool must_be_gone(const struct sim *sim, const struct sim_user *user)
{
    return user->blocked_until_ms > sim_wall_ms(sim) &&
           (user->was_kicked || (sim_store_is_shared(sim) && sim_store_compares(sim)));
}

void sim_fleet_check_calm(struct sim *sim)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        const struct sim_user *user = &sim->users[tab->user];
        if (tab->session == NULL)
            continue;
        sim_loss_check_calm(tab);
        if (must_be_gone(sim, user))
            sim_fail(sim, "user %s is blocked, and tab %u is there at node %u", user->id,
                     tab->number, tab->node->index);
        if (tab->ephemeral > 0 && tab->fd >= 0 && tab->had_ephemeral[tab->ephemeral - 1] == 0)
            sim_fail(sim, "tab %u was not given push %u (ttl 0), and nothing was lost", tab->number,
                     tab->ephemeral - 1);
        sim->totals.sent_in_calm += tab->ephemeral > 0;
        tab->ephemeral = 0;
    }
}
