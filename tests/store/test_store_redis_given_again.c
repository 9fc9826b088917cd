/* A Redis that has lost its latest numbers gives them again: a node that knows them finds out by
 * the time at which they were given. */
#include "tests/store/redis_backend.h"

/* What the record takes, and what a Herald writes that does not know the time of the head. */
enum { TIMED_BYTES = 64, OLDER_BYTES = 60 };

static void save_inbox(void)
{
    redis_server_do(&server, "COPY herald:{anna}:meta saved-meta REPLACE");
    redis_server_do(&server, "COPY herald:{anna}:inbox saved-inbox REPLACE");
}

static void lose_what_came_since(void)
{
    pause_ms(2); /* so that what comes next is given at another time */
    redis_server_do(&server, "COPY saved-meta herald:{anna}:meta REPLACE");
    redis_server_do(&server, "COPY saved-inbox herald:{anna}:inbox REPLACE");
}

/* 1 is there, and this 2 is lost; another node is given 2 again. */
static struct store_target give_2_again(struct store_target *ret_second)
{
    append_number(store, "anna", 1, 600);
    save_inbox();
    struct store_target lost = append_one(store, "anna", "{}", 600);
    lose_what_came_since();
    *ret_second = append_one(store, "anna", "[]", 600);
    cr_assert_eq(ret_second->seq, 2);
    cr_assert(epoch_equal(ret_second->epoch, lost.epoch));
    cr_assert_neq(ret_second->time_ms, lost.time_ms);
    return lost;
}

static struct store_target push_knowing(const struct store_target *known)
{
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = known->epoch,
                                  .known_head = known->seq,
                                  .known_time = store_time(known->time_ms)};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 600);
    cr_assert_eq(target.error, ERR_OK);
    return target;
}

static struct store_page read_knowing(const struct store_target *known)
{
    struct store_page page = page_asked("anna");
    page.known_epoch = known->epoch;
    page.known_head = known->seq;
    page.known_time = store_time(known->time_ms);
    page = page_run(store, page);
    cr_assert_eq(page.error, ERR_OK);
    return page;
}

Test(store_redis, a_push_that_knows_a_number_given_again_begins_a_new_epoch)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    int64_t resyncs = metrics_read(METRIC_STORE_RESYNCS);
    cr_expect(epoch_equal(push_knowing(&second).epoch, second.epoch));
    cr_expect_eq(metrics_read(METRIC_STORE_RESYNCS), resyncs);
    struct store_target target = push_knowing(&lost);
    cr_expect_not(epoch_equal(target.epoch, lost.epoch));
    cr_expect_eq(target.seq, 4, "1, 2 and 3 wait as before");
    cr_expect_eq(peek_one(store, "anna").pending, 4);
    cr_expect_eq(metrics_read(METRIC_STORE_RESYNCS), resyncs + 1);
    cr_expect(epoch_equal(push_knowing(&lost).epoch, target.epoch), "once alone");
}

Test(store_redis, a_page_that_knows_a_number_given_again_begins_a_new_epoch)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    pause_ms(2); /* of the same millisecond the script would show it */
    struct store_page page = read_knowing(&second);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    cr_expect_eq(page.head, 2);
    cr_expect_eq(page.head_time, store_time(second.time_ms));
    page_free(&page);
    page = read_knowing(&lost);
    cr_expect_not(epoch_equal(page.epoch, second.epoch));
    cr_expect_eq(page.n_notes, 2);
    cr_expect_eq(page.head_time, 0, "what was kept was given its number at another time");
    page_free(&page);
}

Test(store_redis, a_number_below_the_head_is_known_by_its_entry)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 600);
    struct store_page page = read_knowing(&second);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    page_free(&page);
    cr_expect(epoch_equal(push_knowing(&second).epoch, second.epoch));
    cr_expect_not(epoch_equal(push_knowing(&lost).epoch, second.epoch));
}

/* What the fast paths see of it. */
Test(store_redis, a_push_that_knows_the_last_number_at_another_time_begins_a_new_epoch)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    cr_expect_not(epoch_equal(push_knowing(&lost).epoch, second.epoch));
}

Test(store_redis, a_page_that_knows_a_number_below_the_head_at_another_time_begins_a_new_epoch)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    append_number(store, "anna", 3, 600);
    pause_ms(2); /* of the same millisecond the script would show it */
    struct store_page page = read_knowing(&lost);
    cr_expect_not(epoch_equal(page.epoch, second.epoch));
    cr_expect_eq(page.n_notes, 3);
    page_free(&page);
}

