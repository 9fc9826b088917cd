/* Which partitions a node serves, beside other nodes on a played record. */
#include "gateway/base/clock.h"
#include "tests/support/presence_node.h"

#include <criterion/criterion.h>
#include <string.h>

enum { GRACE_MS = 10000, MANY = 3 };

static struct presence_record record;
static struct presence_node nodes[MANY];
static struct presence_node *all[MANY] = {&nodes[0], &nodes[1], &nodes[2]};

struct heard {
    struct serving_listener listener;
    int mine[STORE_PARTITIONS];
    unsigned n_due;
    uint64_t n_pending;
    unsigned n_looks;
    unsigned n_lost;
};
static struct heard heard[MANY];

static void on_gained(struct serving_listener *listener, unsigned partition)
{
    struct heard *of = CONTAINER_OF(listener, struct heard, listener);
    cr_expect_eq(of->mine[partition]++, 0, "it is told once");
}

static void on_lost(struct serving_listener *listener, unsigned partition)
{
    struct heard *of = CONTAINER_OF(listener, struct heard, listener);
    cr_expect_eq(of->mine[partition]--, 1, "it is told once");
    of->n_lost++;
}

static void on_due(struct serving_listener *listener, unsigned partition,
                   const struct store_alert *due, size_t n, uint64_t n_pending)
{
    struct heard *of = CONTAINER_OF(listener, struct heard, listener);
    cr_expect_eq(of->mine[partition], 1);
    cr_expect(n == 0 || due[0].seq == 7);
    of->n_looks++;
    of->n_due += (unsigned)n;
    of->n_pending = n_pending;
}

static void open_node(unsigned i)
{
    heard[i] = (struct heard){.listener = {on_gained, on_lost, on_due, NULL}};
    presence_node_open(&nodes[i], &record, GRACE_MS, PRESENCE_TYPES);
    serving_listen(nodes[i].events.serving, &heard[i].listener);
    presence_node_start(&nodes[i], NULL);
    presence_node_turn(&nodes[i]);
}

static void set_up(void)
{
    presence_node_replace_clock();
    presence_record_init(&record, presence_node_clock);
}

static void tear_down(void)
{
    presence_record_fini(&record);
    clock_replace(NULL, NULL);
}

TestSuite(serving, .init = set_up, .fini = tear_down);

static void wait_ms(unsigned n_nodes, int64_t ms)
{
    presence_nodes_wait_ms(all, n_nodes, ms);
}

static unsigned count_mine(unsigned i)
{
    unsigned n = 0;
    for (unsigned partition = 0; partition < STORE_PARTITIONS; partition++) {
        bool is_mine = serving_is_mine(nodes[i].events.serving, partition);
        cr_expect_eq(is_mine, heard[i].mine[partition] == 1);
        n += is_mine;
    }
    return n;
}

Test(serving, of_one_node_alone_is_all_partitions_at_once)
{
    open_node(0);
    cr_expect_eq(count_mine(0), STORE_PARTITIONS);
    wait_ms(1, 60000);
    cr_expect_eq(count_mine(0), STORE_PARTITIONS);
    cr_expect_eq(heard[0].n_lost, 0);
    presence_node_kill(&nodes[0]);
}

Test(serving, is_shared_equally_within_a_minute_of_a_nodes_coming)
{
    open_node(0);
    wait_ms(1, 10000);
    open_node(1);
    wait_ms(2, 30000);
    cr_expect_eq(count_mine(0), 8);
    cr_expect_eq(count_mine(1), 8);
    open_node(2);
    wait_ms(3, 60000);
    for (unsigned i = 0; i < MANY; i++)
        cr_expect_leq(count_mine(i), 6);
    cr_expect_eq(count_mine(0) + count_mine(1) + count_mine(2), STORE_PARTITIONS);
    unsigned n_lost = heard[0].n_lost + heard[1].n_lost + heard[2].n_lost;
    wait_ms(3, 120000);
    cr_expect_eq(heard[0].n_lost + heard[1].n_lost + heard[2].n_lost, n_lost, "then all rests");
    for (unsigned i = 0; i < MANY; i++)
        presence_node_kill(&nodes[i]);
}

/* EVENTS: taken over within 20 s of a death. */
Test(serving, of_a_node_that_died_is_taken_over_within_20_seconds)
{
    open_node(0);
    open_node(1);
    wait_ms(2, 40000);
    cr_expect_eq(count_mine(0), 8);
    presence_node_kill(&nodes[1]);
    wait_ms(1, 20000);
    cr_expect_eq(count_mine(0), STORE_PARTITIONS);
    presence_node_kill(&nodes[0]);
}

Test(serving, ends_by_the_clock_when_the_store_does_not_answer)
{
    open_node(0);
    open_node(1);
    wait_ms(2, 40000);
    presence_link_cut(&nodes[1].link, true);
    wait_ms(2, STORE_SERVE_LEASE_MS - 2500);
    cr_expect_eq(count_mine(1), 8);
    nodes[1].link.holds = true; /* nothing wakes its partitions but their timers */
    presence_node_now_ms += 3000;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        cr_expect_not(serving_is_mine(nodes[1].events.serving, i));
    wait_ms(2, 3000);
    nodes[1].link.holds = false;
    wait_ms(2, 20000);
    cr_expect_eq(count_mine(1), 0);
    cr_expect_eq(count_mine(0), STORE_PARTITIONS);
    presence_node_kill(&nodes[0]);
    presence_node_kill(&nodes[1]);
}

