/* What is lost on its way from Redis is found by the comparison of heads, once a minute. */
#include "tests/store/redis_backend.h"

/* While there is a key `deaf`, what a push publishes does not reach its channel. */
#define TO_CHANNEL "redis.pcall('SPUBLISH', KEYS[5], "
#define TO_THE_HEARING                                                                             \
    "redis.pcall('SPUBLISH', redis.call('EXISTS', 'deaf') == 1 and 'x' or KEYS[5], "
#define SCRIPT_CHANGES                                                                             \
    {TO_CHANNEL "'M:'", TO_THE_HEARING "'M:'"},                                                    \
    {                                                                                              \
        TO_CHANNEL "message", TO_THE_HEARING "message"                                             \
    }
#include "tests/store/redis_clock.h"

enum { MINUTE_S = 60, USERS = 300 };

/* ---- the node ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct store_known known; /* of anna's inbox */
static int n_blocked;
static int n_asked; /* HGET */

static void hear(void *owner, struct span user_id, struct inbox_event event)
{
    pthread_mutex_lock(&lock);
    if (span_equal(user_id, SPAN_LITERAL("anna")) && event.kind == INBOX_NOTIFICATION) {
        known.epoch = event.note->epoch;
        known.head = event.note->seq;
    }
    pthread_mutex_unlock(&lock);
    record_inbox_event(owner, user_id, event);
}

static void say_known(void *owner, struct span user_id, struct store_known *ret_known)
{
    (void)owner;
    pthread_mutex_lock(&lock);
    if (span_equal(user_id, SPAN_LITERAL("anna")))
        *ret_known = known;
    pthread_mutex_unlock(&lock);
}

static void hear_of_block(void *owner, struct span user_id)
{
    (void)owner;
    cr_assert(span_equal(user_id, SPAN_LITERAL("anna")));
    pthread_mutex_lock(&lock);
    n_blocked++;
    pthread_mutex_unlock(&lock);
}

static int read_count(const int *count)
{
    pthread_mutex_lock(&lock);
    int n = *count;
    pthread_mutex_unlock(&lock);
    return n;
}

static void count_asked(struct span name)
{
    pthread_mutex_lock(&lock);
    n_asked += span_equal(name, SPAN_LITERAL("HGET"));
    pthread_mutex_unlock(&lock);
}

static void open_node(void)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.on_inbox_event = hear;
    config.events.get_known = say_known;
    config.events.on_blocked = hear_of_block;
    store = backend_open(&config);
    set_redis_clock(read_wall_ms());
    before_command = count_asked;
}

/* For the process alone: each second has the time for what Redis answers in it. */
static void pass_seconds(int n)
{
    for (int i = 0; i < n; i++) {
        atomic_fetch_add(&skipped_us, 1000000);
        peek_one(store, "nobody");
        pause_ms(10);
    }
}

static void push_to_the_deaf(void)
{
    redis_server_do(&server, "SET deaf 1");
    cr_assert_eq(append_one(store, "anna", "{}", 600).error, ERR_OK);
    redis_server_do(&server, "DEL deaf");
}

static int64_t n_behind(void)
{
    return metrics_read(METRIC_STORE_HEADS_BEHIND);
}

/* ---- what is found ---- */

Test(store_redis, a_notification_whose_message_was_lost_is_missed_within_a_minute)
{
    open_node();
    arrive(store, "anna");
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
    push_to_the_deaf();
    int64_t before = n_behind();
    pass_seconds(MINUTE_S);
    wait_for_missed(1);
    cr_expect_eq(count_told("anna"), 1);
    cr_expect_geq(n_behind(), before + 1);
}

Test(store_redis, the_first_notification_of_a_user_is_missed_too)
{
    open_node();
    arrive(store, "anna");
    push_to_the_deaf();
    pass_seconds(MINUTE_S);
    wait_for_missed(1);
}

Test(store_redis, a_record_that_is_gone_is_missed_within_a_minute)
{
    open_node();
    arrive(store, "anna");
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
    int64_t before = n_behind();
    redis_server_do(&server, "DEL herald:{anna}:meta");
    pass_seconds(MINUTE_S);
    wait_for_missed(1);
    cr_expect_eq(n_behind(), before, "that is a loss of the store's");
}

Test(store_redis, a_lower_head_and_another_epoch_are_missed_within_a_minute)
{
    open_node();
    arrive(store, "anna");
    append_number(store, "anna", 0, 600);
    append_number(store, "anna", 1, 600);
    wait_for_notification("anna", 2);
    struct store_known heard = known;
    pthread_mutex_lock(&lock);
    known.head = 3;
    pthread_mutex_unlock(&lock);
    pass_seconds(MINUTE_S);
    wait_for_missed(1);
    pthread_mutex_lock(&lock);
    known = heard;
    known.epoch.text[0] = known.epoch.text[0] == 'a' ? 'b' : 'a';
    pthread_mutex_unlock(&lock);
    int missed = atomic_load(&n_missed);
    pass_seconds(MINUTE_S);
    wait_for_missed(missed + 1);
}

