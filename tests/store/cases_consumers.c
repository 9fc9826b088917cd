/* Consumers of events: each has a position of its own, and none is ever pushed out by another. */
#include "tests/store/contract_fixture.h"
#include "tests/store/event_calls.h"

Test(store_contract, a_consumer_begins_with_the_oldest_event_kept)
{
    contract_open_events((struct store_config){.events_max = 16});
    event_append_numbers(store, 0, 1, 20);
    struct store_consumers added = consumer_add(store, 0, "pa", false);
    cr_assert_eq(added.error, ERR_OK);
    cr_assert(added.is_changed);
    cr_assert_eq(added.n, 1);
    const struct store_consumer *consumer = find_consumer(&added, "pa");
    cr_assert_eq(consumer->position, 4, "what had left before is not told as a gap");
    cr_assert_eq(consumer->lag, 16);
    cr_assert_neq(consumer->oldest_ms, 0);
    cr_assert_eq(consumer->oldest_ms, added.oldest_ms);
    expect_events(store, 0, "pa", "................");
}

Test(store_contract, a_consumer_may_begin_with_the_next_event)
{
    event_append_numbers(store, 0, 1, 5);
    struct store_consumers added = consumer_add(store, 0, "wnew", true);
    cr_assert_eq(find_consumer(&added, "wnew")->position, 5);
    cr_assert_eq(find_consumer(&added, "wnew")->lag, 0);
    cr_assert_eq(find_consumer(&added, "wnew")->oldest_ms, 0);
    event_append_numbers(store, 0, 6, 7);
    expect_events(store, 0, "wnew", "..");
}

/* Those that one start adds come one after the other. */
Test(store_contract, a_consumer_that_begins_takes_nothing_from_those_that_begin_after_it)
{
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(consumer_add(store, 0, "wnew", true).count, 5);
    cr_assert_eq(consumers_list(store, 0).count, 5);
    cr_assert_eq(consumer_add(store, 0, "wnew", true).count, 5);
    struct store_consumers added = consumer_add(store, 0, "wold", false);
    cr_assert_eq(find_consumer(&added, "wold")->position, 0);
    cr_assert_eq(find_consumer(&added, "wold")->lag, 5);
    expect_events(store, 0, "wold", ".....");
    cr_assert_eq(event_ack(store, 0, "wold", 3), ERR_OK);
    cr_assert_eq(consumers_list(store, 0).count, 2);
}

Test(store_contract, what_the_only_consumer_began_after_leaves_when_it_acknowledges)
{
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(consumer_add(store, 0, "wnew", true).error, ERR_OK);
    event_append_numbers(store, 0, 6, 8);
    cr_assert_eq(event_ack(store, 0, "wnew", 7), ERR_OK);
    cr_assert_eq(consumers_list(store, 0).count, 1);
    expect_events(store, 0, "wnew", ".");
}

/* Else nothing would be accepted, nothing read and nothing acknowledged for their time to live. */
Test(store_contract, what_all_consumers_have_passed_over_makes_room_for_what_is_bounded)
{
    contract_open_events((struct store_config){.events_max = 16});
    event_append_numbers(store, 0, 1, 12);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_FULL);
    cr_assert_eq(consumer_add(store, 0, "wnew", true).error, ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{\"n\":13}"), ERR_OK);
    cr_assert_eq(consumers_list(store, 0).count, 1);
    expect_events(store, 0, "wnew", ".");
    cr_assert_eq(consumer_add(store, 0, "wold", false).error, ERR_OK);
    expect_events(store, 0, "wold", ".");
    event_append_numbers(store, 0, 14, 24);
    cr_assert_eq(event_ack(store, 0, "wnew", 24), ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_FULL, "one has to read them still");
}

Test(store_contract, a_consumer_from_now_on_makes_room_where_it_is_alone)
{
    contract_open_events((struct store_config){.events_max_bytes = 4000});
    char big[1000];
    snprintf(big, sizeof big, "{\"text\":\"%0*d\"}", (int)sizeof big - 20, 0);
    for (int i = 0; i < 4; i++)
        event_append(store, 0, big);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_FULL);
    cr_assert_eq(consumer_add(store, 0, "wnew", true).error, ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{\"n\":1}"), ERR_OK);
    cr_assert_eq(consumers_list(store, 0).count, 1);
    expect_events(store, 0, "wnew", ".");
}

