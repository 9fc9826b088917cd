/* Appending: numbers, order, ceilings, events, and that each request is answered once. */
#include "tests/store/contract_fixture.h"

Test(store_contract, numbers_from_1_without_holes_within_one_epoch)
{
    struct epoch epoch = {{0}};
    for (uint64_t seq = 1; seq <= 20; seq++) {
        struct store_target got = append_one(store, "anna", "{}", 60);
        cr_assert_eq(got.error, ERR_OK);
        cr_assert_eq(got.seq, seq);
        cr_assert(!epoch_is_none(got.epoch));
        if (seq > 1)
            cr_assert(epoch_equal(got.epoch, epoch));
        epoch = got.epoch;
    }
    cr_assert_eq(append_one(store, "bert", "{}", 60).seq, 1, "each user has numbers of their own");
}

Test(store_contract, numbers_go_on_after_everything_has_expired)
{
    cr_assert_eq(append_one(store, "anna", "1", 1).seq, 1);
    struct epoch epoch = peek_one(store, "anna").epoch;
    sleep_until_wall_ms(clock_wall_ms() + 1100);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.head, 1);
    cr_assert_eq(page.last, 1);
    page_free(&page);
    struct store_target got = append_one(store, "anna", "2", 60);
    cr_assert_eq(got.seq, 2);
    cr_assert(epoch_equal(got.epoch, epoch));
}

Test(store_contract, a_full_inbox_pushes_out_its_oldest_by_count)
{
    contract_open_with(5, 1 << 20);
    for (int i = 0; i < 12; i++)
        append_number(store, "anna", i, 60);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 5);
    cr_assert_eq(page.notes[0]->seq, 8);
    cr_assert_eq(page.head, 12);
    expect_number(page.notes[4], 11);
    page_free(&page);
}

Test(store_contract, a_full_inbox_pushes_out_its_oldest_by_bytes)
{
    contract_open_with(1000, 1000);
    char data[300];
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(append_span(store, "anna", (struct span){data, sizeof data}, 60).error,
                     ERR_OK);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 3);
    cr_assert_eq(page.notes[0]->seq, 8);
    page_free(&page);
}

Test(store_contract, one_payload_to_many_users_gives_each_a_number_and_an_answer)
{
    append_number(store, "bert", 0, 60);
    static const char *const users[] = {"anna", "bert", "carl"};
    struct store_target targets[3] = {{.user_id = span_of(users[0])},
                                      {.user_id = span_of(users[1])},
                                      {.user_id = span_of(users[2])}};
    append_to(store, targets, 3, SPAN_LITERAL("{\"to\":\"all\"}"), 60);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(targets[i].error, ERR_OK);
        cr_assert_eq(targets[i].seq, i == 1 ? 2 : 1);
        struct store_page page = page_all(store, users[i]);
        cr_assert(epoch_equal(page.epoch, targets[i].epoch));
        expect_text(page.notes[page.n_notes - 1], "{\"to\":\"all\"}");
        page_free(&page);
    }
    /* The payload stays as long as one of its users waits for it. */
    cr_assert_eq(ack_one(store, "anna", targets[0].epoch, 1), ERR_OK);
    cr_assert_eq(ack_one(store, "bert", targets[1].epoch, 2), ERR_OK);
    struct store_page page = page_all(store, "carl");
    cr_assert_eq(page.n_notes, 1);
    expect_text(page.notes[0], "{\"to\":\"all\"}");
    page_free(&page);
    cr_assert_eq(ack_one(store, "carl", targets[2].epoch, 1), ERR_OK);
    cr_assert_eq(peek_one(store, "carl").pending, 0);
}

Test(store_contract, a_user_named_twice_in_one_push_gets_two_numbers)
{
    struct store_target targets[2] = {{.user_id = SPAN_LITERAL("anna")},
                                      {.user_id = SPAN_LITERAL("anna")}};
    append_to(store, targets, 2, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(targets[0].error, ERR_OK);
    cr_assert_eq(targets[1].error, ERR_OK);
    cr_assert_eq(targets[0].seq + targets[1].seq, 3);
    cr_assert_eq(peek_one(store, "anna").pending, 2);
}

Test(store_contract, tells_of_every_notification_in_number_order)
{
    arrive(store, "anna");
    for (int i = 0; i < 200; i++)
        append_number(store, "anna", i, 60);
    wait_for_notifications("anna", 200);
    cr_assert(are_recorded_in_order("anna"));
}

Test(store_contract, an_arrival_reads_what_waits_and_hears_the_rest)
{
    append_number(store, "anna", 0, 60);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.head, 1);
    page_free(&page);
    append_number(store, "anna", 1, 60);
    wait_for_notification("anna", 2);
    backend_leave(store, 0, SPAN_LITERAL("anna"));
}

