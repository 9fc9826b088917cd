/* A Cluster of which a part is away, or has a clock of its own: a scripted one, so that nothing of
 * it needs luck with the time. */
#include "tests/store/ask_calls.h"
#include "tests/store/redis_backend.h"

#include "tests/store/fake_cluster_store.h"

/* ---- clocks ---- */

enum { HOUR_MS = 3600000, NEAR_MS = 60000 };

/* That of the node with this number is so many hours ahead. */
static enum fake_verdict say_other_times(struct fake_cluster *of, unsigned node,
                                         struct fake_command *command)
{
    struct timespec now;
    (void)of;
    if (!fake_is(command, "TIME"))
        return FAKE_PASS;
    clock_gettime(CLOCK_REALTIME, &now);
    return fake_say(command, "*2\r\n$10\r\n%lld\r\n$1\r\n0\r\n",
                    (long long)now.tv_sec + (long long)node * HOUR_MS / 1000);
}

static void expect_hours_ahead(const char *user, int hours)
{
    int64_t ahead_ms =
        store_now_of(store, span_of(user)) - clock_wall_ms() - (int64_t)hours * HOUR_MS;
    cr_assert(ahead_ms > -NEAR_MS && ahead_ms < NEAR_MS, "%s: %lld ms", user, (long long)ahead_ms);
}

Test(store_redis, each_primary_has_a_clock_of_its_own)
{
    const char *users[FAKE_NODES];
    begin_cluster(say_other_times);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        users[i] = fake_cluster_user(i, 0);
        expect_hours_ahead(users[i], (int)i);
        arrive(store, users[i]);
        cr_assert_eq(send_one(store, users[i], SPAN_LITERAL("{}")).error, ERR_OK);
        int64_t ahead_ms =
            recorded_at(users[i], 0).time_ms - clock_wall_ms() - (int64_t)i * HOUR_MS;
        cr_assert(ahead_ms > -NEAR_MS && ahead_ms < NEAR_MS, "it carries the time there");
    }
    int64_t offset_s = metrics_read(METRIC_CLOCK_OFFSET);
    cr_assert(offset_s > (FAKE_NODES - 1) * HOUR_MS / 1000 - NEAR_MS / 1000, "the furthest: %lld",
              (long long)offset_s);
    fake_cluster_move(&cluster, users[2], 0);
    wait_for_missed(1);
    expect_hours_ahead(users[2], 0);
    fake_cluster_move(&cluster, users[1], FAKE_NOBODY);
    cr_assert_eq(append_one(store, users[1], "{}", 60).error, ERR_STORE_UNAVAILABLE);
    expect_hours_ahead(users[1], 1);
    end_cluster();
}

/* ---- what is missing, and what is told of it ---- */

static void describe(char text[800])
{
    store_describe(store, text, 800);
}

static void wait_for_problem(const char *part)
{
    char text[800] = "";
    for (int i = 0; i < SOON_MS / 5 && strstr(text, part) == NULL; i++) {
        pause_ms(5);
        describe(text);
    }
    cr_assert_not_null(strstr(text, part), "%s", text);
}

static void wait_for_no_problem(void)
{
    char text[800] = "?";
    for (int i = 0; i < SOON_MS / 5 && text[0] != '\0'; i++) {
        pause_ms(5);
        describe(text);
    }
    cr_assert_str_empty(text);
    cr_assert_eq(store_slots_missing(store), 0);
}

