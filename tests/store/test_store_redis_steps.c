/* How much of an inbox the scripts read: never more than what leaves, and the logarithm of the
 * rest. Each word of a command counts as a step, and each of its answer. */
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
#define KEYS_OF_A_SCRIPT "local inbox, meta = KEYS[1], KEYS[2]"
#define FIRST_FUNCTIONS  "local numbers_key, times_key = KEYS[3], KEYS[4]"
#define SCRIPT_CHANGES                                                                             \
    {KEYS_OF_A_SCRIPT, COUNTED KEYS_OF_A_SCRIPT},                                                  \
    {                                                                                              \
        FIRST_FUNCTIONS, "redis.call('INCR', 'slow') " FIRST_FUNCTIONS                             \
    }
#include "tests/store/redis_clock.h"

/* SWEPT: entries that have left are removed from Redis at most this many at a time. Each is read
 * once, and removed once. FEW_STEPS: of an operation that takes nothing out. */
enum { MANY = 3000, SWEPT = 128, FEW_STEPS = 150 };

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
    cr_assert_leq(steps, most, "%s took %ld steps instead of %ld", what, steps, most);
}

static void push_many(const char *user, int n, uint32_t ttl_s)
{
    struct append_call *calls = calloc((size_t)n, sizeof *calls);
    cr_assert_not_null(calls);
    for (int i = 0; i < n; i++)
        append_begin(store, &calls[i], user, SPAN_LITERAL("{}"), ttl_s);
    for (int i = 0; i < n; i++)
        append_end(&calls[i]);
    free(calls);
}

static void begin(void)
{
    contract_open_with(2 * MANY, 1 << 20);
    move_clock(1000);
}

/* After something has left: what follows finds the figures right and reads little. */
static void expect_little(const char *user, uint64_t waiting)
{
    steps_since_asked();
    cr_assert_eq(peek_one(store, user).pending, waiting);
    expect_steps("a peek", FEW_STEPS + 8 * SWEPT);
    cr_assert_eq(append_one(store, user, "{}", 600).error, ERR_OK);
    expect_steps("a push", FEW_STEPS + 8 * SWEPT);
    struct store_page page = page_after(store, user, 0, 10, 1 << 20);
    cr_assert_eq(page.n_notes, waiting + 1 < 10 ? waiting + 1 : 10);
    page_free(&page);
    expect_steps("a page", FEW_STEPS + 8 * SWEPT + 2 * 64);
    cr_assert_eq(peek_one(store, user).pending, waiting + 1);
    expect_steps("a peek", FEW_STEPS + 8 * SWEPT);
}

Test(store_redis, one_that_has_expired_makes_nobody_read_the_others)
{
    begin();
    push_many("anna", 1, 10);
    push_many("anna", MANY, 600);
    move_clock(11000);
    expect_little("anna", MANY);
}

Test(store_redis, half_an_inbox_that_expires_is_counted_without_being_read)
{
    begin();
    push_many("anna", MANY / 2, 10);
    push_many("anna", MANY / 2, 600);
    move_clock(11000);
    int64_t expired = metrics_read(METRIC_INBOX_EXPIRED);
    expect_little("anna", MANY / 2);
    cr_assert_eq(metrics_read(METRIC_INBOX_EXPIRED), expired + MANY / 2);
}

Test(store_redis, one_in_the_middle_that_expires_first_makes_nobody_read_the_others)
{
    begin();
    push_many("anna", MANY / 2, 600);
    push_many("anna", 1, 10);
    push_many("anna", MANY / 2, 600);
    move_clock(11000);
    expect_little("anna", MANY);
    cancel_one(store, "anna", peek_one(store, "anna").epoch, 17);
    expect_steps("a cancellation", FEW_STEPS);
    expect_little("anna", MANY);
}

/* Before the inbox is big, too. */
Test(store_redis, no_script_makes_a_set_of_a_full_inbox)
{
    enum { BIG = 1000 };
    begin();
    long most = 4 * BIG + FEW_STEPS;
    push_many("anna", BIG - 10, 600);
    for (int i = 0; i < 20; i++) {
        steps_since_asked();
        append_number(store, "anna", i, 600);
        expect_steps("a push", most);
    }
    push_many("bert", BIG - 10, 600);
    struct epoch epoch = peek_one(store, "bert").epoch;
    steps_since_asked();
    cancel_one(store, "bert", epoch, 2);
    expect_steps("a cancellation", most);
    push_many("carl", MANY, 600);
    epoch = peek_one(store, "carl").epoch;
    steps_since_asked();
    cancel_one(store, "carl", epoch, MANY / 2);
    expect_steps("a cancellation", FEW_STEPS);
}

