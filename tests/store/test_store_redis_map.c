/* When the map of a Cluster is asked for, of whom, and what of it is believed. The nodes say what
 * the test wants, and no request tells the store that something has moved. */
#include "tests/store/fake_cluster.h"
#include "tests/store/redis_backend.h"

static struct fake_cluster cluster;
static atomic_bool is_lying;      /* node 0: nobody has any slot */
static atomic_bool is_behind;     /* node 0: nobody has the first slot */
static atomic_int n_lies, n_true; /* answers of node 0 meanwhile, and of the others */

static enum fake_verdict say_map(struct fake_cluster *of, unsigned node,
                                 struct fake_command *command)
{
    bool is_false = atomic_load(&is_lying) || atomic_load(&is_behind);
    if (!fake_is(command, "CLUSTER") || !is_false)
        return FAKE_PASS;
    if (node != 0) {
        atomic_fetch_add(&n_true, 1);
        return FAKE_PASS;
    }
    atomic_fetch_add(&n_lies, 1);
    if (atomic_load(&is_lying))
        return fake_say(command, "*0\r\n");
    unsigned char owner = atomic_exchange(&of->owner[0], FAKE_NOBODY);
    enum fake_verdict verdict = fake_cluster_say_slots(of, command);
    atomic_store(&of->owner[0], owner);
    return verdict;
}

static void begin(void)
{
    backend_close(store);
    atomic_store(&n_lies, 0);
    atomic_store(&n_true, 0);
    fake_cluster_start(&cluster, &server, say_map);
    static struct store_config config;
    config = contract_config(1000, 1 << 20);
    store = open_on(&config, cluster.url);
    wait_for_state(true);
}

static void end(void)
{
    backend_close(store);
    fake_cluster_stop(&cluster);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

static void wait_for_missing(unsigned wanted)
{
    for (int i = 0; i < SOON_MS && store_slots_missing(store) != wanted; i++)
        pause_ms(1);
    cr_assert_eq(store_slots_missing(store), wanted);
}

/* Questions of the start have been answered; the next is the minute's. */
static unsigned wait_for_rest(void)
{
    unsigned asked;
    wait_for_missing(0);
    do {
        asked = atomic_load(&cluster.n_asked_maps);
        pause_ms(1200); /* more than between two questions in trouble */
    } while (atomic_load(&cluster.n_asked_maps) != asked);
    return asked;
}

static void wait_for_maps(unsigned wanted)
{
    for (int i = 0; i < SOON_MS && atomic_load(&cluster.n_asked_maps) < wanted; i++)
        pause_ms(1);
    cr_assert_geq(atomic_load(&cluster.n_asked_maps), wanted);
}

Test(store_redis, a_slot_that_is_found_elsewhere_has_the_map_asked_for)
{
    const char *user = fake_cluster_user(1, 0);
    begin();
    unsigned asked = wait_for_rest();
    cluster.owner[fake_cluster_slot(user)] = 2;
    cr_assert_eq(append_one(store, user, "{}", 60).error, ERR_OK);
    wait_for_maps(asked + 1);
    end();
}

Test(store_redis, a_link_that_is_lost_has_the_map_asked_for)
{
    begin();
    unsigned asked = wait_for_rest();
    fake_redis_drop(&cluster.nodes[2]); /* the map is asked of the first */
    wait_for_maps(asked + 1);
    end();
}

/* While a part is away it may come back any moment, and nobody says so. */
Test(store_redis, slots_without_an_owner_are_found_again_without_being_asked_for)
{
    begin();
    wait_for_missing(0);
    for (unsigned slot = 5; slot < 9; slot++)
        cluster.owner[slot] = FAKE_NOBODY;
    fake_redis_drop(&cluster.nodes[2]);
    wait_for_missing(4);
    for (unsigned slot = 5; slot < 9; slot++)
        cluster.owner[slot] = 1;
    wait_for_missing(0);
    end();
}

/* It has just begun, or was left out of the Cluster. */
Test(store_redis, a_node_that_knows_of_no_slots_is_not_believed_when_others_do)
{
    begin();
    wait_for_missing(0);
    atomic_store(&is_lying, true);
    fake_redis_drop(&cluster.nodes[2]);
    for (int i = 0; i < SOON_MS && atomic_load(&n_true) == 0; i++) {
        cr_assert_lt(store_slots_missing(store), FAKE_SLOTS, "links to two nodes are up");
        pause_ms(1);
    }
    cr_assert_gt(atomic_load(&n_lies), 0);
    cr_assert_gt(atomic_load(&n_true), 0);
    wait_for_missing(0);
    end();
}

/* The only host of the address is the one that is behind; the others are in its map. */
Test(store_redis, a_node_that_goes_on_missing_a_slot_is_left_for_another)
{
    atomic_store(&is_behind, true);
    begin();
    wait_for_missing(0);
    cr_assert_gt(atomic_load(&n_lies), 0);
    cr_assert_gt(atomic_load(&n_true), 0);
    end();
}
