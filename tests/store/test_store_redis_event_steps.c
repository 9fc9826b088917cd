/* When events of a partition expire, by a clock that the test moves; and how much the scripts read:
 * what they answer or take out, and no more, however many events there are. Each word of a command
 * counts as a step, and each of its answer. */
#include "tests/store/redis_backend.h"

#define COUNTED                                                                                    \
    "local call = redis.call\n"                                                                    \
    "local redis = { error_reply = redis.error_reply }\n"                                          \
    "redis.call = function(...)\n"                                                                 \
    "    local answer = call(...)\n"                                                               \
    "    local n = select('#', ...) + (type(answer) == 'table' and #answer or 1)\n"                \
    "    call('INCRBY', 'steps', string.format('%d', n))\n"                                        \
    "    return answer\n"                                                                          \
    "end\n"                                                                                        \
    "redis.pcall = redis.call\n"
#define KEYS_OF_A_SCRIPT "local inbox, meta, channel = KEYS[1], KEYS[2], KEYS[3]"
#define SCRIPT_CHANGES                                                                             \
    {                                                                                              \
        KEYS_OF_A_SCRIPT, COUNTED KEYS_OF_A_SCRIPT                                                 \
    }
#include "tests/store/event_calls.h"
#include "tests/store/redis_clock.h"

/* SWEPT: what has left goes from Redis at most this many at a time; each is read once, and removed
 * once. FEW_STEPS: of a step that takes nothing out and answers nothing. */
enum { PARTITION = 3, MANY = 2000, TTL_S = 100, SWEPT = 256, FEW_STEPS = 60, OF_ONE = 5 };

static long steps_since_asked(void)
{
    char answer[64];
    redis_server_ask(&server, "GETSET steps 0", answer, sizeof answer);
    const char *line = strchr(answer, '\n');
    return line != NULL && answer[0] == '$' ? strtol(line + 1, NULL, 10) : 0;
}

static void expect_steps(const char *what, long most)
{
    long steps = steps_since_asked();
    cr_assert_gt(steps, 0, "%s was not counted", what);
    cr_assert_leq(steps, most, "%s took %ld steps instead of %ld", what, steps, most);
}

/* MANY events, of which a hundredth expires each second from TTL_S after the call on. */
static void fill_staggered(void)
{
    struct span events[MANY / TTL_S];
    for (size_t i = 0; i < MANY / TTL_S; i++)
        events[i] = span_of("{}");
    for (int i = 0; i < TTL_S; i++) {
        cr_assert_eq(event_append_run(store, (struct store_event_append){.partition = PARTITION,
                                                                         .n = MANY / TTL_S,
                                                                         .events = events})
                         .error,
                     ERR_OK);
        move_clock(1000);
    }
}

static void begin(void)
{
    contract_open_events((struct store_config){.events_max = MANY, .event_ttl_s = TTL_S});
    move_clock(1000);
}

/* An append at the ceiling takes one out and writes why; while a part expires each second, no more
 * than leaves at that rate is read. */
Test(store_redis, an_append_at_the_ceiling_costs_what_one_on_an_empty_partition_does)
{
    begin();
    consumer_add(store, PARTITION, "pa", false);
    event_append(store, PARTITION, "{}");
    steps_since_asked();
    event_append(store, PARTITION, "{}");
    long empty = steps_since_asked();
    fill_staggered();
    long most = 0;
    steps_since_asked();
    for (int i = 0; i < 200; i++) {
        event_append(store, PARTITION, "{}");
        if (i % 20 == 19)
            move_clock(1000); /* 20 expire */
        most += steps_since_asked();
    }
    cr_assert_leq(most, 200 * (empty + 4 * OF_ONE), "%ld steps beside %ld on an empty one",
                  most / 200, empty);
}

Test(store_redis, a_page_of_a_full_partition_reads_what_it_shows)
{
    begin();
    consumer_add(store, PARTITION, "pa", false);
    fill_staggered();
    consumers_list(store, PARTITION);
    steps_since_asked();
    struct store_page page =
        page_run(store, (struct store_page){.user_id = store_partition_user(PARTITION),
                                            .device = span_of("pa"),
                                            .from_acked = true,
                                            .max_count = 10,
                                            .max_bytes = 1 << 20});
    cr_assert_eq(page.n_notes, 10);
    struct epoch epoch = page.epoch;
    uint64_t last = page.last;
    page_free(&page);
    expect_steps("a page", FEW_STEPS + 2 * 10);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = store_partition_user(PARTITION),
                                                   .device = span_of("pa"),
                                                   .epoch = epoch,
                                                   .seq = last}),
                 ERR_OK);
    expect_steps("an acknowledgement", FEW_STEPS + OF_ONE * 30);
}