Test(store_redis, a_late_one_that_has_expired_leaves_before_anything_is_pushed_out)
{
    contract_open_with(MANY, 1 << 20);
    move_clock(1000);
    int64_t overflow = metrics_read(METRIC_INBOX_OVERFLOW);
    push_many("anna", MANY - 2, 600);
    push_many("anna", 1, 10);
    push_many("anna", 1, 20);
    move_clock(11000);
    push_many("anna", 1, 600);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow);
    cr_assert_eq(peek_one(store, "anna").pending, MANY);
    push_many("anna", 1, 600);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 1);
    move_clock(10000);
    push_many("anna", 1, 600);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 1);
    steps_since_asked();
    push_many("anna", 1, 600);
    expect_steps("a push that pushes out", FEW_STEPS);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 2);
}

Test(store_redis, an_acknowledgement_of_many_reads_a_part_of_what_it_covers)
{
    begin();
    push_many("anna", MANY, 600);
    struct epoch epoch = peek_one(store, "anna").epoch;
    steps_since_asked();
    cr_assert_eq(ack_one(store, "anna", epoch, MANY - 1), ERR_OK);
    expect_steps("an acknowledgement", FEW_STEPS + 8 * SWEPT);
    expect_little("anna", 1);
    cr_assert_eq(ack_one(store, "anna", epoch, MANY + 1), ERR_OK);
    expect_steps("an acknowledgement of all", FEW_STEPS);
    char answer[64];
    redis_server_ask(&server, "EXISTS herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_str_eq(answer, ":0\r\n");
}

Test(store_redis, what_has_left_is_removed_from_redis_by_later_requests)
{
    begin();
    push_many("anna", MANY, 600);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, MANY - 1), ERR_OK);
    for (int i = 0; i < MANY / SWEPT + 1; i++)
        append_number(store, "anna", i, 600);
    char answer[64];
    redis_server_ask(&server, "HLEN herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_eq(strtol(answer + 1, NULL, 10), 1 + MANY / SWEPT + 1, "%s", answer);
}

/* Their bytes are still there, and nothing that waits has to go for them. */
Test(store_redis, what_has_left_pushes_nothing_out_by_its_bytes)
{
    contract_open_with(2 * MANY, 2 * MANY);
    move_clock(1000);
    int64_t overflow = metrics_read(METRIC_INBOX_OVERFLOW);
    push_many("anna", MANY, 600);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, MANY - 2), ERR_OK);
    static char big[MANY];
    memset(big, ' ', sizeof big);
    big[0] = '1';
    cr_assert_eq(append_span(store, "anna", (struct span){big, sizeof big}, 600).error, ERR_OK);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow);
    cr_assert_eq(peek_one(store, "anna").pending, 3);
}

/* An older Herald keeps no sorted set, and writes the record without the byte that says so. */
Test(store_redis, what_an_older_herald_wrote_is_read_as_a_whole_once)
{
    begin();
    push_many("anna", MANY - 1, 600);
    push_many("anna", 1, 10);
    redis_server_do(&server, "DEL herald:{anna}:numbers herald:{anna}:times");
    redis_server_do(&server,
                    "EVAL \"redis.call('HSET', KEYS[1], 'r', string.sub(redis.call('HGET', "
                    "KEYS[1], 'r'), 1, 59))\" 1 herald:{anna}:meta");
    steps_since_asked();
    cr_assert_eq(peek_one(store, "anna").pending, MANY);
    cr_assert_gt(steps_since_asked(), 2 * MANY);
    expect_little("anna", MANY);
    move_clock(11000);
    expect_little("anna", MANY);
}

/* What nearly always happens takes no more calls than these, and is decided before the functions of
 * inbox.lua and common.lua are made. */
enum {
    PUSH_STEPS = 28,
    PUSH_KEYED_STEPS = 37,
    ACK_STEPS = 20,
    ARRIVAL_STEPS = 13,
    STRANGER_STEPS = 33,
};

static void expect_fast(const char *what, long most)
{
    char answer[64];
    expect_steps(what, most);
    redis_server_ask(&server, "EXISTS slow", answer, sizeof answer);
    cr_assert_str_eq(answer, ":0\r\n", "%s needed functions", what);
}

static void push_next(struct store_target *last, const char *idempotency_key)
{
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = last->epoch,
                                  .known_head = last->seq,
                                  .known_acked = last->seq};
    append_run(store,
               (struct store_append){.payload = payload_new_keyed(SPAN_LITERAL("{}"), span_of("")),
                                     .ttl_s = 60,
                                     .idempotency_key = span_of(idempotency_key),
                                     .n_targets = 1,
                                     .targets = &target});
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_eq(target.seq, last->seq + 1);
    *last = target;
}

