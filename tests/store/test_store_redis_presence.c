/* Who is online, who serves a partition, and which alerts are pending, as Redis keeps it: the keys,
 * the leases, and the steps that many users take. What every store promises of them is in
 * cases_presence.c and cases_alerts.c. */
#include "tests/store/redis_backend.h"

#include "tests/store/presence_calls.h"

enum { PARTITION = 3 };

static void open_events(void)
{
    contract_open_events((struct store_config){.alerts_max = 3});
}

static struct store_presence write_presence(const char *node, size_t n,
                                            const struct store_presence_change *changes,
                                            bool is_leaving)
{
    struct store_presence presence =
        presence_run(store, (struct store_presence){.partition = PARTITION,
                                                    .node = span_of(node),
                                                    .offline_after_ms = GRACE_MS,
                                                    .is_leaving = is_leaving,
                                                    .n_changes = n,
                                                    .changes = changes});
    cr_assert_eq(presence.error, ERR_OK);
    return presence;
}

/* The user need not be one of the partition: Redis does not look. */
static void comes(const char *node, const char *user)
{
    struct store_presence_change change = {
        .user_id = span_of(user), .is_here = true, .event = SPAN_LITERAL(ONLINE("one"))};
    write_presence(node, 1, &change, false);
}

static void leaves(const char *node, const char *user, int64_t last_seen_ms)
{
    struct store_presence_change change = {
        .user_id = span_of(user), .last_seen_ms = last_seen_ms, .cause = OFFLINE_SILENT};
    write_presence(node, 1, &change, false);
}

static void expect_here(const char *node, const char *users)
{
    expect_present(store, PARTITION, node, users);
}

/* The alerts are freed. */
static struct store_serve serve_as(const char *node, bool wants_lease)
{
    struct store_serve asked = serve_asked(PARTITION, node);
    asked.wants_lease = wants_lease;
    struct store_serve serve = serve_run(store, asked);
    cr_assert_eq(serve.error, ERR_OK);
    free(serve.alerts);
    serve.alerts = NULL;
    return serve;
}

static uint64_t count_pending(void)
{
    struct store_serve serve = serve_as("na", true);
    cr_assert(serve.is_mine);
    return serve.n_pending_alerts;
}

static size_t count_events(void)
{
    return consumers_list(store, PARTITION).head;
}

static int64_t now_ms(void)
{
    return store_now_of(store, store_partition_user(PARTITION));
}

static void write_lease(const char *node, int64_t renewed_ms, int64_t since_ms)
{
    char line[160];
    snprintf(line, sizeof line, "HSET herald:{%%events.3}:leases %s %lld:%lld:", node,
             (long long)renewed_ms, (long long)since_ms);
    redis_server_do(&server, line);
}

/* A node whose lease was renewed for the last time a minute ago, in an epoch that began before. */
static int64_t age_node(const char *node)
{
    int64_t renewed_ms = now_ms() - 60000;
    write_lease(node, renewed_ms, renewed_ms);
    redis_server_do(&server, "HSET herald:{%events.3}:meta began 1");
    return renewed_ms;
}

/* As event_write_offline writes it. */
static bool is_offline_told(const char *user, int64_t last_seen_ms)
{
    struct store_page page = event_page(store, PARTITION, "");
    struct buf wanted;
    bool is_told = false;
    buf_init(&wanted, 4096);
    cr_assert_eq(event_write_offline(&wanted, span_of(user), last_seen_ms, OFFLINE_NODE_LOST),
                 ERR_OK);
    for (size_t i = 0; i < page.n_notes; i++)
        is_told = is_told || span_equal(payload_data(page.notes[i]->payload), buf_span(&wanted));
    buf_fini(&wanted);
    page_free(&page);
    return is_told;
}

Test(store_redis, a_user_on_two_nodes_comes_once_and_leaves_with_the_last)
{
    open_events();
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    cr_assert_not(write_presence("na", 0, NULL, false).is_new);
    comes("na", "7");
    comes("na", "7");
    comes("nb", "7");
    comes("nb", "10");
    cr_assert_eq(count_events(), 2);
    expect_here("", "10,7,");
    expect_here("na", "7,");
    expect_here("nb", "10,7,");
    leaves("na", "7", now_ms());
    leaves("na", "7", now_ms());
    expect_here("na", "");
    expect_here("nb", "10,7,");
    leaves("nb", "7", now_ms());
    expect_here("", "10,7,");
    comes("na", "7");
    cr_assert_eq(count_events(), 2, "within the grace time nothing is said");
    expect_here("na", "7,");
}

