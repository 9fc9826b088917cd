/* One seed, played: the seed says how many workers, users, tabs and faults there are; then steps of
 * the clock in which publishers push, tabs connect, read and drop, and faults come and go; then
 * calm, in which everything must arrive; and at the end sim_model.c is asked whether what happened
 * could happen. */
#include "gateway/base/clock.h"
#include "gateway/stores/stores.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    SETTLE_STEP_MS = 25,
    SETTLE_STEPS_MAX = 4000,
    CALM_STEPS = 80,
    SIM_NOBODY = SIM_WORKERS_MAX
};

/* ---- what the seed says ---- */

static unsigned one_of(struct sim *sim, unsigned a, unsigned b, unsigned c)
{
    unsigned choice = (unsigned)sim_below(sim, 3);
    return choice == 0 ? a : choice == 1 ? b : c;
}

static void draw_plan(struct sim *sim)
{
    sim->plan = (struct sim_plan){
        .n_users = 1 + (unsigned)sim_below(sim, SIM_USERS_MAX),
        .n_workers = 1 + (unsigned)sim_below(sim, SIM_WORKERS_MAX),
        .n_steps = 200 + (unsigned)sim_below(sim, 600),
        .tabs_max = 1 + (unsigned)sim_below(sim, 4),
        .send_buffer = one_of(sim, 1, 20000, 200000),
        .push_per_mille = one_of(sim, 50, 300, 900),
        .connect_per_mille = one_of(sim, 10, 50, 200),
        .drop_per_mille = one_of(sim, 1, 5, 30),
        .kick_per_mille = one_of(sim, 0, 0, 5),
        .full_per_mille = one_of(sim, 0, 4, 10),
        .away_per_mille = one_of(sim, 0, 3, 8),
        .stall_per_mille = one_of(sim, 0, 10, 20),
        .crash_per_mille = one_of(sim, 0, 2, 8),
        .drain_per_mille = one_of(sim, 0, 0, 3),
        .short_per_mille = one_of(sim, 0, 10, 40),
        .idle_per_mille = one_of(sim, 5, 20, 100),
        .bad_tab_per_mille = one_of(sim, 0, 150, 500),
        .device_per_mille = one_of(sim, 0, 0, 500),
        .v1_per_mille = one_of(sim, 0, 500, 1000),
        .burst_per_mille = one_of(sim, 0, 20, 100),
        .big_per_mille = one_of(sim, 0, 100, 500),
        .short_ttl_per_mille = one_of(sim, 0, 100, 500),
        .collapse_per_mille = one_of(sim, 0, 100, 500),
        .key_per_mille = one_of(sim, 0, 300, 1000),
        .cancel_per_mille = one_of(sim, 0, 10, 50),
        .pages_at_once = one_of(sim, 1, 3, 2000),
        .ephemeral_per_mille = one_of(sim, 0, 50, 200),
        .lost_per_mille = one_of(sim, 0, 20, 200),
        .wall_ahead_ms = (int64_t)one_of(sim, 0, 5000, 120000) - (int64_t)one_of(sim, 0, 0, 60000),
    };
}

static void draw_options(struct sim *sim)
{
    static char *const no_variables[] = {NULL};
    char *arguments[] = {"sim", NULL};
    enum options_action action;
    char why[256];
    if (options_read(1, arguments, (char **)(void *)no_variables, &sim->options, &action, why,
                     sizeof why) != ERR_OK)
        sim_fail(sim, "%s", why);
    sim->options.inbox_max = one_of(sim, 8, 60, 1000);
    sim->options.inbox_max_bytes = one_of(sim, 16384, 1 << 20, 1 << 20);
    sim->options.session_max_bytes = one_of(sim, 4096, 8192, 262144);
    sim->options.max_connections_per_user = 3 + (int64_t)sim_below(sim, 3);
    sim->options.ping_interval = 1000;
    sim->options.silence_timeout = 3000;
    sim->options.slow_timeout = one_of(sim, 2000, 10000, 60000);
}

/* ---- steps ---- */

static void push_one(struct sim *sim)
{
    uint32_t ttl_s = 3600;
    if (sim_chance(sim, sim->plan.ephemeral_per_mille))
        ttl_s = 0;
    else if (sim_chance(sim, sim->plan.short_ttl_per_mille))
        ttl_s = 1 + (uint32_t)sim_below(sim, 5);
    size_t n_pad = sim_below(sim, 100);
    if (sim_chance(sim, sim->plan.big_per_mille))
        n_pad = sim_below(sim, SIM_DATA_MAX_BYTES - 64);
    sim_node_push(sim, ttl_s, n_pad);
}

/* true: several at once. */
static bool maybe_push(struct sim *sim)
{
    if (!sim_chance(sim, sim->plan.push_per_mille))
        return false;
    uint64_t n = sim_chance(sim, sim->plan.burst_per_mille) ? 1 + sim_below(sim, 40) : 1;
    for (uint64_t i = 0; i < n; i++)
        push_one(sim);
    return n > 1;
}