/* In a burst a push may know that some of what waits is acknowledged, but not the last. */
Test(store_redis, a_push_that_covers_a_part_needs_no_functions_while_little_waits)
{
    begin();
    struct store_target last = append_one(store, "anna", "{}", 60);
    redis_server_do(&server, "DEL slow steps");
    for (uint64_t seq = 2; seq <= 8; seq++) {
        struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                      .known_epoch = last.epoch,
                                      .known_head = seq - 1,
                                      .known_acked = seq - 2};
        append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
        cr_assert_eq(target.seq, seq);
        expect_fast("a push", PUSH_STEPS);
    }
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = last.epoch,
                                  .known_head = 8,
                                  .known_acked = 7};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.acked, 7, "more may not gather");
    cr_assert_eq(peek.pending, 2);
}

static void arrive_with_nothing(const char *user, uint64_t head)
{
    struct store_page page = arrive_and_read(store, user);
    cr_assert_eq(page.head, head);
    cr_assert_eq(page.n_notes, 0);
    page_free(&page);
}

/* The entries themselves are read by a command. */
Test(store_redis, a_page_of_all_that_waits_is_read_without_functions)
{
    begin();
    push_many("anna", 50, 600);
    move_clock(1);
    redis_server_do(&server, "DEL slow steps");
    struct store_page page = arrive_and_read(store, "anna");
    expect_fast("a page of fifty", ARRIVAL_STEPS);
    cr_assert_eq(page.n_notes, 50);
    cr_assert_eq(page.last, 50);
    cr_assert_eq(page.notes[49]->seq, 50);
    cr_assert(page.notes[49]->is_replay);
    page_free(&page);
    page = page_after(store, "anna", 48, 100, 1 << 20);
    expect_fast("a page of two", ARRIVAL_STEPS);
    cr_assert_eq(page.n_notes, 2);
    page_free(&page);
}

static const char *meanwhile; /* done once between a page's script and its HMGET */

static void do_meanwhile(struct span name)
{
    if (meanwhile != NULL && span_equal(name, SPAN_LITERAL("HMGET"))) {
        redis_server_do(&server, meanwhile);
        meanwhile = NULL;
    }
}

/* Reads anna's page of three; what happens meanwhile has a script read it. */
static struct store_page page_while(const char *line)
{
    char answer[64];
    begin();
    push_many("anna", 3, 600);
    move_clock(1);
    redis_server_do(&server, "DEL slow");
    meanwhile = line;
    before_command = do_meanwhile;
    struct store_page page = page_after(store, "anna", 0, 100, 1 << 20);
    cr_assert_null(meanwhile);
    redis_server_ask(&server, "GET slow", answer, sizeof answer);
    cr_assert_str_neq(answer, "$-1\r\n");
    return page;
}

Test(store_redis, a_page_from_which_something_leaves_while_it_is_read_is_read_again)
{
    struct store_page page = page_while("HDEL herald:{anna}:inbox 2");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 2);
    cr_assert_eq(page.notes[1]->seq, 3);
    page_free(&page);
}

/* Of another epoch: it was given after the script has answered. */
Test(store_redis, a_page_with_an_entry_younger_than_it_is_read_again)
{
    struct store_page page =
        page_while("HSET herald:{anna}:inbox 3 9000000000000:8000000000000:0:{}");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
}

Test(store_redis, a_page_whose_inbox_is_no_hash_any_more_is_an_error)
{
    begin();
    push_many("anna", 3, 600);
    move_clock(1);
    redis_server_do(&server, "DEL herald:{anna}:inbox");
    redis_server_do(&server, "LPUSH herald:{anna}:inbox x");
    cr_assert_eq(page_after(store, "anna", 0, 100, 1 << 20).error, ERR_STORE_UNAVAILABLE);
}

Test(store_redis, what_nearly_always_happens_takes_few_calls_and_no_functions)
{
    static const char *const keys[] = {"a", "b", "c"};
    begin();
    struct store_target last = append_one(store, "anna", "{}", 60);
    for (int i = 0; i < 3; i++) {
        redis_server_do(&server, "DEL slow steps");
        push_next(&last, "");
        expect_fast("a push and its acknowledgement", PUSH_STEPS);
        push_next(&last, keys[i]);
        expect_fast("the same with an idempotency key", PUSH_KEYED_STEPS);
        cr_assert_eq(ack_one(store, "anna", last.epoch, last.seq), ERR_OK);
        expect_fast("an acknowledgement", ACK_STEPS);
        arrive_with_nothing("anna", last.seq);
        expect_fast("an arrival with nothing waiting", ARRIVAL_STEPS);
        arrive_with_nothing("bert", 0);
        expect_fast("an arrival of a user never heard of", STRANGER_STEPS);
        push_next(&last, "");
    }
}
