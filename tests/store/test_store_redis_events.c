/* Partitions of the event log in Redis: which keys they have, what leaves them and when, and what
 * they cost. What every store promises of them is in cases_events.c and cases_consumers.c. */
#include "tests/store/redis_backend.h"

#include "tests/store/event_calls.h"

enum { PARTITION = 3 };

static void append_many(int n)
{
    event_append_numbers(store, PARTITION, 1, n);
}

static struct store_page read_events(const char *consumer, uint32_t max_count, uint32_t max_bytes)
{
    return page_run(store, (struct store_page){.user_id = store_partition_user(PARTITION),
                                               .device = span_of(consumer),
                                               .from_acked = true,
                                               .wants_gaps = true,
                                               .max_count = max_count,
                                               .max_bytes = max_bytes});
}

static enum err ack_events(const char *consumer, struct epoch epoch, uint64_t seq)
{
    return ack_run(store, (struct store_ack){.user_id = store_partition_user(PARTITION),
                                             .device = span_of(consumer),
                                             .epoch = epoch,
                                             .seq = seq});
}

static void open_events(uint32_t max, uint64_t max_bytes, uint32_t ttl_s)
{
    contract_open_events((struct store_config){
        .events_max = max, .events_max_bytes = max_bytes, .event_ttl_s = ttl_s});
}

Test(store_redis, events_are_numbered_and_read_by_a_consumer)
{
    open_events(100, 1 << 20, 60);
    struct span events[] = {span_of("{\"n\":1}"), span_of("{\"n\":2}")};
    consumer_add(store, PARTITION, "pa", false);
    struct store_event_append append = event_append_run(
        store, (struct store_event_append){
                   .partition = PARTITION, .is_bounded = true, .n = 2, .events = events});
    cr_assert_eq(append.error, ERR_OK);
    cr_assert_eq(append.first_seq, 1);
    cr_assert_gt(append.time_ms, 0);
    struct store_page page = read_events("pa", 100, 1 << 20);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(page.has_device);
    cr_assert_eq(page.n_notes, 2);
    expect_text(page.notes[1], "{\"n\":2}");
    cr_assert_eq(page.notes[1]->time_ms, append.time_ms);
    cr_assert_eq(page.last, 2);
    page_free(&page);
    cr_assert_eq(ack_events("pa", append.epoch, 1), ERR_OK);
    page = read_events("pa", 100, 1 << 20);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.notes[0]->seq, 2);
    page_free(&page);
    cr_assert_eq(redis_server_number(&server, "HLEN herald:{%events.3}:inbox"), 1);
    cr_assert_eq(ack_events("pa", append.epoch, 2), ERR_OK);
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{%events.3}:inbox"), 0);
    cr_assert_eq(ack_events("pb", append.epoch, 2), ERR_NOT_FOUND);
    cr_assert_eq(ack_events("pa", append.epoch, 3), ERR_STALE_EPOCH);
    page = read_events("pb", 100, 1 << 20);
    cr_assert_not(page.has_device);
    page_free(&page);
}

Test(store_redis, a_node_that_arrived_hears_the_last_number_of_each_append)
{
    open_events(100, 1 << 20, 60);
    struct span user = store_partition_user(PARTITION);
    char name[USER_ID_MAX_BYTES + 1] = {0};
    memcpy(name, user.bytes, user.len);
    arrive(store, name);
    append_many(3);
    wait_for_notification(name, 3);
    struct recorded heard = recorded_at(name, 2);
    cr_assert_eq(heard.seq, 3);
    cr_assert_str_empty(heard.text);
}

Test(store_redis, a_page_of_events_ends_where_its_bytes_do)
{
    open_events(100, 1 << 20, 60);
    consumer_add(store, PARTITION, "pa", false);
    append_many(10);
    struct store_page page = read_events("pa", 100, 30);
    cr_assert_eq(page.n_notes, 4);
    cr_assert_eq(page.last, page.n_notes);
    cr_assert_eq(page.n_gaps, 0);
    page_free(&page);
    page = read_events("pa", 100, 1);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    page = read_events("pa", 4, 1 << 20);
    cr_assert_eq(page.n_notes, 4);
    cr_assert_eq(page.last, 4);
    cr_assert_eq(page.head, 10);
    page_free(&page);
}

Test(store_redis, a_full_partition_tells_each_consumer_what_it_lost)
{
    open_events(5, 1 << 20, 60);
    consumer_add(store, PARTITION, "pa", false);
    consumer_add(store, PARTITION, "wb", false);
    append_many(3);
    struct store_page page = read_events("pa", 100, 1 << 20);
    struct epoch epoch = page.epoch;
    page_free(&page);
    cr_assert_eq(ack_events("pa", epoch, 3), ERR_OK);
    append_many(6);
    struct store_consumers list = consumers_list(store, PARTITION);
    cr_assert_eq(list.count, 5);
    cr_assert_eq(list.head, 9);
    page = read_events("pa", 100, 1 << 20);
    cr_assert_eq(page.start, 3);
    cr_assert_eq(page.n_notes, 5);
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].from, 4);
    cr_assert_eq(page.gaps[0].to, 4);
    cr_assert_eq(page.gaps[0].cause, GAP_OVERFLOW);
    page_free(&page);
    page = read_events("wb", 100, 1 << 20);
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].from, 1);
    cr_assert_eq(page.gaps[0].to, 4);
    page_free(&page);
}