/* A backend asks again with the same key, whether it was refused or not. */
static void maybe_repeat(struct sim *sim)
{
    if (sim->n_pushes > 0 && sim_chance(sim, sim->plan.key_per_mille / 4))
        sim_node_repeat(sim, (uint32_t)(sim->n_pushes - 1 - sim_below(sim, sim->n_pushes) / 4));
}

static void maybe_withdraw(struct sim *sim)
{
    unsigned user = (unsigned)sim_below(sim, sim->plan.n_users);
    uint64_t head = sim->users[user].head;
    if (head == 0 || !sim_chance(sim, sim->plan.cancel_per_mille))
        return;
    if (sim_chance(sim, 100))
        sim_node_purge(sim, user);
    else
        sim_node_cancel(sim, user, head - sim_below(sim, head < 5 ? head : 5));
}

static void repeat_refused(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_pushes; i++) {
        if (sim->pushes[i].was_refused)
            sim_node_repeat(sim, i);
    }
}

static unsigned count_tabs(const struct sim *sim, unsigned user)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        n += tab->user == user && tab->fd >= 0;
    }
    return n;
}

/* While the node drains it lets nobody in (http_conn.c). */
static void maybe_connect(struct sim *sim)
{
    unsigned user = (unsigned)sim_below(sim, sim->plan.n_users);
    unsigned place = 0;
    if (sim_chance(sim, sim->plan.device_per_mille))
        place = 1 + (unsigned)sim_below(sim, SIM_PLACES - 1);
    if (sim_chance(sim, sim->plan.connect_per_mille) && !sim_node_is_draining(sim) &&
        count_tabs(sim, user) < sim->plan.tabs_max)
        sim_tab_connect(sim, user, place, false);
}

static void act_all(struct sim *sim)
{
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_act(CONTAINER_OF(link, struct sim_tab, link));
    }
}

static void restart(struct sim *sim)
{
    sim_node_crash(sim);
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_free_if_over(CONTAINER_OF(link, struct sim_tab, link));
    }
    sim_node_start(sim);
}

/* Faults that last; each ends at its step. */
struct faults {
    unsigned full_until;
    unsigned away_until;
    unsigned late_store_until;
    unsigned late_worker_until;
    unsigned late_worker;
    unsigned short_until;
    uint64_t n_failed; /* allocations, until the last step */
    unsigned drained_at;
};

static void maybe_lose_store(struct sim *sim, struct faults *faults)
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
        sim_store_set_away(sim, false);
    } else if (faults->away_until < step && sim_chance(sim, sim->plan.away_per_mille)) {
        faults->away_until = step + 1 + (unsigned)sim_below(sim, 100);
        sim_store_set_away(sim, true);
        sim->totals.aways++;
    }
}

static void maybe_stall(struct sim *sim, struct faults *faults)
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

static void maybe_run_short(struct sim *sim, struct faults *faults)
{
    if (faults->short_until < sim->step && sim_chance(sim, sim->plan.short_per_mille)) {
        faults->short_until = sim->step + 1 + (unsigned)sim_below(sim, 20);
        sim->failing_per_mille = one_of(sim, 20, 100, 700);
        sim->totals.shortages++;
    }
    if (faults->short_until < sim->step)
        sim->failing_per_mille = 0;
}

static bool has_just_failed(struct sim *sim, struct faults *faults)
{
    uint64_t n_failed = faults->n_failed;
    faults->n_failed = sim->totals.failed_allocations;
    return faults->n_failed > n_failed;
}

static void maybe_end(struct sim *sim, struct faults *faults)
{
    unsigned step = sim->step;
    if (sim_node_is_draining(sim)) {
        if (step >= faults->drained_at)
            restart(sim);
    } else if (sim_chance(sim, sim->plan.drain_per_mille)) {
        sim_node_drain(sim);
        faults->drained_at = step + 50;
        sim->totals.drains++;
    } else if (sim_chance(sim, sim->plan.crash_per_mille)) {
        restart(sim);
        sim->totals.crashes++;
    }
    if (sim_chance(sim, sim->plan.kick_per_mille)) {
        sim_node_kick(sim, (unsigned)sim_below(sim, sim->plan.n_users));
        sim->totals.kicks++;
    }
}

/* Nothing is pushed and nothing fails, until nobody is given anything any more: whoever reads has
 * everything by then. */
static void calm(struct sim *sim)
{
    sim_trace(sim, "calm");
    uint64_t had = sim->totals.had;
    for (unsigned n_quiet = 0; n_quiet < CALM_STEPS; n_quiet++) {
        if (sim->totals.had != had)
            n_quiet = 0;
        had = sim->totals.had;
        sim->step++;
        sim->now_ms += SETTLE_STEP_MS;
        act_all(sim);
        sim_store_turn(sim, false);
        sim_store_compare_heads(sim);
        sim_node_turn(sim, 0, SIM_NOBODY);
    }
    sim_model_check_calm(sim);
    sim->totals.calms++;
}