/* Who looks by the clock stops when the lease is over, and goes on when it is told. */
Test(serving, is_told_anew_when_the_answer_comes_after_the_lease_was_over)
{
    for (int64_t late_ms = STORE_SERVE_LEASE_MS - 1000; late_ms <= STORE_SERVE_LEASE_MS + 1000;
         late_ms += 1000) {
        open_node(0);
        wait_ms(1, 60000); /* the leases of the one before are over */
        heard[0].n_lost = 0;
        nodes[0].link.holds = true;
        wait_ms(1, 2000); /* each partition has asked */
        presence_node_now_ms += late_ms - 500;
        for (unsigned i = 0; i < STORE_PARTITIONS; i++)
            cr_expect_not(serving_is_mine(nodes[0].events.serving, i));
        cr_expect_eq(heard[0].n_lost, 0, "nothing has woken it");
        nodes[0].link.holds = false;
        presence_node_turn(&nodes[0]);
        wait_ms(1, 2000);
        cr_expect_eq(count_mine(0), STORE_PARTITIONS);
        cr_expect_eq(heard[0].n_lost, STORE_PARTITIONS);
        presence_node_kill(&nodes[0]);
    }
}

Test(serving, goes_to_the_other_process_of_an_upgrade)
{
    open_node(0);
    wait_ms(1, 10000);
    struct span name = presence_name(nodes[0].events.presence);
    char copy[RECORD_NAME_BYTES] = "";
    memcpy(copy, name.bytes, name.len);
    presence_let_go(nodes[0].events.presence);
    serving_let_go(nodes[0].events.serving);
    cr_expect_eq(count_mine(0), 0);
    heard[1] = (struct heard){.listener = {on_gained, on_lost, on_due, NULL}};
    presence_node_open(&nodes[1], &record, GRACE_MS, PRESENCE_TYPES);
    serving_listen(nodes[1].events.serving, &heard[1].listener);
    presence_node_start(&nodes[1], copy);
    presence_node_turn(&nodes[1]);
    cr_expect_eq(count_mine(1), STORE_PARTITIONS, "the lease is of that name");
    presence_node_kill(&nodes[0]);
    presence_node_kill(&nodes[1]);
}

Test(serving, tells_of_due_alerts_when_they_are_due_and_when_it_is_asked)
{
    all[0] = &nodes[0];
    open_node(0);
    wait_ms(1, 1900);
    nodes[0].link.alert = (struct store_alert){.seq = 7};
    nodes[0].link.alert_of = 3;
    nodes[0].link.alert_ms = presence_node_now_ms + 3300;
    wait_ms(1, 3200);
    cr_expect_eq(heard[0].n_due, 0);
    wait_ms(1, 400);
    cr_expect_eq(heard[0].n_due, 1, "at its time, not with the next look");
    nodes[0].link.alert_ms = presence_node_now_ms + 1000000;
    wait_ms(1, 2000);
    unsigned n_looks = heard[0].n_looks;
    serving_ask(nodes[0].events.serving, 3);
    presence_node_turn(&nodes[0]);
    cr_expect_eq(heard[0].n_looks, n_looks + 1);
    cr_expect_eq(heard[0].n_pending, 1);
    presence_node_kill(&nodes[0]);
}

Test(serving, passes_over_as_many_due_alerts_as_it_is_told_until_it_loses_the_partition)
{
    all[0] = &nodes[0];
    open_node(0);
    wait_ms(1, 1900);
    nodes[0].link.alert = (struct store_alert){.seq = 7};
    nodes[0].link.alert_of = 3;
    nodes[0].link.alert_ms = presence_node_now_ms;
    serving_skip_alerts(nodes[0].events.serving, 3, 1);
    wait_ms(1, 4000);
    cr_expect_eq(heard[0].n_due, 0);
    presence_link_cut(&nodes[0].link, true);
    wait_ms(1, STORE_SERVE_LEASE_MS + 2000);
    cr_expect_eq(count_mine(0), 0);
    presence_link_cut(&nodes[0].link, false);
    wait_ms(1, 4000);
    cr_expect_gt(heard[0].n_due, 0);
    presence_node_kill(&nodes[0]);
}

Test(serving, of_a_local_store_is_all_of_it_and_looks_each_second)
{
    record.is_local = true;
    open_node(0);
    cr_expect_eq(count_mine(0), STORE_PARTITIONS);
    unsigned n_looks = heard[0].n_looks;
    wait_ms(1, 10000);
    cr_expect_geq(heard[0].n_looks - n_looks, 8 * STORE_PARTITIONS);
    cr_expect_leq(heard[0].n_looks - n_looks, 11 * STORE_PARTITIONS);
    presence_node_kill(&nodes[0]);
}

/* Users of the process before have --offline-after from the start to come back. */
Test(serving, judges_nobody_before_offline_after_has_passed_since_the_start)
{
    record.is_local = true;
    open_node(0);
    presence_node_enter(&nodes[0], "ada");
    wait_ms(1, 2000);
    presence_node_kill(&nodes[0]);
    presence_node_now_ms += 3600000;
    open_node(0);
    wait_ms(1, GRACE_MS - 1000);
    cr_expect_eq(record.n_events, 1);
    wait_ms(1, 3000);
    cr_expect_eq(record.n_events, 2);
    cr_expect_eq(record.events[1].cause, OFFLINE_NODE_LOST);
    presence_node_kill(&nodes[0]);
}
