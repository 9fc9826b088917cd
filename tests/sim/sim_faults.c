/* What fails, for how long: the store is full, away for all nodes or for one, or slow; a worker
 * stands still; memory is short; a node drains or dies. */
#include "tests/sim/sim.h"

static void set_all_away(struct sim *sim, unsigned part, enum sim_away why, bool is_away)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim_link_set_away(&sim->nodes[i], part, why, is_away);
}

static void maybe_lose_store(struct sim *sim, struct sim_faults *faults)
{
    unsigned step = sim->step;
    if (faults->full_until == step && step > 0) {
        sim_store_set_full(sim, false);
    } else if (faults->full_until < step && sim_chance(sim, sim->plan.full_per_mille)) {
        faults->full_until = step + 1 + (unsigned)sim_below(sim, 100);
        sim_store_set_full(sim, true);
        sim->totals.fulls++;
    }
    if (faults->away_until == step && step > 0) {
        set_all_away(sim, SIM_ALL_PARTS, SIM_AWAY_ALL, false);
    } else if (faults->away_until < step && sim_chance(sim, sim->plan.away_per_mille)) {
        faults->away_until = step + 1 + (unsigned)sim_below(sim, 100);
        set_all_away(sim, SIM_ALL_PARTS, SIM_AWAY_ALL, true);
        sim->totals.aways++;
    }
}

/* Of one node of several. */
static void maybe_lose_link(struct sim *sim, struct sim_faults *faults)
{
    unsigned step = sim->step;
    if (faults->link_until == step && step > 0) {
        set_all_away(sim, SIM_ALL_PARTS, SIM_AWAY_LINK, false);
    } else if (faults->link_until < step && sim_chance(sim, sim->plan.link_per_mille)) {
        faults->link_until = step + 1 + (unsigned)sim_below(sim, 60);
        sim_link_set_away(sim_node_any(sim), SIM_ALL_PARTS, SIM_AWAY_LINK, true);
        sim->totals.links_away++;
    }
}

/* The nodes have taken in all that they had heard, and nothing is under way. */
static void lose_writes(struct sim *sim, unsigned part)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim_node_turn(&sim->nodes[i], 0, SIM_WORKERS_MAX);
    for (unsigned user = part; user < sim->plan.n_users; user += SIM_PARTS)
        sim_loss_roll_back(sim, user);
}

/* A part of the store, for all nodes. When it is back it may be another one, which has not had all
 * of it. */
static void maybe_lose_part(struct sim *sim, struct sim_faults *faults)
{
    unsigned step = sim->step;
    if (faults->part_until == step && step > 0) {
        set_all_away(sim, faults->part, SIM_AWAY_PART, false);
    } else if (faults->part_until < step && sim_chance(sim, sim->plan.part_per_mille)) {
        faults->part_until = step + 1 + (unsigned)sim_below(sim, 60);
        faults->part = (unsigned)sim_below(sim, SIM_PARTS);
        set_all_away(sim, faults->part, SIM_AWAY_PART, true);
        sim->totals.parts_away++;
        if (sim->plan.may_lose && !sim->is_full && sim_chance(sim, 500))
            lose_writes(sim, faults->part);
    }
}

static void end_move(struct sim *sim)
{
    for (unsigned user = 0; user < sim->plan.n_users; user++) {
        for (unsigned i = 0; i < sim->plan.n_nodes && sim->users[user].is_moving; i++)
            sim_channel_move(&sim->nodes[i], user);
        sim->users[user].is_moving = false;
    }
}

/* The slot of a user moves, or those of all when a primary hands over to its replica. */
static void maybe_move(struct sim *sim, struct sim_faults *faults)
{
    unsigned step = sim->step;
    if (faults->move_until == step && step > 0) {
        end_move(sim);
    } else if (faults->move_until < step && sim_chance(sim, sim->plan.move_per_mille)) {
        unsigned only = (unsigned)sim_below(sim, sim->plan.n_users);
        bool is_all = sim_chance(sim, 300);
        faults->move_until = step + 1 + (unsigned)sim_below(sim, sim_chance(sim, 100) ? 200 : 20);
        for (unsigned user = 0; user < sim->plan.n_users; user++)
            sim->users[user].is_moving = is_all || user == only;
        sim->totals.moves++;
    }
}

static void maybe_stall(struct sim *sim, struct sim_faults *faults)
{
    if (faults->late_store_until < sim->step && sim_chance(sim, sim->plan.stall_per_mille)) {
        faults->late_store_until = sim->step + (unsigned)sim_below(sim, 40);
        sim->totals.late_stores++;
    }
    if (faults->late_worker_until < sim->step && sim_chance(sim, sim->plan.stall_per_mille)) {
        faults->late_worker_until = sim->step + (unsigned)sim_below(sim, 40);
        faults->late_worker = (unsigned)sim_below(sim, sim->plan.n_workers);
        sim->totals.late_workers++;
    }
}

static void maybe_run_short(struct sim *sim, struct sim_faults *faults)
{
    if (faults->short_until < sim->step && sim_chance(sim, sim->plan.short_per_mille)) {
        faults->short_until = sim->step + 1 + (unsigned)sim_below(sim, 20);
        sim->failing_per_mille = sim_one_of(sim, 20, 100, 700);
        sim->totals.shortages++;
    }
    if (faults->short_until < sim->step)
        sim->failing_per_mille = 0;
}

void sim_restart(struct sim_node *node)
{
    struct sim *sim = node->sim;
    sim_node_crash(node);
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_free_if_over(CONTAINER_OF(link, struct sim_tab, link));
    }
    sim_node_start(node);
}

static void maybe_end(struct sim_node *node, unsigned *drained_at)
{
    struct sim *sim = node->sim;
    if (sim_node_is_draining(node)) {
        if (sim->step >= *drained_at)
            sim_restart(node);
    } else if (sim_chance(sim, sim->plan.drain_per_mille)) {
        sim_node_drain(node);
        *drained_at = sim->step + 50;
        sim->totals.drains++;
    } else if (sim_chance(sim, sim->plan.crash_per_mille)) {
        sim_restart(node);
        sim->totals.crashes++;
    }
}

void sim_faults_come(struct sim *sim, struct sim_faults *faults)
{
    maybe_lose_store(sim, faults);
    if (sim_store_is_shared(sim)) {
        maybe_lose_link(sim, faults);
        maybe_lose_part(sim, faults);
        maybe_move(sim, faults);
    }
    maybe_stall(sim, faults);
    maybe_run_short(sim, faults);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        maybe_end(&sim->nodes[i], &faults->drained_at[i]);
}

void sim_faults_end(struct sim *sim, struct sim_faults *faults)
{
    sim_store_set_full(sim, false);
    for (unsigned why = SIM_AWAY_ALL; why <= SIM_AWAY_PART; why *= 2)
        set_all_away(sim, SIM_ALL_PARTS, (enum sim_away)why, false);
    end_move(sim);
    sim->failing_per_mille = 0;
    *faults = (struct sim_faults){.n_failed = faults->n_failed};
}