Test(store_redis, what_has_left_goes_in_parts)
{
    begin();
    consumer_add(store, PARTITION, "pa", false);
    fill_staggered();
    move_clock(TTL_S * 1000 / 2); /* half of it expires before anybody looks */
    steps_since_asked();
    event_append(store, PARTITION, "{}");
    expect_steps("an append", FEW_STEPS + OF_ONE * SWEPT);
    move_clock(1000);
    consumers_list(store, PARTITION);
    expect_steps("a list", FEW_STEPS + OF_ONE * SWEPT);
    consumer_remove(store, PARTITION, "pa");
    steps_since_asked();
    consumer_add(store, PARTITION, "pb", true);
    expect_steps("a consumer from now on", FEW_STEPS + OF_ONE * SWEPT);
    event_append(store, PARTITION, "{}");
    struct store_consumers kept = consumers_list(store, PARTITION);
    cr_assert_gt(kept.count, 1, "what it has passed over stays until it acknowledges");
    steps_since_asked();
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = store_partition_user(PARTITION),
                                                   .device = span_of("pb"),
                                                   .epoch = kept.epoch,
                                                   .seq = kept.head}),
                 ERR_OK);
    expect_steps("its first acknowledgement", FEW_STEPS + OF_ONE * SWEPT);
    cr_assert_eq(consumers_list(store, PARTITION).count, 0);
}

/* ---- when events expire ---- */

Test(store_redis, expired_events_leave_at_the_low_end_and_are_told)
{
    begin();
    consumer_add(store, PARTITION, "pa", false);
    event_append_numbers(store, PARTITION, 1, 3);
    move_clock(TTL_S * 1000 + 100);
    event_append_numbers(store, PARTITION, 1, 1);
    struct store_page page = event_page(store, PARTITION, "pa");
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].to, 3);
    cr_assert_eq(page.gaps[0].cause, GAP_EXPIRED);
    page_free(&page);
}

/* More than a walk a second takes: each event that comes takes one with it, so that as many as come
 * in can go out, and none is pushed out that has long expired. */
Test(store_redis, what_expires_faster_than_it_is_looked_for_leaves_with_what_comes)
{
    enum { AT_ONCE = STORE_EVENTS_AT_ONCE, ROUNDS = 18 };
    struct span events[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++)
        events[i] = span_of("{}");
    contract_open_events((struct store_config){.events_max = 2 * MANY, .event_ttl_s = TTL_S});
    move_clock(1000);
    consumer_add(store, PARTITION, "pa", false);
    for (int i = 0; i < MANY / AT_ONCE; i++)
        event_append_run(store, (struct store_event_append){
                                    .partition = PARTITION, .n = AT_ONCE, .events = events});
    move_clock(TTL_S * 1000 + 100);
    for (int i = 0; i < ROUNDS; i++)
        event_append_run(store, (struct store_event_append){
                                    .partition = PARTITION, .n = AT_ONCE, .events = events});
    struct store_consumers consumers = consumers_list(store, PARTITION);
    cr_assert_eq(consumers.count, ROUNDS * AT_ONCE, "%llu", (unsigned long long)consumers.count);
    struct store_page page = event_page(store, PARTITION, "pa");
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].to, MANY);
    cr_assert_eq(page.gaps[0].cause, GAP_EXPIRED);
    page_free(&page);
}

/* What Redis drops by itself, half a minute after the last event, is told like what a step finds.
 */
Test(store_redis, a_partition_that_redis_has_dropped_has_expired)
{
    begin();
    consumer_add(store, PARTITION, "pa", false);
    event_append_numbers(store, PARTITION, 1, 3);
    redis_server_do(&server, "DEL herald:{%events.3}:inbox");
    move_clock(TTL_S * 1000 + 100);
    struct store_page page = event_page(store, PARTITION, "pa");
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].to, 3);
    cr_assert_eq(page.gaps[0].cause, GAP_EXPIRED);
    page_free(&page);
    event_append_numbers(store, PARTITION, 1, 1);
    cr_assert_gt(redis_server_number(&server, "PTTL herald:{%events.3}:inbox"), 0);
    cr_assert_gt(redis_server_number(&server, "PTTL herald:{%events.3}:meta"), 0);
}

/* A step takes 256 out and no more, so a crowd that expires at once leaves in parts. */
Test(store_redis, what_expires_together_leaves_in_parts)
{
    begin();
    struct span events[STORE_EVENTS_AT_ONCE];
    for (size_t i = 0; i < STORE_EVENTS_AT_ONCE; i++)
        events[i] = span_of("{}");
    for (int i = 0; i < 6; i++)
        cr_assert_eq(event_append_run(store, (struct store_event_append){.partition = PARTITION,
                                                                         .n = STORE_EVENTS_AT_ONCE,
                                                                         .events = events})
                         .error,
                     ERR_OK);
    move_clock(TTL_S * 1000 + 100);
    cr_assert_eq(consumers_list(store, PARTITION).count, 600 - 256);
    cr_assert_eq(consumers_list(store, PARTITION).count, 600 - 256, "once a second");
    move_clock(1100);
    cr_assert_eq(consumers_list(store, PARTITION).count, 600 - 512);
}
