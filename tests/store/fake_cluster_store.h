/* A store on a scripted Cluster (fake_cluster.h), for a test: begun with a rule of the test, or
 * NULL, and ended with a store on a Redis again, as the suite expects. Behind
 * tests/store/redis_backend.h. */
#ifndef HERALD_TESTS_STORE_FAKE_CLUSTER_STORE_H
#define HERALD_TESTS_STORE_FAKE_CLUSTER_STORE_H

#include "tests/store/fake_cluster.h"

static struct fake_cluster cluster;
static int64_t reconnects; /* so far, when all primaries were up */

static void begin_cluster_with(fake_node_rule *rule, struct store_config *config)
{
    char problem[800] = "?";
    backend_close(store);
    fake_cluster_start(&cluster, &server, rule);
    store = open_on(config, cluster.url);
    for (int i = 0; i < SOON_MS / 5 && problem[0] != '\0'; i++) {
        pause_ms(5);
        store_describe(store, problem, sizeof problem);
    }
    cr_assert_str_empty(problem);
    reconnects = metrics_read(METRIC_STORE_RECONNECTS);
}

__attribute__((unused)) static void begin_cluster(fake_node_rule *rule)
{
    struct store_config config = contract_config(1000, 1 << 20);
    begin_cluster_with(rule, &config);
}

static void end_cluster(void)
{
    backend_close(store);
    fake_cluster_stop(&cluster);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

__attribute__((unused)) static void expect_same_links(void)
{
    cr_assert_eq(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
}

/* Nobody is told, and who is subscribed stays: the first command of the slot finds out. */
__attribute__((unused)) static void move_quietly(unsigned slot, unsigned to)
{
    cluster.owner[slot] = (unsigned char)to;
}

/* ---- the lane's thread ---- */

struct posted {
    struct letter letter;
    sem_t done;
};

static void deliver_posted(struct letter *letter)
{
    sem_post(&CONTAINER_OF(letter, struct posted, letter)->done);
}

/* What was submitted before has been sent. */
__attribute__((unused)) static void wait_for_lane(void)
{
    for (int i = 0; i < 2; i++) { /* a turn sends at its end */
        struct posted posted = {.letter.deliver = deliver_posted};
        sem_init(&posted.done, 0, 0);
        mailbox_post(reactor_mailbox(lane), &posted.letter);
        sem_wait(&posted.done);
    }
}

#endif
