/* The fake that tests of redirects and refusals stand on is a Redis like the one behind it, and
 * says what its rule says in its place. */
#include "tests/store/fake_redis.h"
#include "tests/store/redis_backend.h"

#include <limits.h>

static struct fake_redis fake;
static atomic_int n_seen;

static void open_on_fake(fake_rule *rule)
{
    backend_close(store);
    atomic_store(&n_seen, 0);
    fake_redis_start(&fake, &server, rule, NULL);
    static struct store_config config;
    config = contract_config(1000, 1 << 20);
    store = open_on(&config, fake.url);
    wait_for_state(true);
}

/* The store goes first: what it still asks is answered. */
static void close_fake(void)
{
    backend_close(store);
    fake_redis_stop(&fake);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    wait_for_state(true);
}

static enum fake_verdict let_pass(void *owner, struct fake_command *command)
{
    (void)owner;
    atomic_fetch_add(&n_seen, command->n_words > 0);
    return FAKE_PASS;
}

/* The store says "up" until it has noticed, which is proven by both links having come again. */
static void drop_both_links(void)
{
    unsigned came = atomic_load(&fake.n_came);
    fake_redis_drop(&fake);
    for (int i = 0; i < SOON_MS / 10 && atomic_load(&fake.n_came) < came + 2; i++)
        pause_ms(10);
    cr_assert_geq(atomic_load(&fake.n_came), came + 2);
}

Test(store_redis, a_fake_that_lets_all_pass_is_the_redis_behind_it)
{
    open_on_fake(let_pass);
    arrive(store, "anna");
    append_number(store, "anna", 0, 60);
    wait_for_notification("anna", 1);
    cr_assert_gt(atomic_load(&n_seen), 5);
    int64_t reconnects = metrics_read(METRIC_STORE_RECONNECTS);
    drop_both_links();
    cr_assert_gt(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    close_fake();
}

static enum fake_verdict refuse_anna(void *owner, struct fake_command *command)
{
    (void)owner;
    if (!fake_is(command, "EVALSHA") || !fake_names(command, "herald:{anna}"))
        return FAKE_PASS;
    atomic_fetch_add(&n_seen, 1);
    return fake_say(command, "-ERR scripted refusal %d\r\n", atomic_load(&n_seen));
}

Test(store_redis, a_fake_answers_in_the_place_of_redis_and_in_order)
{
    open_on_fake(refuse_anna);
    cr_assert_neq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    cr_assert_eq(append_one(store, "bert", "{}", 60).seq, 1);
    cr_assert_geq(atomic_load(&n_seen), 1);
    close_fake();
}

static atomic_uint first_cut = UINT_MAX; /* this link and all that come later are hung up */

static enum fake_verdict cut_links(void *owner, struct fake_command *command)
{
    (void)owner;
    return command->link >= atomic_load(&first_cut) ? FAKE_HANG_UP : FAKE_PASS;
}

/* The links of the first lane are the first two. */
Test(store_redis, the_store_is_down_while_one_lane_cannot_use_it)
{
    n_lanes = 2;
    open_on_fake(cut_links);
    atomic_store(&first_cut, 2);
    wait_for_state(false);
    atomic_store(&first_cut, UINT_MAX);
    wait_for_state(true);
    n_lanes = 1;
    close_fake();
}

static atomic_int n_texts; /* trials by their text */

/* SCRIPT FLUSH comes between the loading and the trial. */
static enum fake_verdict forget_trial(void *owner, struct fake_command *command)
{
    (void)owner;
    if (!fake_names(command, "{%}"))
        return FAKE_PASS;
    atomic_fetch_add(&n_texts, fake_is(command, "EVAL"));
    return fake_is(command, "EVALSHA") ? fake_say(command, "-NOSCRIPT No matching script.\r\n")
                                       : FAKE_PASS;
}

Test(store_redis, a_trial_whose_script_is_lost_is_made_with_its_text)
{
    open_on_fake(forget_trial);
    cr_assert_eq(atomic_load(&n_texts), 1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    close_fake();
}

/* An unasked message: as another node's push would come. */
Test(store_redis, a_fake_says_what_nobody_asked_for)
{
    open_on_fake(let_pass);
    arrive(store, "anna");
    fake_redis_tell(&fake, "*3\r\n$8\r\nsmessage\r\n$13\r\nherald:{anna}\r\n"
                           "$37\r\nM:aaaaaaaa:7:1:9999999999999:0:0:0:{}\r\n");
    wait_for_notification("anna", 7);
    close_fake();
}

static enum fake_verdict say_no_time(void *owner, struct fake_command *command)
{
    static const char *const answers[] = {
        "*2\r\n$16\r\n4611686018427387\r\n$1\r\n0\r\n",
        "*2\r\n$19\r\n9223372036854775807\r\n$1\r\n0\r\n",
        "*2\r\n$10\r\n1700000000\r\n$7\r\n1000000\r\n",
        "*2\r\n$11\r\n-1700000000\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\n0\r\n$1\r\n0\r\n",
        "*2\r\n:1700000000\r\n:0\r\n",
        "*1\r\n$10\r\n1700000000\r\n",
    };
    (void)owner;
    if (!fake_is(command, "TIME"))
        return FAKE_PASS;
    int n = atomic_fetch_add(&n_seen, 1);
    return fake_say(command, "%s", answers[(size_t)n % (sizeof answers / sizeof answers[0])]);
}

Test(store_redis, what_is_no_time_sets_no_clock)
{
    open_on_fake(say_no_time);
    for (int n = 1; n <= 8; n++) { /* each connection asks for the time before it is up */
        int64_t ahead_ms = store_now_ms(store) - clock_wall_ms();
        cr_assert_geq(atomic_load(&n_seen), n);
        cr_assert(ahead_ms < 60000 && ahead_ms > -60000, "answer %d: %lld ms", n,
                  (long long)ahead_ms);
        drop_both_links();
        for (int i = 0; i < SOON_MS / 5 && atomic_load(&n_seen) <= n; i++)
            pause_ms(5);
    }
    close_fake();
}