Test(store_redis, one_node_serves_until_it_gives_back)
{
    open_events();
    write_presence("na", 0, NULL, false);
    write_presence("nb", 0, NULL, false);
    cr_assert(serve_as("na", true).is_mine);
    struct store_serve other = serve_as("nb", true);
    cr_assert_not(other.is_mine);
    cr_assert_eq(other.n_nodes, 2);
    cr_assert(serve_as("na", true).is_mine);
    cr_assert_not(serve_as("na", false).is_mine);
    cr_assert(serve_as("nb", true).is_mine);
    cr_assert_not(serve_as("na", true).is_mine);
    redis_server_do(&server, "DEL herald:{%events.3}:serve");
    cr_assert(serve_as("na", true).is_mine, "a lease that is over is free");
    write_presence("nb", 0, NULL, true);
    cr_assert_eq(serve_as("na", true).n_nodes, 1);
}

/* In the first 15 s after its link came up a node judges nobody; then the users of a node that is
 * lost are ended 256 at a time, each with one event. */
Test(store_redis, the_users_of_a_lost_node_are_ended_by_whoever_serves)
{
    enum { USERS = 300 };
    static struct store_presence_change changes[USERS];
    static char names[USERS][16];
    int64_t opened_ms = clock_monotonic_ms();
    open_events();
    for (size_t i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "u%zu\"", i);
        changes[i] = (struct store_presence_change){.user_id = span_of(names[i]), .is_here = true};
    }
    write_presence("na", USERS, changes, false);
    comes("nb", "u1\"");
    leaves("nb", "gone", now_ms());
    comes("nb", "gone");
    leaves("nb", "gone", now_ms() - 5000);
    size_t before = count_events();
    int64_t lost_ms = age_node("na");
    struct store_serve serve = serve_as("nb", true);
    cr_assert(serve.is_mine);
    if (clock_monotonic_ms() - opened_ms < STORE_PRESENCE_LEASE_MS) {
        cr_assert_not(serve.has_more);
        cr_assert_eq(count_events(), before, "it came too recently to judge");
    }
    for (int i = 0; i < 400 && count_events() == before; i++) {
        pause_ms(100);
        write_presence("nb", 0, NULL, false);
        serve = serve_as("nb", true);
    }
    cr_assert_geq(clock_monotonic_ms() - opened_ms, STORE_PRESENCE_LEASE_MS - 100);
    cr_assert(serve.has_more);
    cr_assert(write_presence("na", 0, NULL, false).is_new, "some of its users were taken from it");
    age_node("na");
    while (serve.has_more)
        serve = serve_as("nb", true);
    cr_assert_eq(count_events(), before + USERS, "all but the one who is elsewhere, and one more");
    expect_here("", "u1\",");
    expect_here("nb", "u1\",");
    cr_assert(is_offline_told("u0\"", lost_ms));
    cr_assert(write_presence("na", 0, NULL, false).is_new);
}

/* Until this node judges: users of `lost`, a node whose lease is over, are ended by it. */
static void wait_until_judging(const char *node, const char *lost)
{
    comes(lost, "first");
    age_node(lost);
    serve_until_head(store, PARTITION, node, count_events() + 1);
}

static void expect_no_judge(const char *node, const char *why)
{
    size_t before = count_events();
    cr_assert(serve_as(node, true).is_mine);
    cr_assert_eq(count_events(), before, "%s", why);
}

/* Redis or the node stood still, or the clock has jumped: what the node asked for before, or asks
 * for first, ends nobody, though the leases of others are over. */
Test(store_redis, a_node_whose_own_renewals_were_late_ends_nobody)
{
    open_events();
    wait_until_judging("nb", "nx");
    comes("na", "7");
    int64_t lost_ms = age_node("na");
    int64_t long_ago_ms = now_ms() - 10 * STORE_PRESENCE_LEASE_MS;

    write_lease("nb", now_ms() - STORE_PRESENCE_LATE_MS, long_ago_ms);
    expect_no_judge("nb", "it was to renew its lease before");
    renew_lease(store, PARTITION, "nb");
    expect_no_judge("nb", "it has renewed its lease only now");

    write_lease("nb", now_ms() + STORE_PRESENCE_LEASE_MS, long_ago_ms);
    expect_no_judge("nb", "its lease was renewed by another clock");
    renew_lease(store, PARTITION, "nb");
    expect_no_judge("nb", "it has renewed its lease by this clock only now");

    write_presence("nb", 0, NULL, true);
    expect_no_judge("nb", "it has no lease");
    renew_lease(store, PARTITION, "nb");
    expect_no_judge("nb", "it is new");

    write_lease("nb", now_ms() - STORE_PRESENCE_RENEW_MS, long_ago_ms);
    renew_lease(store, PARTITION, "nb");
    serve_as("nb", true);
    cr_assert(is_offline_told("7", lost_ms), "a renewal in time changes nothing");
}

static void begin_epoch_at(int64_t began_ms)
{
    char line[100];
    snprintf(line, sizeof line, "HSET herald:{%%events.3}:meta began %lld", (long long)began_ms);
    redis_server_do(&server, line);
}

