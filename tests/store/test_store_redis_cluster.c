/* The contract of every store against a Redis Cluster of three primaries, which is started once for
 * all cases; and what only a Cluster can do. A test that takes primaries away has a Cluster of its
 * own. */
#include "tests/store/redis_backend.h"

#include "tests/store/cluster_server.h"

#include <criterion/hooks.h>
#include <netinet/in.h>

static struct cluster_server shared;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    cluster_server_start(&shared);
    cluster_server_announce(&shared);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    cluster_server_stop(&shared);
}

/* ---- users of a slot, and of a node ---- */

/* The n-th user (from 0) whose slot is at this node from the start. */
static const char *user_at(const struct cluster_server *cluster, unsigned node, unsigned n)
{
    static char users[8][16];
    static unsigned next;
    char *user = users[next++ % 8];
    for (unsigned i = 0;; i++) {
        snprintf(user, sizeof users[0], "user%u", i);
        if (cluster_server_owner(cluster_server_slot(cluster, user)) == node && n-- == 0)
            return user;
    }
}

/* A Cluster of the test's own, with a store on it. */
static void begin_own(struct cluster_server *own)
{
    cluster_server_start(own);
    cluster_server_announce(own);
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

static enum err append_until(const char *user, enum err wanted)
{
    enum err error = ERR_SYSTEM;
    for (int i = 0; i < ANSWER_MAX_S * 50 && error != wanted; i++) {
        if (error != ERR_SYSTEM)
            pause_ms(20);
        error = append_one(store, user, "{}", 60).error;
    }
    return error;
}

/* ---- many slots ---- */

Test(store_redis, users_of_all_primaries_are_served)
{
    char user[16];
    for (int i = 0; i < 100; i++) {
        snprintf(user, sizeof user, "anna%d", i);
        arrive(store, user);
        append_number(store, user, i, 60);
        wait_for_notification(user, 1);
    }
}

Test(store_redis, one_append_reaches_users_of_all_primaries)
{
    enum { MANY = 60 };
    static char names[MANY][16];
    static struct store_target targets[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "bert%d", i);
        targets[i] = (struct store_target){.user_id = span_of(names[i])};
    }
    append_to(store, targets, MANY, SPAN_LITERAL("{}"), 60);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(targets[i].error, ERR_OK);
        cr_assert_eq(targets[i].seq, 1);
    }
}

Test(store_redis, userids_with_braces_and_percents_are_found_again)
{
    static const char *const users[] = {"a{b}%c", "a%7Bb}", "{}", "\xf0\x9f\x93\xaf ", ":inbox"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        arrive(store, users[i]);
        append_number(store, users[i], (int)i, 60);
        wait_for_notification(users[i], 1);
    }
}

/* ---- a slot that moves ---- */

/* Nobody asks for anything meanwhile: Redis says that the subscription is over, and the node finds
 * the new primary by itself. */
Test(store_redis, a_subscription_follows_its_slot)
{
    struct cluster_server own;
    begin_own(&own);
    const char *user = user_at(&own, 0, 0);
    unsigned slot = cluster_server_slot(&own, user);
    arrive(store, user);
    append_number(store, user, 0, 60);
    wait_for_notification(user, 1);
    cluster_server_move(&own, slot, 0, 1);
    wait_for_missed(1);
    cr_assert_eq(append_until(user, ERR_OK), ERR_OK);
    wait_for_notification(user, 2);
    cr_assert_eq(append_one(store, user, "{}", 60).nodes, 1, "subscribed once");
    cluster_server_move(&own, slot, 1, 0);
    wait_for_missed(2);
    cr_assert_eq(append_until(user, ERR_OK), ERR_OK);
    wait_for_notification(user, 4);
    cluster_server_stop(&own);
}

Test(store_redis, a_request_finds_a_slot_that_has_moved)
{
    struct cluster_server own;
    begin_own(&own);
    const char *user = user_at(&own, 2, 0);
    append_number(store, user, 0, 60);
    cluster_server_move(&own, cluster_server_slot(&own, user), 2, 0);
    cr_assert_eq(append_until(user, ERR_OK), ERR_OK);
    cr_assert_eq(peek_one(store, user).pending, 2);
    cluster_server_stop(&own);
}

/* ---- a primary that is away ---- */

Test(store_redis, a_primary_that_is_away_takes_only_its_own_slots_with_it)
{
    struct cluster_server own;
    begin_own(&own);
    const char *there = user_at(&own, 0, 0);
    const char *away = user_at(&own, 1, 0);
    arrive(store, there);
    arrive(store, away);
    cluster_server_kill(&own, 1);
    cr_assert_eq(append_until(away, ERR_STORE_UNAVAILABLE), ERR_STORE_UNAVAILABLE);
    for (int i = 0; i < 50; i++) {
        append_number(store, there, i, 60);
        pause_ms(10);
    }
    wait_for_notification(there, 50);
    cr_assert_eq(recorder.state, 1, "the store is up while one primary is");

    cluster_server_start_node(&own, 1);
    wait_for_missed(1);
    cr_assert_eq(append_until(away, ERR_OK), ERR_OK);
    wait_for_notifications(away, 1); /* its user is subscribed again */
    cluster_server_stop(&own);
}

Test(store_redis, without_any_primary_the_store_is_down_and_comes_back)
{
    struct cluster_server own;
    begin_own(&own);
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        cluster_server_kill(&own, i);
    wait_for_state(false);
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        cluster_server_start_node(&own, i);
    wait_for_state(true);
    cr_assert_eq(append_until(user_at(&own, 2, 0), ERR_OK), ERR_OK);
    cluster_server_stop(&own);
}

/* ---- what is no Cluster ---- */

static void expect_problem(const char *url, const char *expected)
{
    char text[800] = "";
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, url);
    for (int i = 0; i < SOON_MS / 5 && strstr(text, expected) == NULL; i++) {
        pause_ms(5);
        store_describe(store, text, sizeof text);
    }
    cr_assert_not_null(strstr(text, expected), "%s", text);
}

Test(store_redis, a_redis_that_is_no_node_of_a_cluster_is_said_as_such)
{
    struct redis_server single;
    char port[8], url[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%s", port);
    redis_server_prepare(&single);
    redis_server_start(&single, "--port", port);
    expect_problem(url, "this Redis is not in cluster mode (write redis:// in --store)");
    redis_server_remove(&single);
}

Test(store_redis, a_node_of_a_cluster_is_no_single_redis)
{
    char url[64];
    struct cluster_server cluster;
    cluster_server_find(&cluster);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", cluster.nodes[0].port);
    expect_problem(url, "this is a node of a Redis Cluster (write redis+cluster://HOST:PORT");
}
