/* The event log: events are numbered and kept in a partition, each leaves when all consumers have
 * read it, and what is full or over in time is told as a gap. */
#include "tests/store/contract_fixture.h"
#include "tests/store/event_calls.h"

static const char *partition_name(unsigned partition)
{
    return store_partition_user(partition).bytes;
}

Test(store_contract, numbers_events_of_a_partition_from_1)
{
    struct span events[] = {SPAN_LITERAL("{\"n\":1}"), SPAN_LITERAL("{\"n\":2}"),
                            SPAN_LITERAL("{\"n\":3}")};
    struct store_event_append first = event_append_run(
        store, (struct store_event_append){.partition = 3, .n = 3, .events = events});
    cr_assert_eq(first.error, ERR_OK);
    cr_assert_eq(first.first_seq, 1);
    cr_assert_not(epoch_is_none(first.epoch));
    cr_assert_leq(first.time_ms, store_now_of(store, store_partition_user(3)) + CLOCK_SLACK_MS);
    cr_assert_eq(event_append(store, 3, "{\"n\":4}"), 4);
    cr_assert_eq(event_append(store, 4, "{\"n\":1}"), 1, "each partition has its own numbers");

    struct store_page page = event_page(store, 3, "");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(epoch_equal(page.epoch, first.epoch));
    cr_assert_eq(page.head, 4);
    cr_assert_eq(page.last, 4);
    cr_assert_eq(page.n_notes, 4);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(page.notes[i]->seq, (uint64_t)i + 1);
        expect_number(page.notes[i], i + 1);
    }
    cr_assert_eq(page.notes[0]->time_ms, first.time_ms);
    cr_assert_eq(page.notes[2]->time_ms, first.time_ms);
    page_free(&page);
}

/* As many as a request may have, also while one of them is under way. */
Test(store_contract, a_flood_of_events_keeps_its_order)
{
    enum { REQUESTS = 5, EVENTS = REQUESTS * STORE_EVENTS_AT_ONCE };
    static char texts[EVENTS][32];
    static struct span events[EVENTS];
    static struct event_append_call calls[REQUESTS];
    for (int i = 0; i < EVENTS; i++) {
        snprintf(texts[i], sizeof texts[i], "{\"n\":%d}", i + 1);
        events[i] = span_of(texts[i]);
    }
    for (int i = 0; i < REQUESTS; i++) {
        struct store_event_append asked = {
            .partition = 3, .n = STORE_EVENTS_AT_ONCE, .events = &events[i * STORE_EVENTS_AT_ONCE]};
        event_append_begin(store, &calls[i], asked);
    }
    for (int i = 0; i < REQUESTS; i++) {
        call_wait(&calls[i].call);
        cr_assert_eq(calls[i].append.error, ERR_OK);
        cr_assert_eq(calls[i].append.first_seq, (uint64_t)i * STORE_EVENTS_AT_ONCE + 1);
    }
    struct store_page page = event_page(store, 3, "");
    cr_assert_eq(page.n_notes, EVENTS);
    for (int i = 0; i < EVENTS; i++)
        expect_text(page.notes[i], texts[i]);
    page_free(&page);
}

Test(store_contract, keeps_an_event_byte_for_byte)
{
    static char big[66000];
    memset(big, 'x', sizeof big);
    memcpy(big, "{\"\0\x01\xff", 5);
    struct span event = {big, sizeof big};
    struct store_event_append append = event_append_run(
        store, (struct store_event_append){.partition = 0, .n = 1, .events = &event});
    cr_assert_eq(append.error, ERR_OK);
    struct store_page page = event_page(store, 0, "");
    cr_assert_eq(page.n_notes, 1);
    cr_assert(span_equal(payload_data(page.notes[0]->payload), event));
    page_free(&page);
}

Test(store_contract, a_page_of_events_is_as_large_as_was_asked_for)
{
    event_append_numbers(store, 1, 1, 20);
    struct store_page asked = {
        .user_id = store_partition_user(1), .after = 5, .max_count = 4, .max_bytes = UINT32_MAX};
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(page.is_resumed);
    cr_assert_eq(page.n_notes, 4);
    cr_assert_eq(page.notes[0]->seq, 6);
    cr_assert_eq(page.last, 9);
    page_free(&page);
    asked.max_count = 1000;
    asked.max_bytes = 1;
    page = page_run(store, asked);
    cr_assert_eq(page.n_notes, 1, "at least one is shown");
    cr_assert_eq(page.last, 6);
    page_free(&page);
    asked.after = 20;
    page = page_run(store, asked);
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.last, 20);
    page_free(&page);
}

