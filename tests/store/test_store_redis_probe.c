/* A subscription link that brings nothing any more, while both links are up. */
#include "tests/store/ask_calls.h"
#include "tests/store/fake_cluster.h"
#include "tests/store/redis_backend.h"
#include "tests/support/skipped_clock.h"

#include "gateway/stores/redis/redis_link.h"

enum { QUIET_S = 10, WAIT_S = 2, TICKS_S = 3 };

/* ---- what goes wrong on the way to Redis ---- */

static atomic_bool is_deaf;      /* who is subscribed now is not, though it is confirmed */
static atomic_bool is_swallowed; /* a probe is answered, and goes nowhere */
static atomic_int n_probes;

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    const struct span counted[] = {SPAN_LITERAL("INCR"), SPAN_LITERAL("probes")};
    bool is_of_anna = n_args > 1 && memmem(args[1].bytes, args[1].len, "{anna}", 6) != NULL;
    if (is_of_anna && span_equal(args[0], SPAN_LITERAL("SPUBLISH"))) {
        atomic_fetch_add(&n_probes, 1);
        if (atomic_exchange(&is_swallowed, false))
            return __real_redis_link_command(link, counted, 2, on_reply, arg, index);
    }
    return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
}

/* ---- time ---- */

/* Each second has the time for what Redis answers in it. */
static void pass_seconds(int n)
{
    for (int i = 0; i < n; i++) {
        atomic_fetch_add(&skipped_us, 1000000);
        peek_one(store, "nobody");
        pause_ms(20);
    }
}

static int64_t n_failed(void)
{
    return metrics_read(METRIC_STORE_PROBES_FAILED);
}

/* ---- a Redis that confirms and does not subscribe ---- */

static struct fake_redis fake;
static struct fake_cluster cluster;

static enum fake_verdict stay_deaf(void *owner, struct fake_command *command)
{
    (void)owner;
    if (!fake_is(command, "SSUBSCRIBE") || !fake_names(command, "{anna}") ||
        !atomic_exchange(&is_deaf, false))
        return FAKE_PASS;
    return fake_say(command, "*3\r\n$10\r\nssubscribe\r\n$13\r\nherald:{anna}\r\n:1\r\n");
}

static enum fake_verdict stay_deaf_there(struct fake_cluster *of, unsigned node,
                                         struct fake_command *command)
{
    (void)of;
    (void)node;
    return stay_deaf(NULL, command);
}

static void know_nothing(void *owner, struct span user_id, struct store_known *ret_known)
{
    (void)owner;
    (void)user_id;
    *ret_known = (struct store_known){.head = 0};
}

static void open_at(const char *url)
{
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.get_known = know_nothing;
    store = open_on(&config, url);
    wait_for_state(true);
}

/* ---- what is found ---- */

Test(store_redis, a_quiet_link_that_brings_its_probes_stays)
{
    arrive(store, "anna");
    int64_t before = n_failed();
    pass_seconds(3 * (QUIET_S + TICKS_S));
    cr_expect_geq(atomic_load(&n_probes), 2);
    cr_expect_leq(atomic_load(&n_probes), 4);
    cr_expect_eq(n_failed(), before);
    cr_expect_eq(atomic_load(&n_missed), 0);
}

Test(store_redis, a_link_without_users_is_not_probed)
{
    arrive(store, "anna");
    backend_leave(store, 0, SPAN_LITERAL("anna"));
    pass_seconds(QUIET_S + TICKS_S);
    cr_expect_eq(atomic_load(&n_probes), 0);
}

Test(store_redis, a_link_that_is_not_subscribed_at_redis_is_made_anew)
{
    backend_close(store);
    fake_redis_start(&fake, &server, stay_deaf, NULL);
    open_at(fake.url);
    atomic_store(&is_deaf, true);
    arrive(store, "anna");
    cr_assert_eq(append_one(store, "anna", "{}", 600).nodes, 0);
    int64_t before = n_failed();
    pass_seconds(QUIET_S + TICKS_S);
    wait_for_missed(1);
    cr_expect_eq(n_failed(), before + 1);
    cr_expect_eq(append_one(store, "anna", "{}", 600).nodes, 1);
    wait_for_notification("anna", 2);
    backend_close(store);
    fake_redis_stop(&fake);
    open_at(server.url);
}

