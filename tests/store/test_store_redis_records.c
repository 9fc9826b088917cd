/* The content of Redis: the keys, their lifetimes, records of the version before, and what leaves
 * together. */
#include "tests/store/redis_backend.h"

#include "tests/store/block_calls.h"

static const struct store_print print_a = {{1}};
static const struct store_print print_b = {{2}};

static struct store_target append_once(const char *user, const char *key, struct store_print print)
{
    struct store_target target = {.user_id = span_of(user)};
    append_run(store, (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                            .ttl_s = 60,
                                            .idempotency_key = span_of(key),
                                            .print = print,
                                            .n_targets = 1,
                                            .targets = &target});
    return target;
}

/* The user has given three numbers: 1 was acknowledged, 2 and 3 wait. */
static void write_old_record(int64_t expires_ms)
{
    char line[300];
    snprintf(line, sizeof line, "HSET herald:{anna}:inbox 2 %lld:5:0:{} 3 %lld:5:0:[]",
             (long long)expires_ms, (long long)expires_ms);
    redis_server_do(&server, line);
    snprintf(line, sizeof line, "PEXPIREAT herald:{anna}:inbox %lld", (long long)expires_ms);
    redis_server_do(&server, line);
    snprintf(line, sizeof line,
             "HSET herald:{anna}:meta v 1 epoch k3f9a2qd head 3 acked 1 count 2 bytes 4 low 2 due "
             "%lld day 20000",
             (long long)expires_ms);
    redis_server_do(&server, line);
}

Test(store_redis, a_record_of_the_version_before_is_read_and_written_anew)
{
    static const struct epoch epoch = {"k3f9a2qd"};
    write_old_record(clock_wall_ms() + 60000);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert(epoch_equal(peek.epoch, epoch));
    cr_assert_eq(peek.head, 3);
    cr_assert_eq(peek.acked, 1);
    cr_assert_eq(peek.pending, 2);
    struct store_target got = append_one(store, "anna", "{}", 60);
    cr_assert_eq(got.seq, 4);
    cr_assert(epoch_equal(got.epoch, epoch));
    expect_inbox(store, "anna", "a...");
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:meta"), 2,
                 "one record, and its version");
    cr_assert_eq(ack_one(store, "anna", epoch, 3), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
}

Test(store_redis, a_push_to_a_record_of_the_version_before_does_not_shorten_its_inbox)
{
    write_old_record(clock_wall_ms() + 600000);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 4);
    cr_assert_gt(redis_server_number(&server, "PTTL herald:{anna}:inbox"), 590000);
}

Test(store_redis, an_older_node_refuses_what_this_version_wrote)
{
    append_number(store, "anna", 0, 60);
    cr_assert_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta v"), 1);
    char answer[64];
    redis_server_ask(&server,
                     "EVAL \"return {ok = redis.call('HGET', KEYS[1], 'v')}\" 1 "
                     "herald:{anna}:meta",
                     answer, sizeof answer);
    cr_assert_str_eq(answer, "+2\r\n");
}

Test(store_redis, the_record_of_a_user_stays_compact)
{
    for (int i = 0; i < 20; i++)
        append_number(store, "anna", i, 60);
    char answer[64];
    redis_server_ask(&server,
                     "EVAL \"return {ok = redis.call('OBJECT', 'ENCODING', KEYS[1])}\" 1 "
                     "herald:{anna}:meta",
                     answer, sizeof answer);
    cr_assert_str_eq(answer, "+listpack\r\n");
}

Test(store_redis, all_keys_of_a_user_share_a_slot)
{
    cr_assert_eq(append_once("a{b}%c", "{k}", print_a).error, ERR_OK);
    cr_assert_eq(redis_server_number(
                     &server, "EXISTS herald:{a%7Bb%7D%25c}:idem:{k} herald:{a%7Bb%7D%25c}:meta "
                              "herald:{a%7Bb%7D%25c}:inbox"),
                 3);
    cr_assert_eq(redis_server_number(&server, "DBSIZE"), 3);
}

Test(store_redis, an_idempotency_key_vanishes_after_its_window)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.idempotency_window_s = 1;
    store = backend_open(&config);
    struct store_target first = append_once("anna", "order-17", print_a);
    cr_assert_eq(first.seq, 1);
    cr_assert_eq(append_once("anna", "order-17", print_b).error, ERR_IDEMPOTENCY_MISMATCH);
    cr_assert(append_once("anna", "order-17", print_a).is_duplicate);
    pause_ms(1050);
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{anna}:idem:order-17"), 0);
    struct store_target second = append_once("anna", "order-17", print_b);
    cr_assert_eq(second.error, ERR_OK);
    cr_assert_not(second.is_duplicate);
    cr_assert_eq(second.seq, 2);
}

Test(store_redis, a_repeat_still_says_how_many_nodes_have_the_user)
{
    cr_assert_eq(append_once("anna", "order-17", print_a).nodes, 0);
    arrive(store, "anna");
    cr_assert_eq(append_once("anna", "order-17", print_a).nodes, 1);
}

Test(store_redis, an_idempotency_key_that_somebody_else_wrote_keeps_nothing)
{
    redis_server_do(&server, "LPUSH herald:{anna}:idem:order-17 x");
    cr_assert_eq(append_once("anna", "order-17", print_a).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{anna}:inbox herald:{anna}:meta"), 0);
}

Test(store_redis, a_collapse_key_leaves_with_its_entry)
{
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    append_keyed(store, "anna", "1", "score");
    append_keyed(store, "anna", "2", "score");
    append_number(store, "anna", 3, 60);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:inbox"), 4,
                 "three that wait, and one key");
    cancel_one(store, "anna", epoch, 3);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:inbox"), 2);
    append_keyed(store, "anna", "3", "score");
    append_number(store, "anna", 4, 60);
    cr_assert_eq(ack_one(store, "anna", epoch, 5), ERR_OK);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:inbox"), 1);
    /* What a push itself acknowledges takes its key along, unless the push has the same. */
    struct store_target last = append_keyed(store, "anna", "5", "score");
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = epoch,
                                  .known_head = last.seq,
                                  .known_acked = last.seq};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:inbox"), 1);
    expect_inbox(store, "anna", "alcaaaa.");
}