/* A node that has not heard of it yet is told of the last one at least. */
Test(store_contract, reports_events_to_who_has_arrived)
{
    struct store_page page = page_run(store, (struct store_page){
                                                 .user_id = store_partition_user(2),
                                                 .is_arrival = true,
                                                 .from_acked = true,
                                                 .max_count = 10,
                                                 .max_bytes = UINT32_MAX,
                                             });
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(page.has_device);
    page_free(&page);
    event_append_numbers(store, 2, 1, 3);
    wait_for_notification(partition_name(2), 3);
    cr_assert(are_recorded_in_order(partition_name(2)));
}

Test(store_contract, a_partition_without_events_is_empty)
{
    struct store_page page = event_page(store, 9, "");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.head, 0);
    cr_assert_eq(page.n_notes, 0);
    page_free(&page);
    struct store_consumers consumers = consumers_list(store, 9);
    cr_assert_eq(consumers.head, 0);
    cr_assert_eq(consumers.count, 0);
    cr_assert_eq(consumers.n, 0);
    cr_assert_eq(consumers.oldest_ms, 0);
}

Test(store_contract, is_no_page_at_once_where_events_wait)
{
    struct store_page page = {
        .user_id = store_partition_user(5), .from_acked = true, .max_count = 10};
    event_append(store, 5, "{}");
    cr_assert_not(store_page_at_once(store, &page));
}

/* ---- full ---- */

Test(store_contract, a_full_partition_pushes_out_its_oldest)
{
    contract_open_events((struct store_config){.events_max = 16});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 20);
    expect_events(store, 0, "pa", "oooo................");
    struct store_consumers consumers = consumers_list(store, 0);
    cr_assert_eq(consumers.count, 16);
    cr_assert_eq(consumers.head, 20);
    cr_assert_eq(event_ack(store, 0, "pa", 6), ERR_OK);
    event_append_numbers(store, 0, 21, 24);
    expect_events(store, 0, "pa", "oo................");
}

Test(store_contract, a_partition_is_full_by_its_bytes_too)
{
    static char big[20000];
    memset(big, 'x', sizeof big);
    struct span event = {big, sizeof big};
    contract_open_events((struct store_config){.events_max_bytes = 65536});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(
            event_append_run(store, (struct store_event_append){.n = 1, .events = &event}).error,
            ERR_OK);
    expect_events(store, 0, "pa", "oo...");
    cr_assert_eq(consumers_list(store, 0).bytes, 60000);
}

/* What was accepted is not pushed out at once by what comes next. */
Test(store_contract, refuses_what_is_bounded_from_three_quarters_on)
{
    contract_open_events((struct store_config){.events_max = 16});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 11);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_FULL);
    cr_assert_eq(consumers_list(store, 0).head, 12, "a refused one leaves no trace");
    cr_assert_eq(event_append(store, 0, "{}"), 13, "others are taken");
    cr_assert_eq(event_ack(store, 0, "pa", 4), ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_OK);
}

Test(store_contract, refuses_what_is_bounded_by_bytes_too)
{
    static char big[40000];
    memset(big, 'x', sizeof big);
    struct span event = {big, sizeof big};
    contract_open_events((struct store_config){.events_max_bytes = 65536});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(
            event_append_run(store, (struct store_event_append){.n = 1, .events = &event}).error,
            ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_OK, "40 of 64 KiB are kept");
    cr_assert_eq(
        event_append_run(store,
                         (struct store_event_append){.n = 1, .events = &(struct span){big, 10000}})
            .error,
        ERR_OK);
    cr_assert_eq(event_append_bounded(store, 0, "{}"), ERR_FULL);
}

/* ---- over ---- */

/* At most a minute late: each round appends one, as a partition in use does. */
Test(store_contract, an_event_leaves_when_its_time_is_over)
{
    contract_open_events((struct store_config){.event_ttl_s = 1});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 3);
    bool is_gone = false;
    int64_t until_ms = clock_wall_ms() + ANSWER_MAX_S * 1000;
    while (!is_gone) {
        cr_assert_lt(clock_wall_ms(), until_ms, "the events do not expire");
        sleep_until_wall_ms(clock_wall_ms() + 200);
        event_append(store, 0, "{}");
        struct store_page page = event_page(store, 0, "pa");
        cr_assert_eq(page.error, ERR_OK);
        is_gone = page.n_gaps == 1 && page.gaps[0].to >= 3;
        if (is_gone) {
            cr_assert_eq(page.gaps[0].from, 1);
            cr_assert_eq(page.gaps[0].cause, GAP_EXPIRED);
            cr_assert_eq(page.n_notes + page.gaps[0].to, page.head);
        }
        page_free(&page);
    }
}

/* ---- users ---- */

Test(store_contract, events_do_not_count_for_users)
{
    contract_open_with(4, 1000);
    event_append_numbers(store, store_partition_of(span_of("anna")), 1, 10);
    append_number(store, "anna", 1, 60);
    expect_inbox(store, "anna", ".");
    cr_assert_eq(consumers_list(store, store_partition_of(span_of("anna"))).count, 10);
}