/* What the store had is lost: the other nodes may not have come to it yet. */
Test(store_redis, nobody_is_ended_in_the_15_s_after_an_epoch_began)
{
    open_events();
    wait_until_judging("nb", "nx");
    comes("na", "7");
    int64_t lost_ms = age_node("na");
    begin_epoch_at(now_ms());
    renew_lease(store, PARTITION, "nb");
    expect_no_judge("nb", "the epoch has just begun");
    begin_epoch_at(now_ms() - STORE_PRESENCE_LEASE_MS - CLOCK_SLACK_MS);
    renew_lease(store, PARTITION, "nb");
    serve_as("nb", true);
    cr_assert(is_offline_told("7", lost_ms));
}

/* A clock that was set back, or another primary whose clock is behind. */
Test(store_redis, who_was_seen_at_a_time_that_has_not_come_is_offline_in_time)
{
    enum { AHEAD_MS = 3600 * 1000 };
    char line[160];
    open_events();
    wait_until_judging("nb", "nx");
    comes("nb", "7");
    leaves("nb", "7", now_ms());
    long long ahead_ms = now_ms() + AHEAD_MS;
    snprintf(line, sizeof line, "HSET herald:{%%events.3}:on 7 o:%lld:silent", ahead_ms);
    redis_server_do(&server, line);
    snprintf(line, sizeof line, "ZADD herald:{%%events.3}:offline %lld 7", ahead_ms);
    redis_server_do(&server, line);
    comes("na", "8");
    write_lease("na", ahead_ms, ahead_ms);
    serve_until_head(store, PARTITION, "nb", count_events() + 2);
    expect_here("", "");
}

/* 31 days after nobody renews a lease there is nothing left. */
Test(store_redis, each_key_of_presence_expires)
{
    static const char *const keys[] = {"on", "on:na", "on:nb", "users", "offline", "leases"};
    char line[64];
    open_events();
    wait_until_judging("nc", "nx");
    renew_lease(store, PARTITION, "na");
    renew_lease(store, PARTITION, "nb"); /* their first of the day, with nobody */
    comes("na", "7");
    comes("nb", "8");
    comes("nb", "9");
    leaves("nb", "9", now_ms());
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(line, sizeof line, "PTTL herald:{%%events.3}:%s", keys[i]);
        cr_assert_gt(redis_server_number(&server, line), 0, "%s", keys[i]);
    }
    redis_server_do(&server, "DEL herald:{%events.3}:offline");
    age_node("na");
    struct store_serve asked = serve_asked(PARTITION, "nc");
    asked.offline_after_ms = 10 * 60000; /* the user's grace time runs */
    cr_assert_eq(serve_run(store, asked).error, ERR_OK);
    cr_assert_gt(redis_server_number(&server, "PTTL herald:{%events.3}:offline"), 0);
}

/* A Redis that was started again lacks its last second, though the lease is there. */
Test(store_redis, a_node_is_new_once_after_its_link_came_up)
{
    struct store_presence asked = {
        .partition = PARTITION, .node = SPAN_LITERAL("na"), .offline_after_ms = GRACE_MS};
    open_events();
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    cr_assert_not(write_presence("na", 0, NULL, false).is_new);
    asked.partition = PARTITION + 1;
    cr_assert(presence_run(store, asked).is_new, "each partition for itself");
    redis_server_do(&server, "CLIENT KILL TYPE normal SKIPME yes");
    struct store_presence again = presence_run(store, asked);
    for (int i = 0; i < SOON_MS / 10 && (again.error != ERR_OK || !again.is_new); i++) {
        pause_ms(10);
        again = presence_run(store, asked);
    }
    cr_assert(again.is_new);
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    cr_assert_not(write_presence("na", 0, NULL, false).is_new);
}

/* Of the partition. */
static struct store_target push_to(int number)
{
    static char names[10][32];
    name_user(PARTITION, number, names[number]);
    return push_with_alert(store, names[number], 1, "k");
}

Test(store_redis, an_alert_that_cannot_be_kept_fails_its_push_until_it_is_repeated)
{
    open_events();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(push_to(i).error, ERR_OK);
    cr_assert_eq(push_to(3).error, ERR_FULL);
    redis_server_do(&server, "DEL herald:{%events.3}:alerts");
    struct store_target repeat = push_to(3);
    cr_assert_eq(repeat.error, ERR_OK);
    cr_assert(repeat.is_duplicate);
    cr_assert_eq(count_pending(), 1);
    redis_server_do(&server, "DEL herald:{%events.3}:alerts");
    redis_server_do(&server, "SET herald:{%events.3}:alerts wrong");
    cr_assert_eq(push_to(4).error, ERR_STORE_UNAVAILABLE);
}

/* A node that could not renew its lease would be taken for dead. */
Test(store_redis, a_full_redis_refuses_alerts_and_keeps_presence)
{
    open_events();
    cr_assert_eq(push_to(0).error, ERR_OK);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    comes("na", "7");
    cr_assert_eq(count_pending(), 1);
    cr_assert_eq(push_to(0).error, ERR_STORE_UNAVAILABLE);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    expect_here("na", "7,");
}
