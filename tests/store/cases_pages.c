/* Reading an inbox: where a page starts and ends, what it shows and says. */
#include "tests/store/contract_fixture.h"

Test(store_contract, a_page_holds_what_was_appended_in_order_with_its_times)
{
    int64_t before = clock_wall_ms();
    for (int i = 0; i < 5; i++)
        append_number(store, "anna", i, 60);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 5);
    cr_assert_eq(page.head, 5);
    cr_assert_eq(page.last, 5);
    cr_assert_eq(page.acked, 0);
    for (int i = 0; i < 5; i++) {
        const struct notification *note = page.notes[i];
        cr_assert_eq(note->seq, (uint64_t)i + 1);
        cr_assert(epoch_equal(note->epoch, page.epoch));
        cr_assert(note->time_ms >= before - 1000 && note->time_ms <= clock_wall_ms() + 1000);
        cr_assert_eq(note->expires_ms, note->time_ms + 60000);
        expect_number(note, i);
    }
    page_free(&page);
}

Test(store_contract, an_inbox_is_read_in_pieces)
{
    for (int i = 0; i < 10; i++)
        append_number(store, "anna", i, 60);
    uint64_t after = 0;
    int seen = 0;
    for (int piece = 0; piece < 4; piece++) {
        struct store_page page = page_after(store, "anna", after, 3, 1 << 20);
        cr_assert_eq(page.n_notes, piece < 3 ? 3 : 1);
        for (size_t i = 0; i < page.n_notes; i++)
            expect_number(page.notes[i], seen++);
        after = page.last;
        page_free(&page);
    }
    cr_assert_eq(after, 10);
    struct store_page page = page_after(store, "anna", 10, 3, 1 << 20);
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.last, 10, "at the tail a page covers everything");
    page_free(&page);
}

Test(store_contract, a_page_ends_at_its_bytes_but_holds_one_at_least)
{
    char big[1000];
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(append_span(store, "anna", (struct span){big, sizeof big}, 60).error, ERR_OK);
    struct store_page page = page_after(store, "anna", 0, 100, 10);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.last, 1);
    page_free(&page);
    page = page_after(store, "anna", 0, 100, 2500);
    cr_assert(page.n_notes >= 2 && page.n_notes <= 3, "about max_bytes: %zu", page.n_notes);
    page_free(&page);
}

Test(store_contract, a_page_can_be_read_below_the_acknowledged_position)
{
    for (int i = 0; i < 6; i++)
        append_number(store, "anna", i, 60);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(ack_one(store, "anna", page.epoch, 4), ERR_OK);
    page_free(&page);
    page = page_from_acked(store, "anna");
    cr_assert_eq(page.acked, 4);
    cr_assert_eq(page.n_notes, 2);
    cr_assert_eq(page.notes[0]->seq, 5);
    page_free(&page);
}

Test(store_contract, a_page_never_shows_what_has_expired)
{
    cr_assert_eq(append_one(store, "anna", "1", 60).error, ERR_OK);
    cr_assert_eq(append_one(store, "anna", "2", 3).error, ERR_OK);
    cr_assert_eq(append_one(store, "anna", "3", 60).error, ERR_OK);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 3);
    int64_t due = page.notes[1]->expires_ms;
    page_free(&page);
    sleep_until_wall_ms(due);
    page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 2, "expired to the millisecond");
    cr_assert_eq(page.notes[0]->seq, 1);
    cr_assert_eq(page.notes[1]->seq, 3);
    cr_assert_eq(page.head, 3);
    page_free(&page);
    cr_assert_eq(peek_one(store, "anna").pending, 2);
}