Test(store_contract, adding_a_consumer_again_changes_nothing)
{
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    cr_assert_eq(event_ack(store, 0, "pa", 2), ERR_OK);
    struct store_consumers again = consumer_add(store, 0, "pa", true);
    cr_assert_eq(again.error, ERR_OK);
    cr_assert_not(again.is_changed);
    cr_assert_eq(again.n, 1);
    cr_assert_eq(find_consumer(&again, "pa")->position, 2);
}

Test(store_contract, an_event_leaves_when_all_consumers_have_read_it)
{
    cr_assert_eq(consumer_add(store, 7, "pa", false).error, ERR_OK);
    cr_assert_eq(consumer_add(store, 7, "wb", false).error, ERR_OK);
    event_append_numbers(store, 7, 1, 6);
    cr_assert_eq(event_ack(store, 7, "pa", 4), ERR_OK);
    struct store_consumers consumers = consumers_list(store, 7);
    cr_assert_eq(consumers.count, 6);
    cr_assert_eq(find_consumer(&consumers, "pa")->lag, 2);
    cr_assert_eq(find_consumer(&consumers, "wb")->lag, 6);
    cr_assert_eq(event_ack(store, 7, "wb", 3), ERR_OK);
    consumers = consumers_list(store, 7);
    cr_assert_eq(consumers.count, 3);
    cr_assert_eq(consumers.head, 6);
    expect_events(store, 7, "pa", "..");
    expect_events(store, 7, "wb", "...");
    cr_assert_eq(event_ack(store, 7, "wb", 6), ERR_OK);
    cr_assert_eq(event_ack(store, 7, "pa", 6), ERR_OK);
    consumers = consumers_list(store, 7);
    cr_assert_eq(consumers.count, 0);
    cr_assert_eq(consumers.bytes, 0);
    cr_assert_eq(consumers.oldest_ms, 0);
    cr_assert_eq(event_append(store, 7, "{}"), 7);
}

Test(store_contract, events_stay_while_nobody_reads_them)
{
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(event_ack(store, 0, "", 5), ERR_OK, "there is no shared position");
    cr_assert_eq(consumers_list(store, 0).count, 5);
}

Test(store_contract, a_lower_acknowledgement_of_a_consumer_changes_nothing)
{
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(event_ack(store, 0, "pa", 4), ERR_OK);
    cr_assert_eq(event_ack(store, 0, "pa", 2), ERR_OK);
    cr_assert_eq(event_ack(store, 0, "pa", 4), ERR_OK);
    cr_assert_eq(consumer_position(store, 0, "pa"), 4);
}

Test(store_contract, refuses_a_consumers_position_of_another_epoch)
{
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(event_ack(store, 0, "pa", 6), ERR_STALE_EPOCH, "it is above head");
    struct store_ack ack = {.user_id = store_partition_user(0),
                            .device = SPAN_LITERAL("pa"),
                            .epoch = {"aaaaaaaa"},
                            .seq = 1};
    cr_assert_eq(ack_run(store, ack), ERR_STALE_EPOCH);
    cr_assert_eq(consumer_position(store, 0, "pa"), 0);
}

Test(store_contract, a_consumer_is_made_by_being_added_alone)
{
    event_append_numbers(store, 0, 1, 5);
    struct store_page page = event_page(store, 0, "pa");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(page.has_device);
    page_free(&page);
    page = page_run(store, (struct store_page){.user_id = store_partition_user(0),
                                               .device = SPAN_LITERAL("pa"),
                                               .is_arrival = true,
                                               .must_begin = true,
                                               .from_acked = true,
                                               .max_count = 10});
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(page.has_device);
    page_free(&page);
    cr_assert_eq(event_ack(store, 0, "pa", 3), ERR_NOT_FOUND);
    cr_assert_eq(consumers_list(store, 0).n, 0);
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    page = event_page(store, 0, "pa");
    cr_assert(page.has_device);
    cr_assert_eq(page.n_notes, 5);
    page_free(&page);
}