/* Often at a revealing moment, after a burst or a failed allocation: nothing that comes later shows
 * what was missed. */
static void maybe_calm(struct sim *sim, struct faults *faults, bool is_telling)
{
    if (sim_node_is_draining(sim) || !sim_chance(sim, is_telling ? 200 : 5))
        return;
    sim_store_set_full(sim, false);
    sim_store_set_away(sim, false);
    sim->failing_per_mille = 0;
    *faults = (struct faults){.n_failed = faults->n_failed};
    calm(sim);
}

static void misbehave(struct sim *sim)
{
    struct faults faults = {0};
    for (unsigned n = 0; n < sim->plan.n_steps; n++) {
        sim->step++;
        sim->now_ms += (int64_t)sim_below(sim, 40);
        if (sim_chance(sim, sim->plan.idle_per_mille))
            sim->now_ms += (int64_t)sim_below(sim, 1500);
        maybe_lose_store(sim, &faults);
        maybe_stall(sim, &faults);
        maybe_run_short(sim, &faults);
        maybe_end(sim, &faults);
        if (has_just_failed(sim, &faults))
            maybe_calm(sim, &faults, true);
        maybe_calm(sim, &faults, maybe_push(sim));
        maybe_repeat(sim);
        maybe_withdraw(sim);
        maybe_connect(sim);
        act_all(sim);
        if (faults.late_store_until < sim->step)
            sim_store_turn(sim, true);
        sim_store_compare_heads(sim);
        sim_node_turn(sim, 200,
                      faults.late_worker_until < sim->step ? SIM_NOBODY : faults.late_worker);
    }
    sim->failing_per_mille = 0;
    sim_store_set_full(sim, false);
    sim_store_set_away(sim, false);
    if (sim_node_is_draining(sim))
        restart(sim);
}

/* ---- the end ---- */

static bool is_settled(struct sim *sim)
{
    for (unsigned i = 0; i < sim->n_pushes; i++) {
        if (sim->pushes[i].n_answers < sim->pushes[i].n_asked)
            return false;
    }
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        if (sim_model_count_waiting(sim, &sim->users[i]) > 0)
            return false;
    }
    return true;
}

static bool has_tab(const struct sim *sim, unsigned user, unsigned place)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->user == user && tab->place == place && tab->fd >= 0)
            return true;
    }
    return false;
}

/* A client without a device, and one of each device that the inbox waits for. */
static void connect_missing(struct sim *sim)
{
    for (unsigned user = 0; user < sim->plan.n_users; user++) {
        for (unsigned place = 0; place < SIM_PLACES; place++) {
            bool is_needed = place == 0 || sim->users[user].places[place].is_known;
            if (is_needed && !has_tab(sim, user, place))
                sim_tab_connect(sim, user, place, true);
        }
    }
}

/* Every client behaves, every user has one of each device, and nothing fails any more: then all
 * that waits must come to all sessions and be acknowledged, within a number of turns. */
static void settle(struct sim *sim)
{
    connect_missing(sim);
    LIST_FOR_EACH(link, &sim->tabs)
    {
        sim_tab_heal(CONTAINER_OF(link, struct sim_tab, link));
    }
    for (unsigned n = 0; n < SETTLE_STEPS_MAX && !is_settled(sim); n++) {
        repeat_refused(sim);
        sim->step++;
        sim->now_ms += SETTLE_STEP_MS;
        act_all(sim);
        sim_store_turn(sim, false);
        sim_store_compare_heads(sim);
        sim_node_turn(sim, 0, SIM_NOBODY);
        connect_missing(sim);
    }
}

static void set_users(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        snprintf(sim->users[i].id, sizeof sim->users[i].id, "user-%u-%" PRIu64, i, sim->seed);
}

static struct sim *present; /* the clocks name no owner */

/* The node's own clock, which nothing in the store goes by. */
static int64_t wall_ms(void)
{
    return sim_wall_ms(present) + present->plan.wall_ahead_ms;
}

static int64_t monotonic_us(void)
{
    return (1000000 + present->now_ms) * 1000;
}

static void end(struct sim *sim)
{
    sim_node_crash(sim);
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_drop(CONTAINER_OF(link, struct sim_tab, link));
    }
    sim_store_close(sim);
    sim_model_check_answers(sim);
    for (unsigned i = 0; i < sim->n_pushes; i++)
        free((void *)(uintptr_t)sim->pushes[i].push.data.bytes);
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        free(sim->users[i].resume);
    options_fini(&sim->options);
}

void sim_run(struct sim *sim)
{
    present = sim;
    clock_replace(wall_ms, monotonic_us);
    list_init(&sim->tabs);
    draw_plan(sim);
    draw_options(sim);
    set_users(sim);
    sim_store_open(sim);
    sim_node_start(sim);
    misbehave(sim);
    sim_model_compare(sim);
    settle(sim);
    sim_model_compare(sim);
    sim_model_check_end(sim);
    end(sim);
}