Test(store_contract, what_a_page_shows_is_a_replay_of_what_was_appended)
{
    struct store_target got[3];
    static const char *const texts[] = {"{\"n\":1}", "\"two\"", "3"};
    for (int i = 0; i < 3; i++)
        got[i] = append_one(store, "anna", texts[i], 60);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 3);
    for (int i = 0; i < 3; i++) {
        const struct notification *note = page.notes[i];
        cr_assert(note->is_replay);
        cr_assert_eq(note->seq, got[i].seq);
        cr_assert_eq(note->time_ms, got[i].time_ms);
        cr_assert_eq(note->expires_ms, got[i].expires_ms);
        cr_assert_eq(payload_key(note->payload).len, 0);
        expect_text(note, texts[i]);
    }
    page_free(&page);
}

Test(store_contract, the_live_notification_is_what_the_append_answers)
{
    arrive(store, "anna");
    struct store_target got = append_one(store, "anna", "{\"n\":1}", 60);
    cr_assert_not(got.is_duplicate);
    cr_assert_eq(got.expires_ms, got.time_ms + 60000);
    struct recorded event = recorded_at("anna", 0);
    cr_assert_eq(event.seq, got.seq);
    cr_assert(epoch_equal(event.epoch, got.epoch));
    cr_assert_eq(event.time_ms, got.time_ms);
    cr_assert_eq(event.expires_ms, got.expires_ms);
    cr_assert_not(event.is_replay);
    cr_assert_not(event.is_withdrawal);
    cr_assert_eq(event.replaces, 0);
    cr_assert_str_eq(event.text, "{\"n\":1}");
}

/* ---- where a page starts ---- */

/* Six notifications, of which two are acknowledged. */
static struct epoch fill_six(const char *user)
{
    for (int i = 1; i <= 6; i++)
        append_number(store, user, i, 60);
    struct epoch epoch = peek_one(store, user).epoch;
    cr_assert_eq(ack_one(store, user, epoch, 2), ERR_OK);
    return epoch;
}

static struct store_page page_resumed(const char *user, uint64_t after, struct epoch after_epoch)
{
    struct store_page asked = page_asked(user);
    asked.after = after;
    asked.after_epoch = after_epoch;
    asked.wants_gaps = true;
    return page_run(store, asked);
}

/* Resumes as asked: the page starts there, and shows these letters. */
static void expect_resumed(uint64_t after, struct epoch after_epoch, const char *letters)
{
    struct store_page page = page_resumed("anna", after, after_epoch);
    cr_assert(page.is_resumed, "after %llu", (unsigned long long)after);
    cr_assert_eq(page.start, after);
    cr_assert_eq(page.position, 2);
    cr_assert_eq(page.acked, 2);
    cr_assert_eq(page.head, 6);
    cr_assert_eq(page.last, 6);
    cr_assert_not(page.has_devices);
    expect_numbers(&page, letters);
    page_free(&page);
}

static void expect_not_resumed(uint64_t after, struct epoch after_epoch)
{
    struct store_page page = page_resumed("anna", after, after_epoch);
    cr_assert_not(page.is_resumed, "after %llu", (unsigned long long)after);
    cr_assert_eq(page.start, 2);
    cr_assert_eq(page.position, 2);
    expect_numbers(&page, "....");
    page_free(&page);
}

Test(store_contract, a_page_resumes_after_a_position_of_its_epoch)
{
    struct epoch epoch = fill_six("anna");
    expect_resumed(4, epoch, "..");
    expect_resumed(6, epoch, "");
    expect_resumed(2, epoch, "....");
    expect_resumed(1, epoch, "a....");
    expect_resumed(0, epoch, "aa....");
    struct epoch none = {{0}};
    expect_resumed(3, none, "...");
    expect_resumed(0, none, "aa....");
    cr_assert_eq(peek_one(store, "anna").acked, 2, "reading acknowledges nothing");
}

Test(store_contract, a_page_does_not_resume_in_another_epoch_or_beyond_head)
{
    struct epoch epoch = fill_six("anna");
    struct epoch other = {"zzzzzzzz"};
    struct epoch none = {{0}};
    expect_not_resumed(4, other);
    expect_not_resumed(0, other);
    expect_not_resumed(7, epoch);
    expect_not_resumed(UINT64_MAX, epoch);
    expect_not_resumed(7, none);
}

