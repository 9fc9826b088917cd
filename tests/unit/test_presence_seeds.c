/* Presence over several nodes, drawn: users come and go, with several sessions and on several
 * nodes; nodes are killed and come again, hand over, stop cleanly, are cut off; answers are lost;
 * the store loses everything. Whatever happened, a user's events alternate, and when all is well
 * again they end in the truth, and so does the record. */
#include "gateway/base/clock.h"
#include "tests/support/presence_node.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SEEDS /* fewer with a sanitizer */
#define SEEDS 60
#endif

enum { NODES = 3, USERS = 40, STEPS = 400, GRACE_MS = 3000 };

static struct presence_record record;
static struct presence_node nodes[NODES];
static struct presence_node *all[NODES] = {&nodes[0], &nodes[1], &nodes[2]};
static uint64_t drawn;

static uint64_t draw(uint64_t below)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return ((drawn * UINT64_C(0x2545f4914f6cdd1d)) >> 16) % below;
}

static const char *name_of(unsigned user)
{
    static char name[16];
    snprintf(name, sizeof name, "u%u", user);
    return name;
}

static void open_node(struct presence_node *node)
{
    presence_node_open(node, &record, GRACE_MS, PRESENCE_TYPES);
}

static void start_anew(struct presence_node *node)
{
    presence_node_kill(node);
    open_node(node);
    presence_node_start(node, NULL);
}

/* The new process has the sessions of most users; some come back to it or do not. */
static void hand_over(struct presence_node *node)
{
    char name[RECORD_NAME_BYTES];
    bool has[USERS];
    struct span of = presence_name(node->events.presence);
    snprintf(name, sizeof name, "%.*s", (int)of.len, of.bytes);
    for (unsigned i = 0; i < USERS; i++)
        has[i] = presence_node_has(node, name_of(i)) && draw(10) > 0;
    presence_let_go(node->events.presence);
    serving_let_go(node->events.serving);
    presence_node_kill(node);
    open_node(node);
    for (unsigned i = 0; i < USERS; i++) {
        if (has[i])
            presence_node_enter(node, name_of(i));
    }
    presence_node_start(node, name);
}

static void come_or_go(void)
{
    struct presence_node *node = all[draw(NODES)];
    const char *name = name_of((unsigned)draw(USERS));
    if (presence_node_has(node, name) && draw(3) > 0)
        presence_node_leave(node, name, OFFLINE_CLOSED);
    else
        presence_node_enter(node, name);
}

static void do_something(void)
{
    struct presence_node *node = all[draw(NODES)];
    switch (draw(40)) {
    case 0:
        start_anew(node);
        break;
    case 1:
        hand_over(node);
        break;
    case 2:
    case 3:
        presence_link_cut(&node->link, !node->link.is_cut);
        break;
    case 4:
    case 5:
        node->link.loses_answers = !node->link.loses_answers;
        break;
    case 6:
        node->link.holds = !node->link.holds;
        break;
    case 7:
        if (draw(8) == 0)
            presence_record_lose(&record);
        break;
    case 8:
        presence_nodes_wait_ms(all, NODES, (int64_t)draw(40000));
        break;
    default:
        come_or_go();
    }
    presence_nodes_wait_ms(all, NODES, (int64_t)draw(8) * 100);
}

static bool is_anywhere(const char *name)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (presence_node_has(all[i], name))
            return true;
    }
    return false;
}

static void check_alternate(uint64_t seed)
{
    for (unsigned i = 0; i < USERS; i++) {
        const char *name = name_of(i);
        bool is_online = false;
        for (size_t k = 0; k < record.n_events; k++) {
            const struct record_event *event = &record.events[k];
            if (strcmp(event->user_id, name) != 0)
                continue;
            cr_assert_neq(event->is_online, is_online, "seed %" PRIu64 ": %s twice", seed, name);
            is_online = event->is_online;
        }
    }
}

static void check_truth(uint64_t seed)
{
    for (unsigned i = 0; i < USERS; i++) {
        const char *name = name_of(i);
        cr_assert_eq(presence_record_told(&record, name), is_anywhere(name),
                     "seed %" PRIu64 ": %s is %s", seed, name,
                     is_anywhere(name) ? "here" : "not here");
        for (unsigned k = 0; k < NODES; k++)
            cr_assert_eq(
                presence_record_has(&record, name, presence_name(nodes[k].events.presence)),
                presence_node_has(&nodes[k], name), "seed %" PRIu64 ": %s at node %u", seed, name,
                k);
    }
}

static void check_serving(uint64_t seed)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        unsigned n = 0;
        for (unsigned k = 0; k < NODES; k++)
            n += serving_is_mine(nodes[k].events.serving, i);
        cr_assert_eq(n, 1, "seed %" PRIu64 ": partition %u is served by %u", seed, i, n);
    }
}

static void heal(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        presence_link_cut(&nodes[i].link, false);
        nodes[i].link.loses_answers = false;
        nodes[i].link.holds = false;
    }
    presence_nodes_wait_ms(all, NODES, 90000);
}

static void run_seed(uint64_t seed)
{
    drawn = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    presence_node_replace_clock();
    presence_record_init(&record, presence_node_clock);
    for (unsigned i = 0; i < NODES; i++) {
        open_node(&nodes[i]);
        presence_node_start(&nodes[i], NULL);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        do_something();
        check_alternate(seed);
    }
    heal();
    check_alternate(seed);
    check_truth(seed);
    check_serving(seed);
    for (unsigned i = 0; i < NODES; i++)
        presence_node_kill(&nodes[i]);
    presence_record_fini(&record);
    clock_replace(NULL, NULL);
}

ParameterizedTestParameters(presence_seeds, end_in_the_truth)
{
    static int seeds[SEEDS];
    for (int i = 0; i < SEEDS; i++)
        seeds[i] = i + 1;
    return cr_make_param_array(int, seeds, SEEDS);
}

ParameterizedTest(int *seed, presence_seeds, end_in_the_truth, .timeout = 120)
{
    run_seed((uint64_t)*seed);
}