static void know_time(uint32_t time)
{
    pthread_mutex_lock(&lock);
    known.time = time;
    pthread_mutex_unlock(&lock);
}

Test(store_redis, a_head_that_was_given_at_another_time_is_missed_within_a_minute)
{
    open_node();
    arrive(store, "anna");
    struct store_target target = append_one(store, "anna", "{}", 600);
    wait_for_notification("anna", 1);
    know_time(store_time(target.time_ms));
    pass_seconds(MINUTE_S);
    cr_expect_eq(atomic_load(&n_missed), 0, "it is the same");
    know_time(store_time(target.time_ms) + 1);
    pass_seconds(MINUTE_S);
    wait_for_missed(1);
}

/* A Herald of the version before has written the record last. */
Test(store_redis, a_head_whose_time_redis_does_not_have_is_believed)
{
    char answer[64];
    open_node();
    arrive(store, "anna");
    struct store_target target = append_one(store, "anna", "{}", 600);
    wait_for_notification("anna", 1);
    redis_server_ask(&server,
                     "EVAL \"return redis.call('HSET', KEYS[1], 'r', string.sub(redis.call('HGET', "
                     "KEYS[1], 'r'), 1, 60))\" 1 herald:{anna}:meta",
                     answer, sizeof answer);
    cr_assert_eq(answer[0], ':', "%s", answer);
    know_time(store_time(target.time_ms));
    pass_seconds(MINUTE_S);
    cr_expect_geq(read_count(&n_asked), 1);
    cr_expect_eq(atomic_load(&n_missed), 0);
}

/* Its message is on the way on the other link while Redis is asked. */
Test(store_redis, a_head_that_comes_a_moment_later_is_not_missed)
{
    open_node();
    arrive(store, "anna");
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
    int64_t before = n_behind();
    push_to_the_deaf();
    int asked = read_count(&n_asked);
    while (read_count(&n_asked) == asked)
        pass_seconds(1);
    pthread_mutex_lock(&lock);
    known.head = 2;
    pthread_mutex_unlock(&lock);
    pass_seconds(MINUTE_S);
    cr_expect_eq(atomic_load(&n_missed), 0);
    cr_expect_eq(n_behind(), before);
}

Test(store_redis, a_block_of_which_nobody_told_is_found_within_a_minute)
{
    open_node();
    arrive(store, "anna");
    redis_server_do(&server, "SET herald:{anna}:block 1 EX 600");
    redis_server_do(&server, "SET herald:{bert}:block 1 EX 600");
    pass_seconds(MINUTE_S);
    cr_expect_geq(read_count(&n_blocked), 1);
    cr_expect_eq(atomic_load(&n_missed), 0);
}

Test(store_redis, nothing_is_missed_where_the_heads_are_the_same)
{
    open_node();
    arrive(store, "anna");
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
    arrive(store, "bert");
    pass_seconds(2 * MINUTE_S);
    cr_expect_geq(read_count(&n_asked), 2 * 2);
    cr_expect_eq(atomic_load(&n_missed), 0);
    cr_expect_eq(read_count(&n_blocked), 0);
}

/* Whoever has left is not asked about, and one who leaves meanwhile is forgotten. */
Test(store_redis, nobody_is_asked_about_who_has_left)
{
    open_node();
    arrive(store, "anna");
    push_to_the_deaf();
    backend_leave(store, 0, SPAN_LITERAL("anna"));
    pass_seconds(MINUTE_S);
    cr_expect_eq(read_count(&n_asked), 0);
    cr_expect_eq(atomic_load(&n_missed), 0);
}

/* ---- what it costs ---- */

/* Each is asked about once in 55 s. The table grows under the walk. */
Test(store_redis, each_user_is_asked_about_once_a_minute_and_they_are_spread_over_it)
{
    open_node();
    char name[16];
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        arrive(store, name);
        if (i % 10 == 0)
            pass_seconds(1);
    }
    pass_seconds(MINUTE_S);
    int before = read_count(&n_asked);
    pass_seconds(MINUTE_S);
    int asked = read_count(&n_asked) - before;
    cr_expect_geq(asked, USERS);
    cr_expect_leq(asked, USERS * 5 / 4);
    before = read_count(&n_asked);
    pass_seconds(MINUTE_S / 4);
    asked = read_count(&n_asked) - before;
    cr_expect_geq(asked, USERS / 8);
    cr_expect_leq(asked, USERS / 2);
}