Test(store_contract, a_removed_consumer_holds_nothing_back)
{
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    cr_assert_eq(consumer_add(store, 0, "pb", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 5);
    cr_assert_eq(event_ack(store, 0, "pa", 5), ERR_OK);
    cr_assert_eq(event_ack(store, 0, "pb", 1), ERR_OK);
    struct store_consumers removed = consumer_remove(store, 0, "pb");
    cr_assert_eq(removed.error, ERR_OK);
    cr_assert(removed.is_changed);
    cr_assert_eq(removed.unread, 4);
    cr_assert_eq(removed.n, 1);
    cr_assert_eq(removed.count, 0);
    removed = consumer_remove(store, 0, "pb");
    cr_assert_eq(removed.error, ERR_OK);
    cr_assert_not(removed.is_changed);
    removed = consumer_remove(store, 0, "pa");
    cr_assert_eq(removed.n, 0);
    event_append_numbers(store, 0, 6, 8);
    cr_assert_eq(consumers_list(store, 0).count, 3, "now they stay for their time");
}

/* 15 at most, of names of up to 64 bytes, and the first one is as safe as the last one. */
Test(store_contract, no_consumer_is_pushed_out_by_another)
{
    char key[STORE_CONSUMER_KEY_MAX_BYTES + 1];
    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    event_append_numbers(store, 0, 1, 3);
    for (int i = 0; i < STORE_MAX_CONSUMERS; i++) {
        key[0] = i % 2 == 0 ? 'p' : 'w';
        key[sizeof key - 2] = (char)('a' + i);
        cr_assert_eq(consumer_add(store, 0, key, false).error, ERR_OK);
    }
    struct store_consumers refused = consumer_add(store, 0, "pone-more", false);
    cr_assert_eq(refused.error, ERR_CONFLICT);
    cr_assert_not(refused.is_changed);
    cr_assert_eq(refused.n, STORE_MAX_CONSUMERS, "they are shown, for the refusal's detail");
    cr_assert_eq(consumer_add(store, 0, key, false).error, ERR_OK, "this one is there");
    for (int i = 0; i < STORE_MAX_CONSUMERS; i++) {
        key[0] = i % 2 == 0 ? 'p' : 'w';
        key[sizeof key - 2] = (char)('a' + i);
        cr_assert_eq(event_ack(store, 0, key, 3), ERR_OK);
        cr_assert_eq(consumer_position(store, 0, key), 3);
    }
    cr_assert_eq(consumers_list(store, 0).count, 0);
    cr_assert_eq(consumer_remove(store, 0, key).error, ERR_OK);
    cr_assert_eq(consumer_add(store, 0, "pone-more", false).error, ERR_OK);
}

Test(store_contract, a_consumers_list_says_when_it_was_seen)
{
    int64_t before_ms = store_now_of(store, store_partition_user(0));
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    struct store_consumers consumers = consumers_list(store, 0);
    enum { DAY_MS = 24 * 3600 * 1000 };
    cr_assert_gt(find_consumer(&consumers, "pa")->seen_ms, before_ms - DAY_MS);
    cr_assert_leq(find_consumer(&consumers, "pa")->seen_ms,
                  store_now_of(store, store_partition_user(0)) + CLOCK_SLACK_MS);
}

/* A file that was restored: its numbers would be given again to other events. */
Test(store_contract, who_knows_a_higher_number_of_a_partition_begins_an_epoch)
{
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 5);
    struct epoch before = consumers_list(store, 0).epoch;
    struct store_page page = page_run(store, (struct store_page){.user_id = store_partition_user(0),
                                                                 .device = SPAN_LITERAL("pa"),
                                                                 .from_acked = true,
                                                                 .known_epoch = before,
                                                                 .known_head = 9,
                                                                 .max_count = 10,
                                                                 .max_bytes = UINT32_MAX});
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(epoch_equal(page.epoch, before));
    cr_assert(page.has_device);
    page_free(&page);
    cr_assert(epoch_equal(consumers_list(store, 0).epoch, page.epoch));
}