static void wait_until_up(void)
{
    char problem[800] = "?";
    for (int i = 0; i < SOON_MS / 5 && problem[0] != '\0'; i++) {
        pause_ms(5);
        store_describe(store, problem, sizeof problem);
    }
    cr_assert_str_empty(problem);
}

/* Failovers that no error told of. */
Test(store_redis, a_probe_that_fails_asks_for_a_new_map)
{
    backend_close(store);
    fake_cluster_start(&cluster, &server, stay_deaf_there);
    open_at(cluster.url);
    wait_until_up();
    atomic_store(&is_deaf, true);
    arrive(store, "anna");
    pass_seconds(2); /* what the start had to ask is asked */
    int64_t before = n_failed();
    unsigned n_asked = atomic_load(&cluster.n_asked_maps);
    for (int i = 0; i < QUIET_S + TICKS_S && n_failed() == before; i++)
        pass_seconds(1);
    cr_assert_eq(n_failed(), before + 1);
    for (int i = 0; i < SOON_MS && atomic_load(&cluster.n_asked_maps) == n_asked; i++)
        pause_ms(1);
    cr_expect_gt(atomic_load(&cluster.n_asked_maps), n_asked);
    wait_for_missed(1);
    cr_expect_eq(append_one(store, "anna", "{}", 600).nodes, 1);
    backend_close(store);
    fake_cluster_stop(&cluster);
    open_at(server.url);
}

Test(store_redis, a_link_on_which_nothing_comes_is_made_anew)
{
    arrive(store, "anna");
    atomic_store(&is_swallowed, true);
    int64_t before = n_failed();
    pass_seconds(QUIET_S + WAIT_S + TICKS_S);
    wait_for_missed(1);
    cr_expect_eq(n_failed(), before + 1);
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
}

/* ---- a slot that has moved, and nobody was told ---- */

static atomic_bool gives_no_map;

static enum fake_verdict keep_maps_back(struct fake_cluster *of, unsigned node,
                                        struct fake_command *command)
{
    (void)of;
    (void)node;
    return fake_is(command, "CLUSTER") && atomic_load(&gives_no_map) ? FAKE_SILENCE : FAKE_PASS;
}

static void begin_cluster(const char *user)
{
    backend_close(store);
    fake_cluster_start(&cluster, &server, keep_maps_back);
    open_at(cluster.url);
    wait_until_up();
    arrive(store, user);
    pass_seconds(2);
    atomic_store(&gives_no_map, true);
}

static void end_cluster(const char *user)
{
    wait_for_missed(1);
    cr_expect_geq(append_one(store, user, "{}", 600).nodes, 1);
    backend_close(store);
    fake_cluster_stop(&cluster);
    open_at(server.url);
}

Test(store_redis, a_probe_finds_a_slot_that_has_moved)
{
    const char *user = fake_cluster_user(0, 0);
    begin_cluster(user);
    cluster.owner[fake_cluster_slot(user)] = 1;
    for (int i = 0; i < QUIET_S + TICKS_S && atomic_load(&n_missed) == 0; i++)
        pass_seconds(1);
    cr_assert_eq(atomic_load(&n_missed), 1);
    end_cluster(user);
}

/* The link is never quiet, so it is not probed. */
Test(store_redis, a_comparison_of_heads_finds_a_slot_that_has_moved)
{
    enum { PERIODS_S = 2 * 55 };
    const char *user = fake_cluster_user(0, 0);
    const char *busy = fake_cluster_user(0, 1);
    begin_cluster(user);
    arrive(store, busy);
    cluster.owner[fake_cluster_slot(user)] = 1;
    for (int i = 0; i < PERIODS_S && atomic_load(&n_missed) == 0; i++) {
        cr_assert_eq(send_one(store, busy, SPAN_LITERAL("{}")).nodes, 1); /* nobody has a head */
        pass_seconds(1);
    }
    cr_assert_eq(atomic_load(&n_missed), 1);
    end_cluster(user);
}