Test(store_contract, a_page_from_the_position_heeds_no_other)
{
    struct epoch epoch = fill_six("anna");
    struct store_page asked = page_asked("anna");
    asked.from_acked = true;
    asked.wants_gaps = true;
    asked.after = 4;
    asked.after_epoch = epoch;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.start, 2);
    cr_assert_not(page.is_resumed);
    expect_numbers(&page, "....");
    page_free(&page);
}

Test(store_contract, a_device_resumes_after_any_position_and_else_after_its_own)
{
    struct epoch epoch = fill_six("anna");
    struct epoch other = {"zzzzzzzz"};
    struct store_page asked = page_asked("anna");
    asked.device = SPAN_LITERAL("phone");
    asked.is_arrival = true;
    asked.from_acked = true;
    struct store_page page = page_run(store, asked);
    page_free(&page);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                   .device = SPAN_LITERAL("phone"),
                                                   .epoch = epoch,
                                                   .seq = 3}),
                 ERR_OK);
    asked.from_acked = false;
    asked.after = 5;
    asked.after_epoch = epoch;
    page = page_run(store, asked);
    cr_assert(page.is_resumed);
    cr_assert_eq(page.start, 5);
    cr_assert_eq(page.position, 3);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    asked.after_epoch = other;
    page = page_run(store, asked);
    cr_assert_not(page.is_resumed);
    cr_assert_eq(page.start, 3);
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
}

Test(store_contract, a_page_of_a_user_without_numbers_is_empty_from_wherever)
{
    struct epoch other = {"zzzzzzzz"};
    struct store_page page = page_resumed("new", 4, other);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(page.is_resumed);
    cr_assert_eq(page.start, 0);
    cr_assert_eq(page.last, 0);
    cr_assert_eq(page.position, 0);
    expect_numbers(&page, "");
    page_free(&page);
}

Test(store_contract, a_page_holds_one_however_small_its_bounds)
{
    fill_six("anna");
    struct store_page page = page_after(store, "anna", 2, 1, 1);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.notes[0]->seq, 3);
    cr_assert_eq(page.last, 3);
    cr_assert_eq(page.head, 6);
    page_free(&page);
}

static void expect_same_page(const struct store_page *at_once, const struct store_page *asked)
{
    cr_expect(epoch_equal(at_once->epoch, asked->epoch));
    cr_expect_eq(at_once->head, asked->head);
    cr_expect_eq(at_once->acked, asked->acked);
    cr_expect_eq(at_once->position, asked->position);
    cr_expect_eq(at_once->start, asked->start);
    cr_expect_eq(at_once->last, asked->last);
    cr_expect_eq(at_once->is_resumed, asked->is_resumed);
    cr_expect_eq(asked->n_notes, 0);
    cr_expect_eq(asked->n_gaps, 0);
}

/* Whether a store does so is its own business; with the memory store see test_store_memory. */
Test(store_contract, a_page_that_is_answered_at_once_is_the_one_that_would_be_asked_for)
{
    static const char *const users[] = {"anna", "berta", "clara", "nobody"};
    append_number(store, "anna", 0, 60);
    append_number(store, "berta", 0, 60);
    cr_assert_eq(ack_one(store, "berta", peek_one(store, "berta").epoch, 1), ERR_OK);
    struct store_page begun = arrive_and_read(store, "clara");
    page_free(&begun);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        struct store_page at_once = page_asked(users[i]);
        struct store_page asked = page_asked(users[i]);
        at_once.from_acked = asked.from_acked = true;
        if (!store_page_at_once(store, &at_once))
            continue;
        asked = page_run(store, asked);
        expect_same_page(&at_once, &asked);
        page_free(&asked);
    }
}