static void *append_many(void *unused)
{
    for (int i = 0; i < 500; i++)
        append_number(store, "anna", i, 60);
    return unused;
}

Test(store_contract, two_threads_that_append_to_one_user_share_its_numbers)
{
    arrive(store, "anna");
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, append_many, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    wait_for_notifications("anna", 1000);
    cr_assert(are_recorded_in_order("anna"));
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 1000);
    for (size_t i = 0; i < page.n_notes; i++)
        cr_assert_eq(page.notes[i]->seq, i + 1);
    page_free(&page);
}

Test(store_contract, a_peek_counts_what_waits_and_makes_nobody)
{
    struct store_peek peek = peek_one(store, "nobody");
    cr_assert_eq(peek.error, ERR_OK);
    cr_assert(epoch_is_none(peek.epoch));
    cr_assert_eq(peek.head, 0);
    cr_assert_eq(peek.pending, 0);
    int64_t before = clock_wall_ms();
    for (int i = 0; i < 7; i++)
        append_number(store, "anna", i, 60);
    peek = peek_one(store, "anna");
    cr_assert_eq(peek.head, 7);
    cr_assert_eq(peek.acked, 0);
    cr_assert_eq(peek.pending, 7);
    cr_assert(peek.oldest_time_ms >= before - 1000 &&
              peek.oldest_time_ms <= clock_wall_ms() + 1000);
}

Test(store_contract, a_payload_comes_back_byte_for_byte)
{
    static char big[65536];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 31 + i / 251); /* NUL and every other byte value occur */
    static const size_t sizes[] = {1, 2, 125, 126, 2000, 4096, 65535, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cr_assert_eq(append_span(store, "anna", (struct span){big, sizes[i]}, 60).error, ERR_OK);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, sizeof sizes / sizeof *sizes);
    for (size_t i = 0; i < page.n_notes; i++)
        cr_assert(span_equal(payload_data(page.notes[i]->payload), (struct span){big, sizes[i]}));
    page_free(&page);
}

Test(store_contract, takes_userids_of_every_form)
{
    char longest[USER_ID_MAX_BYTES + 1];
    memset(longest, 'u', USER_ID_MAX_BYTES);
    longest[USER_ID_MAX_BYTES] = '\0';
    const char *const users[] = {longest, "a", "{a}", "%7B", "a/b c", "\xc3\xa4\xe2\x82\xac", "*"};
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        append_number(store, users[i], (int)i, 60);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        struct store_page page = page_all(store, users[i]);
        cr_assert_eq(page.n_notes, 1);
        expect_number(page.notes[0], (int)i);
        page_free(&page);
    }
}

Test(store_contract, carries_out_the_requests_of_one_thread_in_order)
{
    /* Nothing is awaited in between: an append, a page that must hold it, its
     * acknowledgement, and a page that must not hold it any more. */
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    struct append_call append;
    struct page_call before;
    struct page_call after;
    struct ack_call ack;
    for (uint64_t i = 2; i <= 100; i++) {
        append_begin(store, &append, "anna", SPAN_LITERAL("{}"), 60);
        page_begin(store, &before, "anna");
        ack_begin(store, &ack, "anna", epoch, i);
        page_begin(store, &after, "anna");
        append_end(&append);
        call_wait(&before.call);
        call_wait(&ack.call);
        call_wait(&after.call);
        cr_assert_eq(append.target.seq, i);
        cr_assert_eq(before.page.head, i);
        cr_assert_eq(before.page.n_notes, 1);
        cr_assert_eq(before.page.notes[0]->seq, i);
        cr_assert_eq(ack.ack.error, ERR_OK);
        cr_assert_eq(after.page.n_notes, 0);
        cr_assert_eq(after.page.acked, i);
        page_free(&before.page);
        page_free(&after.page);
    }
}

Test(store_contract, answers_every_request_once_when_it_is_closed)
{
    enum { COUNT = 500 };
    static struct append_call appends[COUNT];
    static struct page_call pages[COUNT];
    for (int i = 0; i < COUNT; i++) {
        append_begin(store, &appends[i], "anna", SPAN_LITERAL("{}"), 60);
        page_begin(store, &pages[i], "anna");
    }
    backend_close(store);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(atomic_load(&appends[i].call.n_answers), 1);
        cr_assert_eq(atomic_load(&pages[i].call.n_answers), 1);
        append_end(&appends[i]);
        page_free(&pages[i].page);
    }
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}
