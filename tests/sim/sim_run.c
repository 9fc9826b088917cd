/* One seed, played: the seed says how many workers, users, tabs and faults there are; then steps of
 * the clock in which publishers push, tabs connect, read and drop, and faults come and go; then
 * calm, in which everything must arrive; and at the end sim_model.c is asked whether what happened
 * could happen. */
#include "gateway/base/clock.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_STEP_MS = 25, SETTLE_STEPS_MAX = 4000, CALM_STEPS = 80, SEND_STEPS = 20 };

/* ---- what the seed says ---- */

unsigned sim_one_of(struct sim *sim, unsigned a, unsigned b, unsigned c)
{
    unsigned choice = (unsigned)sim_below(sim, 3);
    return choice == 0 ? a : choice == 1 ? b : c;
}

static void draw_plan(struct sim *sim)
{
    sim->plan = (struct sim_plan){
        .n_nodes = sim->seed % 2 == 0 ? 2 + (unsigned)sim_below(sim, SIM_NODES_MAX - 1) : 1,
        .n_users = 1 + (unsigned)sim_below(sim, SIM_USERS_MAX),
        .n_workers = 1 + (unsigned)sim_below(sim, SIM_WORKERS_MAX),
        .n_steps = 200 + (unsigned)sim_below(sim, 600),
        .tabs_max = 1 + (unsigned)sim_below(sim, 4),
        .send_buffer = sim_one_of(sim, 1, 20000, 200000),
        .push_per_mille = sim_one_of(sim, 50, 300, 900),
        .connect_per_mille = sim_one_of(sim, 10, 50, 200),
        .drop_per_mille = sim_one_of(sim, 1, 5, 30),
        .kick_per_mille = sim_one_of(sim, 0, 0, 5),
        .full_per_mille = sim_one_of(sim, 0, 4, 10),
        .away_per_mille = sim_one_of(sim, 0, 3, 8),
        .stall_per_mille = sim_one_of(sim, 0, 10, 20),
        .crash_per_mille = sim_one_of(sim, 0, 2, 8),
        .drain_per_mille = sim_one_of(sim, 0, 0, 3),
        .short_per_mille = sim_one_of(sim, 0, 10, 40),
        .idle_per_mille = sim_one_of(sim, 5, 20, 100),
        .bad_tab_per_mille = sim_one_of(sim, 0, 150, 500),
        .device_per_mille = sim_one_of(sim, 0, 0, 500),
        .v1_per_mille = sim_one_of(sim, 0, 500, 1000),
        .burst_per_mille = sim_one_of(sim, 0, 20, 100),
        .big_per_mille = sim_one_of(sim, 0, 100, 500),
        .short_ttl_per_mille = sim_one_of(sim, 0, 100, 500),
        .collapse_per_mille = sim_one_of(sim, 0, 100, 500),
        .key_per_mille = sim_one_of(sim, 0, 300, 1000),
        .cancel_per_mille = sim_one_of(sim, 0, 10, 50),
        .pages_at_once = sim_one_of(sim, 1, 3, 2000),
        .ephemeral_per_mille = sim_one_of(sim, 0, 50, 200),
        .lost_per_mille = sim_one_of(sim, 0, 20, 200),
        .link_per_mille = sim_one_of(sim, 0, 5, 20),
        .part_per_mille = sim_one_of(sim, 0, 5, 15),
        .move_per_mille = sim_one_of(sim, 0, 10, 40),
        .wait_per_mille = sim_one_of(sim, 0, 50, 300),
        .may_lose = sim_chance(sim, 500),
        .mute_per_mille = sim_one_of(sim, 0, 50, 300),
    };
    if (sim_store_is_shared(sim))
        sim->plan.kick_per_mille = sim_one_of(sim, 0, 5, 20);
    if (sim_store_is_shared(sim) && sim->plan.may_lose)
        sim->plan.lost_per_mille = 0; /* a number that is given again is known by its message */
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim->nodes[i].wall_ahead_ms =
            (int64_t)sim_one_of(sim, 0, 5000, 120000) - (int64_t)sim_one_of(sim, 0, 0, 60000);
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
    sim->options.inbox_max = sim_one_of(sim, 8, 60, 1000);
    sim->options.inbox_max_bytes = sim_one_of(sim, 16384, 1 << 20, 1 << 20);
    sim->options.session_max_bytes = sim_one_of(sim, 4096, 8192, 262144);
    sim->options.max_connections_per_user = 3 + (int64_t)sim_below(sim, 3);
    sim->options.ping_interval = 1000;
    sim->options.silence_timeout = 3000;
    sim->options.slow_timeout = sim_one_of(sim, 2000, 10000, 60000);
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
    sim_push_new(sim, ttl_s, n_pad);
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
        sim_push_again(sim, (uint32_t)(sim->n_pushes - 1 - sim_below(sim, sim->n_pushes) / 4));
}

static void maybe_withdraw(struct sim *sim)
{
    unsigned user = (unsigned)sim_below(sim, sim->plan.n_users);
    uint64_t head = sim->users[user].head;
    if (head == 0 || !sim_chance(sim, sim->plan.cancel_per_mille))
        return;
    if (sim_chance(sim, 100))
        sim_purge(sim, user);
    else
        sim_cancel(sim, user, head - sim_below(sim, head < 5 ? head : 5));
}

static void repeat_refused(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_pushes; i++) {
        if (sim->pushes[i].was_refused)
            sim_push_again(sim, i);
    }
}