Test(store_redis, a_push_drops_what_is_known_to_be_acknowledged)
{
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    uint64_t acked = 0;
    for (uint64_t seq = 2; seq <= 40; seq++) {
        if (seq % 3 == 0)
            acked = seq - 1; /* all of it, else one or two less */
        struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                      .known_epoch = epoch,
                                      .known_head = seq - 1,
                                      .known_acked = acked};
        append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
        cr_assert_eq(target.seq, seq);
        cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:inbox"), (long)(seq - acked));
        cr_assert_eq(peek_one(store, "anna").acked, acked);
        cr_assert_eq(peek_one(store, "anna").pending, seq - acked);
    }
}

Test(store_redis, what_vanished_with_the_whole_inbox_has_expired)
{
    append_number(store, "anna", 0, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    append_number(store, "anna", 1, 3);
    append_number(store, "anna", 2, 3);
    cancel_one(store, "anna", epoch, 2);
    append_number(store, "anna", 3, 3);
    pause_ms(3200);
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{anna}:inbox"), 0);
    int64_t expired = metrics_read(METRIC_INBOX_EXPIRED);
    append_number(store, "anna", 4, 60);
    cr_assert_eq(metrics_read(METRIC_INBOX_EXPIRED), expired + 2);
    expect_inbox(store, "anna", "acee.");
}

Test(store_redis, an_inbox_outlives_its_last_entry_by_a_sixteenth_of_its_time_at_most)
{
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 60);
    long stays_ms = redis_server_number(&server, "PTTL herald:{anna}:inbox");
    cr_assert(stays_ms > 58000 && stays_ms <= 63750, "%ld ms", stays_ms);
    append_number(store, "anna", 3, 600);
    stays_ms = redis_server_number(&server, "PTTL herald:{anna}:inbox");
    cr_assert(stays_ms > 598000 && stays_ms <= 637500, "%ld ms", stays_ms);
    append_number(store, "anna", 4, 1);
    cr_assert_gt(redis_server_number(&server, "PTTL herald:{anna}:inbox"), 598000,
                 "it is never shortened");
}

Test(store_redis, a_device_that_was_not_seen_for_30_days_lets_the_inbox_go)
{
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    append_number(store, "anna", 1, 60);
    struct store_page page = page_of_device(store, "anna", "phone", true);
    cr_assert(page.has_devices);
    page_free(&page);
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").acked, 0);
    char line[100];
    int64_t days_29_us = (clock_wall_ms() - INT64_C(29) * 86400000) * 1000;
    snprintf(line, sizeof line, "HSET herald:{anna}:meta d!phone 0:%lld", (long long)days_29_us);
    redis_server_do(&server, line);
    cr_assert_eq(peek_one(store, "anna").acked, 0);
    snprintf(line, sizeof line, "HSET herald:{anna}:meta d!phone 0:%lld",
             (long long)(days_29_us - INT64_C(1000) * 86400000 - 1000000));
    redis_server_do(&server, line);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.acked, 2);
    cr_assert_eq(peek.pending, 0);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{anna}:meta"), 3,
                 "version, record, written");
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{anna}:inbox"), 0);
}

Test(store_redis, devices_wait_for_what_a_new_epoch_has_kept)
{
    struct epoch old = append_one(store, "anna", "{}", 60).epoch;
    append_number(store, "anna", 1, 60);
    struct store_page page = page_of_device(store, "anna", "phone", true);
    page_free(&page);
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = 9, .known_epoch = old};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.seq, 3);
    cr_assert_eq(ack_one(store, "anna", target.epoch, 3), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").acked, 0);
    page = page_of_device(store, "anna", "phone", false);
    cr_assert_eq(page.position, 0);
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
}

Test(store_redis, entries_that_somebody_else_took_do_not_keep_an_inbox_full)
{
    contract_open_with(5, 1 << 20);
    for (int i = 0; i < 5; i++)
        append_number(store, "anna", i, 60);
    redis_server_do(&server, "DEL herald:{anna}:inbox");
    append_number(store, "anna", 5, 60);
    append_number(store, "anna", 6, 60);
    cr_assert_eq(peek_one(store, "anna").pending, 2);
}

Test(store_redis, a_block_is_a_key_of_its_own_that_leaves_with_it)
{
    int64_t until_ms = block_for(store, "anna", 50);
    cr_assert_eq(redis_server_number(&server, "PEXPIRETIME herald:{anna}:block"), until_ms);
    cr_assert_eq(redis_server_number(&server, "DBSIZE"), 1, "it needs no inbox");
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.blocked_until_ms, until_ms);
    page_free(&page);
    cr_assert_eq(redis_server_number(&server, "DBSIZE"), 1, "a blocked arrival makes nothing");
    block_for(store, "anna", 0);
    cr_assert_eq(redis_server_number(&server, "DBSIZE"), 0);
}

Test(store_redis, a_ticket_is_a_key_of_its_own_that_leaves_with_it)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 30), ERR_OK);
    long left_ms = redis_server_number(&server, "PTTL herald:ticket:t-1");
    cr_assert(left_ms > 25000 && left_ms <= 30000);
    cr_assert_eq(ticket_take(store, "t-1").error, ERR_OK);
    cr_assert_eq(redis_server_number(&server, "DBSIZE"), 0);
}
