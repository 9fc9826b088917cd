/* What fails, for how long: the store is full, away for all nodes or for one, or slow; a worker
 * stands still; memory is short; a node drains or dies. */
#include "tests/sim/sim.h"

static void set_all_away(struct sim *sim, bool is_away)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim_link_set_away(&sim->nodes[i], is_away);
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
        set_all_away(sim, false);
    } else if (faults->away_until < step && sim_chance(sim, sim->plan.away_per_mille)) {
        faults->away_until = step + 1 + (unsigned)sim_below(sim, 100);
        set_all_away(sim, true);
        sim->totals.aways++;
    }
}

/* Of one node of several. */
static void maybe_lose_link(struct sim *sim, struct sim_faults *faults)
{
    unsigned step = sim->step;
    if (!sim_store_is_shared(sim) || faults->away_until >= step)
        return;
    if (faults->link_until == step && step > 0) {
        set_all_away(sim, false);
    } else if (faults->link_until < step && sim_chance(sim, sim->plan.link_per_mille)) {
        faults->link_until = step + 1 + (unsigned)sim_below(sim, 60);
        sim_link_set_away(sim_node_any(sim), true);
        sim->totals.links_away++;
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
    maybe_lose_link(sim, faults);
    maybe_stall(sim, faults);
    maybe_run_short(sim, faults);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        maybe_end(&sim->nodes[i], &faults->drained_at[i]);
}

void sim_faults_end(struct sim *sim, struct sim_faults *faults)
{
    sim_store_set_full(sim, false);
    set_all_away(sim, false);
    sim->failing_per_mille = 0;
    *faults = (struct sim_faults){.n_failed = faults->n_failed};
}
