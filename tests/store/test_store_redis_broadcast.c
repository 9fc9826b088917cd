/* Broadcasts over several nodes on one Redis (CONTRACT 3), and while it is away. */
#include "tests/store/redis_backend.h"

#include "tests/store/broadcast_calls.h"
#include "tests/support/skipped_clock.h"

static int64_t timed_broadcast(const char *text, struct store_broadcast *ret_got)
{
    int64_t before_ms = clock_monotonic_ms();
    *ret_got = broadcast_one(store, text);
    cr_assert_eq(ret_got->error, ERR_OK);
    return clock_monotonic_ms() - before_ms;
}

Test(store_redis, a_broadcast_reaches_each_node_once_and_sums_up_their_answers)
{
    struct other_node others[3];
    for (int i = 0; i < 3; i++)
        other_open(&others[i]);
    broadcasts.online = 5;
    stop_time();
    struct store_broadcast got;
    for (size_t round = 1; round <= 20; round++) {
        struct store *asker = round % 2 == 0 ? store : others[round % 3].store;
        got = broadcast_one(asker, "{\"n\":9007199254740993}");
        cr_assert_eq(got.online, 20);
        cr_assert_eq(got.nodes, 4);
        cr_assert_eq(count_told_broadcasts(NULL), 4 * round);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(count_told_broadcasts(&others[i]), round);
        cr_assert_str_eq(recorded_broadcast(4 * round - 1).text, "{\"n\":9007199254740993}");
    }
    for (int i = 0; i < 3; i++)
        other_close(&others[i]);
}

/* With all answers there it does not wait for the time to pass. */
Test(store_redis, a_broadcast_is_answered_with_the_last_answer)
{
    struct other_node other;
    other_open(&other);
    stop_time();
    for (int i = 0; i < 20; i++)
        cr_assert_eq(broadcast_one(store, "1").nodes, 2);
    other_close(&other);
}

Test(store_redis, a_node_that_hangs_is_waited_for_250_ms_and_not_counted)
{
    struct other_node other;
    other_open(&other);
    int64_t missing = metrics_read(METRIC_NODES_SILENT);
    broadcasts.online = 2;
    other_stop(&other);
    struct store_broadcast got;
    int64_t took_ms = timed_broadcast("\"late\"", &got);
    cr_assert_eq(got.nodes, 1);
    cr_assert_eq(got.online, 2);
    cr_assert_geq(took_ms, STORE_REPLIES_MS);
    cr_assert_eq(metrics_read(METRIC_NODES_SILENT), missing + 1);
    other_close(&other);
}

Test(store_redis, an_answer_that_comes_too_late_counts_for_no_other_question)
{
    struct other_node other;
    other_open(&other);
    other_stop(&other);
    cr_assert_eq(broadcast_one(store, "1").nodes, 1);
    broadcasts.must_hold = true;
    other_go_on(&other);
    struct store_question *late = wait_for_held_question();

    broadcasts.online = 2;
    broadcasts.must_hold = true;
    stop_time();
    struct broadcast_call call;
    broadcast_begin(store, &call, "2");
    struct store_question *here = wait_for_held_question(); /* the second question stays open */
    store_answer(late, 50);
    pause_ms(50);
    store_answer(here, 1);
    broadcast_end(&call);
    cr_assert_eq(call.broadcast.nodes, 2);
    cr_assert_eq(call.broadcast.online, 3);
    cr_assert_eq(count_told_broadcasts(&other), 2);
    other_close(&other);
}

Test(store_redis, while_redis_is_away_a_broadcast_is_this_nodes)
{
    broadcasts.online = 3;
    redis_server_stop(&server);
    wait_for_state(false);
    stop_time();
    struct store_broadcast got = broadcast_one(store, "1");
    let_time_go();
    cr_assert_eq(got.nodes, 1);
    cr_assert_eq(got.online, 3);
    cr_assert_eq(count_told_broadcasts(NULL), 1);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
    got = broadcast_one(store, "2");
    cr_assert_eq(got.nodes, 1);
    cr_assert_eq(count_told_broadcasts(NULL), 2);
}

Test(store_redis, a_redis_that_hangs_holds_up_no_broadcast)
{
    broadcasts.online = 3;
    int64_t took_ms = INT64_MAX;
    size_t n = 0;
    for (; n < 10 && took_ms >= STORE_REPLIES_MS + 1000; n++) { /* a busy machine may be late */
        kill(server.pid, SIGSTOP);
        struct store_broadcast got;
        took_ms = timed_broadcast("1", &got);
        kill(server.pid, SIGCONT);
        cr_assert_eq(got.nodes, 1);
        cr_assert_eq(got.online, 3);
        wait_for_state(true);
    }
    cr_assert_lt(took_ms, STORE_REPLIES_MS + 1000);
    cr_assert_eq(broadcast_one(store, "2").nodes, 1);
    cr_assert_eq(count_told_broadcasts(NULL), n + 1);
}

/* What nobody of ours would send. */
Test(store_redis, a_malformed_or_unknown_message_to_all_is_not_reported)
{
    static const char *const messages[] = {"B",
                                           "B:",
                                           "X:abcdefgh:1:{}",
                                           "B:abcdefgh:1:",
                                           "B:ABCDEFGH:1:{}",
                                           "B:abc:1:{}",
                                           "B:abcdefgh:{}",
                                           "B:abcdefgh:x:1",
                                           "B:abcdefgh:1"};
    char line[80];
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        snprintf(line, sizeof line, "SPUBLISH herald:all %s", messages[i]);
        redis_server_do(&server, line);
    }
    redis_server_do(&server, "SPUBLISH herald:all B:abcdefgh:1:[1]");
    for (int i = 0; i < SOON_MS && count_told_broadcasts(NULL) == 0; i++)
        pause_ms(1);
    cr_assert_eq(broadcast_one(store, "2").nodes, 1);
    cr_assert_eq(count_told_broadcasts(NULL), 2);
    cr_assert_str_eq(recorded_broadcast(0).text, "[1]");
}

Test(store_redis, a_store_that_closes_answers_the_broadcasts_that_wait)
{
    struct other_node hanging;
    struct other_node asking;
    other_open(&hanging);
    other_open(&asking);
    other_stop(&hanging);
    stop_time();
    struct broadcast_call call;
    broadcast_begin(asking.store, &call, "1");
    for (int i = 0; i < 100 && count_told_broadcasts(&asking) == 0; i++)
        pause_ms(1);
    other_close(&asking);
    broadcast_end(&call);
    cr_assert_eq(count_told_broadcasts(&asking), 1);
    other_close(&hanging);
}