Test(store_redis, a_page_that_knows_a_user_who_is_gone_begins_a_new_epoch)
{
    struct store_target first = append_one(store, "anna", "{}", 600);
    redis_server_do(&server, "DEL herald:{anna}:meta herald:{anna}:inbox");
    int64_t resyncs = metrics_read(METRIC_STORE_RESYNCS);
    struct store_page page = read_knowing(&first);
    cr_expect_not(epoch_is_none(page.epoch));
    cr_expect_not(epoch_equal(page.epoch, first.epoch));
    cr_expect_eq(metrics_read(METRIC_STORE_RESYNCS), resyncs + 1);
    page_free(&page);
}

/* An inbox that has more to it than the fast paths decide. */
Test(store_redis, a_user_with_devices_is_no_exception)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    struct store_page page = page_of_device(store, "anna", "phone", true);
    cr_expect_eq(page.head_time, store_time(second.time_ms));
    page_free(&page);
    cr_expect(epoch_equal(push_knowing(&second).epoch, second.epoch));
    page = read_knowing(&second);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    page_free(&page);
    page = read_knowing(&lost);
    cr_expect_not(epoch_equal(page.epoch, second.epoch));
    page_free(&page);
}

/* ---- beside a Herald that does not know the time ---- */

static void write_as_an_older_herald(void)
{
    char answer[64];
    redis_server_ask(&server,
                     "EVAL \"return redis.call('HSET', KEYS[1], 'r', string.sub(redis.call('HGET', "
                     "KEYS[1], 'r'), 1, 60))\" 1 herald:{anna}:meta",
                     answer, sizeof answer);
    cr_assert_eq(answer[0], ':', "%s", answer);
    cr_assert_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), OLDER_BYTES);
}

Test(store_redis, without_the_time_of_the_head_its_entry_says_it)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    write_as_an_older_herald();
    struct store_page page = read_knowing(&second);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    cr_expect_eq(page.head_time, 0);
    page_free(&page);
    page = read_knowing(&lost);
    cr_expect_not(epoch_equal(page.epoch, second.epoch));
    page_free(&page);
}

Test(store_redis, without_time_and_entry_a_number_is_believed)
{
    struct store_target second;
    struct store_target lost = give_2_again(&second);
    cr_assert_eq(ack_one(store, "anna", second.epoch, 2), ERR_OK);
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), TIMED_BYTES);
    write_as_an_older_herald();
    struct store_page page = read_knowing(&lost);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    page_free(&page);
    struct store_target third = push_knowing(&lost);
    cr_expect(epoch_equal(third.epoch, second.epoch));
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), TIMED_BYTES);
    page = read_knowing(&third);
    cr_expect_eq(page.head_time, store_time(third.time_ms));
    page_free(&page);
}

Test(store_redis, an_acknowledgement_keeps_the_time_as_it_is)
{
    struct store_target first = append_one(store, "anna", "{}", 600);
    struct store_target second = append_one(store, "anna", "{}", 600);
    cr_assert_eq(ack_one(store, "anna", first.epoch, 1), ERR_OK);
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), TIMED_BYTES);
    cr_assert_eq(ack_one(store, "anna", first.epoch, 2), ERR_OK);
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), TIMED_BYTES);
    struct store_page page = read_knowing(&second);
    cr_expect_eq(page.head_time, store_time(second.time_ms));
    page_free(&page);
    append_number(store, "anna", 3, 600);
    write_as_an_older_herald();
    cr_assert_eq(ack_one(store, "anna", first.epoch, 3), ERR_OK);
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), OLDER_BYTES);
}

/* By the scripts that decide more than the fast paths, too. */
Test(store_redis, what_is_written_without_a_time_stays_without_it)
{
    append_number(store, "anna", 1, 600);
    struct store_target second = append_one(store, "anna", "{}", 600);
    write_as_an_older_herald();
    cr_assert_eq(ack_one(store, "anna", second.epoch, 1), ERR_OK);
    cr_expect_eq(redis_server_number(&server, "HSTRLEN herald:{anna}:meta r"), OLDER_BYTES);
    struct store_page page = read_knowing(&second);
    cr_expect(epoch_equal(page.epoch, second.epoch));
    cr_expect_eq(page.head_time, 0);
    page_free(&page);
}