Test(store_redis, a_slot_that_nobody_has_is_a_problem_until_somebody_has_it)
{
    const char *user = fake_cluster_user(1, 0);
    begin_cluster(NULL);
    arrive(store, user);
    fake_cluster_move(&cluster, user, FAKE_NOBODY);
    wait_for_problem("the Cluster has no owner for slot");
    cr_assert_eq(store_slots_missing(store), 1);
    cr_assert_eq(append_one(store, user, "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(append_one(store, fake_cluster_user(1, 1), "{}", 60).error, ERR_OK);
    fake_cluster_move(&cluster, user, 1);
    wait_for_no_problem();
    wait_for_missed(1);
    cr_assert_eq(append_one(store, user, "{}", 60).nodes, 1);
    expect_same_links();
    end_cluster();
}

/* A node that has an older map sends it to a slot that nobody has. */
Test(store_redis, a_slot_that_is_not_served_is_no_refusal_of_its_primary)
{
    const char *user = fake_cluster_user(1, 0);
    begin_cluster(NULL);
    move_quietly(fake_cluster_slot(user), FAKE_NOBODY);
    struct append_call call;
    append_begin(store, &call, user, SPAN_LITERAL("{}"), 60);
    for (int i = 0; i < 200; i++) {
        cr_assert_leq(store_slots_missing(store), 1);
        pause_ms(1);
    }
    append_end(&call);
    cr_assert_eq(call.target.error, ERR_STORE_UNAVAILABLE);
    end_cluster();
}

static void take_over(unsigned dead, unsigned heir)
{
    for (unsigned slot = 0; slot < FAKE_SLOTS; slot++)
        if (cluster.owner[slot] == dead)
            cluster.owner[slot] = (unsigned char)heir;
}

Test(store_redis, after_an_election_the_store_is_whole)
{
    const char *user = fake_cluster_user(2, 0);
    begin_cluster(NULL);
    arrive(store, user);
    fake_redis_stop(&cluster.nodes[2]);
    wait_for_problem("Redis at 127.0.0.1");
    take_over(2, 0);
    wait_for_no_problem();
    wait_for_missed(1);
    cr_assert_eq(append_one(store, user, "{}", 60).nodes, 1);
    cr_assert_eq(recorder.state, 1);
    fake_redis_start_again(&cluster.nodes[2]);
    end_cluster();
}

static atomic_bool must_fail;

static enum fake_verdict fail_to_give_a_map(struct fake_cluster *of, unsigned node,
                                            struct fake_command *command)
{
    (void)of;
    (void)node;
    if (!fake_is(command, "CLUSTER") || !atomic_load(&must_fail))
        return FAKE_PASS;
    return fake_say(command, "-ERR scripted refusal\r\n");
}

Test(store_redis, a_node_that_gave_no_map_is_a_problem_until_one_does)
{
    const char *user = fake_cluster_user(0, 0);
    begin_cluster(fail_to_give_a_map);
    atomic_store(&must_fail, true);
    move_quietly(fake_cluster_slot(user), 1);
    cr_assert_eq(append_one(store, user, "{}", 60).error, ERR_OK); /* MOVED asks for a map */
    wait_for_problem("scripted refusal");
    atomic_store(&must_fail, false);
    wait_for_no_problem();
    end_cluster();
}

/* ---- at the start ---- */

static atomic_bool must_hold;

static enum fake_verdict hold_the_last_node(struct fake_cluster *of, unsigned node,
                                            struct fake_command *command)
{
    (void)of;
    while (node == 2 && fake_is(command, "INFO") && atomic_load(&must_hold))
        pause_ms(1);
    return FAKE_PASS;
}

Test(store_redis, a_node_that_begins_is_up_when_each_primary_is_or_has_failed)
{
    const char *user = fake_cluster_user(0, 0);
    atomic_store(&must_hold, true);
    backend_close(store);
    fake_cluster_start(&cluster, &server, hold_the_last_node);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, cluster.url);
    enum err error = ERR_STORE_UNAVAILABLE;
    for (int i = 0; i < SOON_MS / 5 && error != ERR_OK; i++) {
        pause_ms(5);
        error = append_one(store, user, "{}", 60).error;
    }
    cr_assert_eq(error, ERR_OK);
    cr_assert_neq(recorder.state, 1, "the last one comes up any moment");
    atomic_store(&must_hold, false);
    wait_for_state(true);
    cr_assert_eq(append_one(store, fake_cluster_user(2, 0), "{}", 60).error, ERR_OK);
    end_cluster();
}

/* ---- a primary that takes over ---- */

/* A replica until now: no map has named it. */
static struct fake_redis heir;

static enum fake_verdict come_up_slowly(void *owner, struct fake_command *command)
{
    (void)owner;
    if (!fake_is(command, "INFO"))
        return FAKE_PASS;
    while (atomic_load(&must_hold))
        pause_ms(1);
    return fake_say(command, "$47\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nx:1\r\n\r\n");
}

/* Node 2 has handed over. */
static enum fake_verdict name_the_heir(struct fake_cluster *of, unsigned node,
                                       struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER") || !atomic_load(&must_fail))
        return FAKE_PASS;
    return fake_say(command,
                    "*3\r\n*3\r\n:0\r\n:5461\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                    "*3\r\n:5462\r\n:10922\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                    "*3\r\n:10923\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port, of->nodes[1].port, heir.port);
}

Test(store_redis, what_is_asked_of_a_primary_that_takes_over_waits_until_its_links_are_up)
{
    const char *user = fake_cluster_user(2, 0);
    struct append_call calls[3];
    struct peek_call peek;
    atomic_store(&must_hold, true);
    fake_redis_start_on_port(&heir, &server, come_up_slowly, NULL);
    begin_cluster(name_the_heir);
    arrive(store, user);
    atomic_store(&must_fail, true);
    fake_cluster_move(&cluster, user, 2); /* as a primary that hands over: it ends subscriptions */
    for (int i = 0; i < SOON_MS && store_slots_missing(store) == 0; i++)
        pause_ms(1);
    cr_assert_gt(store_slots_missing(store), 0);
    for (size_t i = 0; i < 3; i++)
        append_begin(store, &calls[i], user, SPAN_LITERAL("{}"), 60);
    peek_begin(store, &peek, user);
    cr_assert_eq(append_one(store, fake_cluster_user(0, 0), "{}", 60).error, ERR_OK);
    atomic_store(&must_hold, false);
    for (size_t i = 0; i < 3; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, i + 1);
    }
    call_wait(&peek.call);
    cr_assert_eq(peek.peek.pending, 3);
    wait_for_missed(1);
    wait_for_no_problem();
    end_cluster();
    fake_redis_stop(&heir);
}