static bool maybe_kick(struct sim *sim)
{
    if (!sim_chance(sim, sim->plan.kick_per_mille))
        return false;
    sim_kick(sim, (unsigned)sim_below(sim, sim->plan.n_users));
    return true;
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

static void maybe_connect(struct sim *sim)
{
    unsigned user = (unsigned)sim_below(sim, sim->plan.n_users);
    unsigned place = 0;
    if (sim_chance(sim, sim->plan.device_per_mille))
        place = 1 + (unsigned)sim_below(sim, SIM_PLACES - 1);
    if (sim_chance(sim, sim->plan.connect_per_mille) && count_tabs(sim, user) < sim->plan.tabs_max)
        sim_tab_connect(sim, user, place, false);
}

static void act_all(struct sim *sim)
{
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_act(CONTAINER_OF(link, struct sim_tab, link));
    }
}

void sim_step(struct sim *sim, bool is_smooth, unsigned late_worker, bool is_store_late)
{
    act_all(sim);
    for (unsigned i = 0; i < sim->plan.n_nodes && !is_store_late; i++)
        sim_link_turn(&sim->nodes[i], !is_smooth);
    sim_ask_turn(sim);
    sim_watch_turn(sim);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        sim_store_compare_heads(&sim->nodes[i]);
        sim_node_turn(&sim->nodes[i], is_smooth ? 0 : 200, late_worker);
    }
}

static void step_smoothly(struct sim *sim)
{
    sim->step++;
    sim->now_ms += SETTLE_STEP_MS;
    sim_step(sim, true, SIM_WORKERS_MAX, false);
}

/* Nothing is pushed and nothing fails, until nobody is given anything any more: whoever reads has
 * everything by then. */
static void calm(struct sim *sim)
{
    sim_trace(sim, "calm");
    sim->is_calm = true;
    uint64_t had = sim->totals.had;
    for (unsigned n_quiet = 0; n_quiet < CALM_STEPS; n_quiet++) {
        if (sim->totals.had != had)
            n_quiet = 0;
        had = sim->totals.had;
        step_smoothly(sim);
    }
    sim_model_check_calm(sim);
    sim_watch_check_calm(sim);
    sim_fleet_send_to_all(sim);
    for (unsigned n = 0; n < SEND_STEPS; n++)
        step_smoothly(sim);
    sim_fleet_check_calm(sim);
    sim->is_calm = false;
    sim->totals.calms++;
}

/* Often at a revealing moment, after a burst or a failed allocation: nothing that comes later shows
 * what was missed. */
static void maybe_calm(struct sim *sim, struct sim_faults *faults, bool is_telling)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        if (sim_node_is_draining(&sim->nodes[i]))
            return;
    if (!sim_chance(sim, is_telling ? 200 : 5))
        return;
    sim_faults_end(sim, faults);
    calm(sim);
}

static bool has_just_failed(struct sim *sim, struct sim_faults *faults)
{
    uint64_t n_failed = faults->n_failed;
    faults->n_failed = sim->totals.failed_allocations;
    return faults->n_failed > n_failed;
}

static void misbehave(struct sim *sim)
{
    struct sim_faults faults = {0};
    for (unsigned n = 0; n < sim->plan.n_steps; n++) {
        sim->step++;
        sim->now_ms += (int64_t)sim_below(sim, 40);
        if (sim_chance(sim, sim->plan.idle_per_mille))
            sim->now_ms += (int64_t)sim_below(sim, 1500);
        sim_faults_come(sim, &faults);
        if (has_just_failed(sim, &faults) || maybe_kick(sim))
            maybe_calm(sim, &faults, true);
        maybe_calm(sim, &faults, maybe_push(sim));
        maybe_repeat(sim);
        maybe_withdraw(sim);
        maybe_connect(sim);
        sim_step(sim, false,
                 faults.late_worker_until < sim->step ? SIM_WORKERS_MAX : faults.late_worker,
                 faults.late_store_until >= sim->step);
    }
    sim_faults_end(sim, &faults);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        if (sim_node_is_draining(&sim->nodes[i]))
            sim_restart(&sim->nodes[i]);
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
        step_smoothly(sim);
        connect_missing(sim);
    }
}

static void set_users(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        struct sim_user *user = &sim->users[i];
        snprintf(user->id, sizeof user->id, "user-%u-%" PRIu64, i, sim->seed);
        memcpy(user->store_id, user->id, sizeof user->id);
        list_init(&user->writes);
    }
}

static struct sim *present; /* the clocks name no owner */

/* A node's own clock, which nothing in the store goes by. */
static int64_t wall_ms(void)
{
    return sim_wall_ms(present) + (present->here == NULL ? 0 : present->here->wall_ahead_ms);
}

static int64_t monotonic_us(void)
{
    return (1000000 + present->now_ms) * 1000;
}

static void begin(struct sim *sim)
{
    list_init(&sim->tabs);
    list_init(&sim->asks);
    list_init(&sim->answers);
    list_init(&sim->told);
    sim_store_open(sim);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->sim = sim;
        node->index = i;
        sim_channel_init(node);
        sim_link_open(node);
        sim_node_start(node);
    }
    sim->totals.fleets += sim->plan.n_nodes > 1;
}

static void end(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim_node_crash(&sim->nodes[i]);
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        sim_tab_drop(CONTAINER_OF(link, struct sim_tab, link));
    }
    sim->now_ms += STORE_REPLIES_MS;
    sim_watch_end(sim);
    sim_ask_turn(sim); /* frees the answers to questions that are over */
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim_link_close(&sim->nodes[i]);
    sim_store_close(sim);
    sim_loss_end(sim);
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
    draw_plan(sim);
    draw_options(sim);
    set_users(sim);
    begin(sim);
    misbehave(sim);
    sim_model_compare(sim);
    settle(sim);
    sim_model_compare(sim);
    sim_model_check_end(sim);
    end(sim);
}