Test(store_redis, a_bounded_append_is_refused_from_three_quarters_on)
{
    open_events(16, 1 << 20, 60);
    append_many(11);
    cr_assert_eq(event_append_bounded(store, PARTITION, "{}"), ERR_OK);
    cr_assert_eq(event_append_bounded(store, PARTITION, "{}"), ERR_FULL);
    cr_assert_eq(consumers_list(store, PARTITION).head, 12);
    append_many(1);
}

Test(store_redis, a_partition_has_at_most_fifteen_consumers)
{
    open_events(100, 1 << 20, 60);
    append_many(2);
    for (char name[] = "pa"; name[1] < 'a' + STORE_MAX_CONSUMERS; name[1]++)
        cr_assert(consumer_add(store, PARTITION, name, name[1] % 2 == 0).is_changed);
    struct store_consumers added = consumer_add(store, PARTITION, "pz", false);
    cr_assert_eq(added.error, ERR_CONFLICT);
    cr_assert_eq(added.n, STORE_MAX_CONSUMERS);
    cr_assert_not(consumer_add(store, PARTITION, "pa", false).is_changed);
    struct store_consumers gone = consumer_remove(store, PARTITION, "pa");
    cr_assert(gone.is_changed);
    cr_assert_eq(gone.unread, 2);
    cr_assert_eq(gone.n, STORE_MAX_CONSUMERS - 1);
    cr_assert(consumer_add(store, PARTITION, "pz", true).is_changed);
}

Test(store_redis, lost_numbers_begin_an_epoch_and_what_is_there_stays)
{
    open_events(100, 1 << 20, 60);
    consumer_add(store, PARTITION, "pa", false);
    append_many(3);
    struct store_page page = read_events("pa", 100, 1 << 20);
    struct epoch epoch = page.epoch;
    page_free(&page);
    cr_assert_eq(ack_events("pa", epoch, 1), ERR_OK);
    page = page_run(store, (struct store_page){.user_id = store_partition_user(PARTITION),
                                               .device = span_of("pa"),
                                               .from_acked = true,
                                               .known_head = 5,
                                               .known_epoch = epoch,
                                               .max_count = 10,
                                               .max_bytes = 1 << 20});
    cr_assert_not(epoch_equal(page.epoch, epoch));
    cr_assert_eq(page.start, 1);
    cr_assert_eq(page.n_notes, 2);
    cr_assert_eq(page.notes[0]->seq, 2);
    struct epoch next = page.epoch;
    page_free(&page);
    cr_assert_eq(ack_events("pa", epoch, 3), ERR_STALE_EPOCH);
    cr_assert_eq(ack_events("pa", next, 3), ERR_OK);
    redis_server_do(&server, "FLUSHALL");
    page = page_run(store, (struct store_page){.user_id = store_partition_user(PARTITION),
                                               .from_acked = true,
                                               .known_head = 3,
                                               .known_epoch = next,
                                               .max_count = 10,
                                               .max_bytes = 1 << 20});
    cr_assert_not(epoch_is_none(page.epoch));
    cr_assert_not(epoch_equal(page.epoch, next));
    cr_assert_eq(page.head, 0);
    page_free(&page);
}

Test(store_redis, a_full_redis_refuses_events_and_shows_them)
{
    open_events(100, 1 << 20, 60);
    consumer_add(store, PARTITION, "pa", false);
    append_many(2);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    cr_assert_eq(event_append_bounded(store, PARTITION, "{}"), ERR_STORE_UNAVAILABLE);
    struct store_page page = read_events("pa", 100, 1 << 20);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 2);
    struct epoch epoch = page.epoch;
    page_free(&page);
    cr_assert_eq(ack_events("pa", epoch, 2), ERR_OK);
    cr_assert_eq(consumer_add(store, PARTITION, "pnew", false).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(consumer_add(store, PARTITION, "pa", false).error, ERR_OK,
                 "it is there, and whoever starts asks so");
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    cr_assert_eq(consumers_list(store, PARTITION).count, 0);
}

/* A user may have any name but that of a partition. */
Test(store_redis, a_user_of_that_name_is_another)
{
    open_events(100, 1 << 20, 60);
    append_many(2);
    append_one(store, "%events.3", "{}", 60);
    cr_assert_eq(consumers_list(store, PARTITION).head, 2);
    cr_assert_eq(redis_server_number(&server, "EXISTS herald:{%25events.3}:inbox"), 1);
}
