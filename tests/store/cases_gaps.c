/* Causes: what a page says of the numbers that it does not show. */
#include "gateway/base/metrics.h"
#include "tests/store/contract_fixture.h"

Test(store_contract, a_page_names_what_has_expired_to_the_millisecond)
{
    append_number(store, "anna", 1, 60);
    append_number(store, "anna", 2, 3);
    struct store_target last = append_one(store, "anna", "{}", 3);
    append_number(store, "anna", 4, 60);
    expect_inbox(store, "anna", "....");
    sleep_until_wall_ms(last.expires_ms);
    expect_inbox(store, "anna", ".ee.");
    expect_fate(look_at(store, "anna", last.epoch, 2), FATE_GONE, GAP_EXPIRED);
    append_number(store, "anna", 5, 60);
    expect_inbox(store, "anna", ".ee..");
    cr_assert_eq(peek_one(store, "anna").pending, 3);
}

/* A node that missed withdrawals asks for those of the numbers that it has read already. */
Test(store_contract, a_page_reports_what_was_withdrawn_before_its_start)
{
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    for (int i = 2; i < 6; i++)
        append_number(store, "anna", i, 60);
    append_keyed(store, "anna", "6", "score");
    cr_assert_eq(cancel_one(store, "anna", epoch, 3).n_removed, 1);
    cr_assert_eq(cancel_one(store, "anna", epoch, 6).n_removed, 1);
    struct store_page asked = page_asked("anna");
    asked.after = 5;
    asked.wants_gaps = false;
    asked.wants_withdrawn = true;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.n_gaps, 0);
    cr_assert_eq(page.n_withdrawn, 2);
    cr_assert(page.withdrawn[0].to == 1 && page.withdrawn[0].cause == GAP_COLLAPSED);
    cr_assert(page.withdrawn[1].from == 3 && page.withdrawn[1].to == 3);
    cr_assert_eq(page.withdrawn[1].cause, GAP_CANCELLED);
    page_free(&page);
}

Test(store_contract, an_inbox_that_has_expired_whole_names_the_cause)
{
    append_number(store, "anna", 1, 1);
    struct store_target last = append_one(store, "anna", "{}", 1);
    sleep_until_wall_ms(last.expires_ms);
    cr_assert_eq(peek_one(store, "anna").pending, 0);
    cr_assert_eq(peek_one(store, "anna").oldest_time_ms, 0);
    expect_inbox(store, "anna", "ee");
    sleep_until_wall_ms(last.expires_ms + 300); /* what a sweep does not take away */
    expect_inbox(store, "anna", "ee");
    append_number(store, "anna", 3, 60);
    expect_inbox(store, "anna", "ee.");
}

Test(store_contract, a_page_names_what_a_full_inbox_pushed_out)
{
    contract_open_with(3, 1 << 20);
    for (int i = 0; i < 5; i++)
        append_number(store, "anna", i, 60);
    expect_inbox(store, "anna", "oo...");
    expect_fate(look_at(store, "anna", peek_one(store, "anna").epoch, 2), FATE_GONE, GAP_OVERFLOW);
}

Test(store_contract, the_newest_stays_however_large_it_is)
{
    contract_open_with(1000, 1000);
    static char data[2000];
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(append_span(store, "anna", (struct span){data, 300}, 60).error, ERR_OK);
    expect_inbox(store, "anna", "...");
    cr_assert_eq(append_span(store, "anna", (struct span){data, 2000}, 60).seq, 4);
    expect_inbox(store, "anna", "ooo.");
    cr_assert_eq(append_span(store, "anna", (struct span){data, 300}, 60).seq, 5);
    expect_inbox(store, "anna", "oooo.");
}

Test(store_contract, what_has_expired_makes_room_before_a_full_inbox_pushes_out)
{
    contract_open_with(2, 1 << 20);
    append_number(store, "anna", 1, 60);
    struct store_target brief = append_one(store, "anna", "{}", 1);
    sleep_until_wall_ms(brief.expires_ms);
    append_number(store, "anna", 3, 60);
    expect_inbox(store, "anna", ".e.");
}

Test(store_contract, each_cause_is_kept_apart_from_the_others)
{
    contract_open_with(5, 1 << 20);
    append_number(store, "anna", 1, 60);
    append_number(store, "anna", 2, 60);
    append_keyed(store, "anna", "3", "score");
    struct store_target brief = append_one(store, "anna", "{}", 3);
    append_number(store, "anna", 5, 60);
    append_keyed(store, "anna", "6", "score"); /* in the place of 3 */
    append_number(store, "anna", 7, 60);       /* pushes 1 out */
    cr_assert_eq(cancel_one(store, "anna", brief.epoch, 5).n_removed, 1);
    sleep_until_wall_ms(brief.expires_ms);
    expect_inbox(store, "anna", "o.lec..");
    cr_assert_eq(ack_one(store, "anna", brief.epoch, 6), ERR_OK);
    expect_inbox(store, "anna", "oaleca.");
    cr_assert_eq(purge(store, "anna").n_removed, 1);
    expect_inbox(store, "anna", "oalecac");
    append_number(store, "anna", 8, 60);
    expect_inbox(store, "anna", "oalecac.");
}

Test(store_contract, a_cause_outlives_the_acknowledgement_of_its_number)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    for (int i = 2; i <= 4; i++)
        append_number(store, "anna", i, 60);
    cancel_one(store, "anna", epoch, 2);
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    expect_inbox(store, "anna", "acaa");
    expect_fate(look_at(store, "anna", epoch, 1), FATE_DELIVERED, GAP_NONE);
    expect_fate(look_at(store, "anna", epoch, 2), FATE_GONE, GAP_CANCELLED);
    expect_fate(look_at(store, "anna", epoch, 3), FATE_DELIVERED, GAP_NONE);
}

Test(store_contract, a_reader_below_the_acknowledged_position_gets_that_cause)
{
    for (int i = 1; i <= 5; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 3), ERR_OK);
    struct store_page page = page_with_gaps(store, "anna", 1);
    cr_assert_eq(page.start, 1);
    cr_assert_eq(page.acked, 3);
    cr_assert_eq(page.n_gaps, 1);
    cr_assert_eq(page.gaps[0].from, 2);
    cr_assert_eq(page.gaps[0].to, 3);
    cr_assert_eq(page.gaps[0].cause, GAP_ACKNOWLEDGED);
    expect_numbers(&page, "aa..");
    page_free(&page);
}

Test(store_contract, neighbours_of_one_cause_are_one_gap)
{
    for (int i = 1; i <= 6; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    static const uint64_t order[] = {2, 5, 4, 3};
    for (int i = 0; i < 4; i++)
        cr_assert_eq(cancel_one(store, "anna", epoch, order[i]).n_removed, 1);
    struct store_page page = page_with_gaps(store, "anna", 0);
    expect_numbers(&page, ".cccc.");
    cr_assert_eq(page.n_gaps, 1);
    page_free(&page);
}

Test(store_contract, a_page_without_gaps_carries_none)
{
    for (int i = 1; i <= 3; i++)
        append_number(store, "anna", i, 60);
    cancel_one(store, "anna", peek_one(store, "anna").epoch, 2);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 2);
    cr_assert_eq(page.n_gaps, 0);
    cr_assert_null(page.gaps);
    page_free(&page);
}

Test(store_contract, pieces_of_an_inbox_name_each_missing_number_once)
{
    static const char letters[] = "cc..c...c.cc.c...ccc..cc";
    enum { NUMBERS = sizeof letters - 1 };
    for (int i = 0; i < NUMBERS; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    for (uint64_t seq = 1; seq <= NUMBERS; seq++)
        if (letters[seq - 1] == 'c')
            cr_assert_eq(cancel_one(store, "anna", epoch, seq).n_removed, 1);
    expect_inbox(store, "anna", letters);
    for (uint32_t max_count = 1; max_count <= 5; max_count++) {
        uint64_t after = 0;
        while (after < NUMBERS) {
            struct store_page asked = page_asked("anna");
            asked.after = after;
            asked.max_count = max_count;
            asked.wants_gaps = true;
            struct store_page page = page_run(store, asked);
            cr_assert(page.n_notes <= max_count);
            cr_assert(page.last > after && page.last <= NUMBERS);
            char piece[NUMBERS + 1];
            snprintf(piece, sizeof piece, "%.*s", (int)(page.last - after), letters + after);
            expect_numbers(&page, piece);
            after = page.last;
            page_free(&page);
        }
    }
}

Test(store_contract, too_many_ranges_leave_the_oldest_unknown)
{
    enum { CANCELLED = GAPS_MAX + 6, NUMBERS = 2 * CANCELLED };
    for (int i = 1; i <= NUMBERS; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    for (uint64_t seq = 1; seq <= NUMBERS; seq += 2)
        cr_assert_eq(cancel_one(store, "anna", epoch, seq).n_removed, 1);
    char letters[NUMBERS + 1] = "";
    for (int i = 0; i < NUMBERS; i += 2) {
        letters[i] = i <= 2 * (CANCELLED - GAPS_MAX) ? 'u' : 'c';
        letters[i + 1] = '.';
    }
    expect_inbox(store, "anna", letters);
    expect_fate(look_at(store, "anna", epoch, 1), FATE_GONE, GAP_UNKNOWN);
    expect_fate(look_at(store, "anna", epoch, NUMBERS - 1), FATE_GONE, GAP_CANCELLED);
    expect_fate(look_at(store, "anna", epoch, 2), FATE_PENDING, GAP_NONE);
    cr_assert_eq(peek_one(store, "anna").pending, CANCELLED, "what waits between them still does");
}

static void wait_for_count(enum metric metric, int64_t wanted)
{
    int64_t until_ms = clock_monotonic_ms() + 20000;
    while (metrics_read(metric) != wanted && clock_monotonic_ms() < until_ms)
        sleep_until_wall_ms(clock_wall_ms() + 2);
    cr_assert_eq(metrics_read(metric), wanted);
}

Test(store_contract, each_way_out_is_counted_by_its_cause)
{
    contract_open_with(3, 1 << 20);
    int64_t overflow = metrics_read(METRIC_INBOX_OVERFLOW);
    int64_t cancelled = metrics_read(METRIC_INBOX_CANCELLED);
    int64_t collapsed = metrics_read(METRIC_INBOX_COLLAPSED);
    append_keyed(store, "anna", "1", "score");
    struct epoch epoch = append_keyed(store, "anna", "2", "score").epoch;
    for (int i = 3; i <= 6; i++)
        append_number(store, "anna", i, 60);
    cancel_one(store, "anna", epoch, 5);
    cancel_one(store, "anna", epoch, 5);
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    append_number(store, "anna", 7, 60);
    cr_assert_eq(purge(store, "anna").n_removed, 2);
    wait_for_count(METRIC_INBOX_COLLAPSED, collapsed + 1);
    wait_for_count(METRIC_INBOX_OVERFLOW, overflow + 2);
    wait_for_count(METRIC_INBOX_CANCELLED, cancelled + 3);
    expect_inbox(store, "anna", "looaccc");
}

/* It left before the acknowledgement came: whether a session had it is not known from that. */
Test(store_contract, what_has_expired_is_not_acknowledged_afterwards)
{
    struct store_target brief = append_one(store, "anna", "1", 1);
    append_number(store, "anna", 2, 60);
    append_number(store, "bert", 1, 1);
    struct store_target last = append_one(store, "bert", "2", 1);
    sleep_until_wall_ms(last.expires_ms);
    cr_assert_eq(ack_one(store, "anna", brief.epoch, 2), ERR_OK);
    expect_fate(look_at(store, "anna", brief.epoch, 1), FATE_GONE, GAP_EXPIRED);
    expect_inbox(store, "anna", "ea");
    struct store_target target = {.user_id = SPAN_LITERAL("bert"),
                                  .known_epoch = last.epoch,
                                  .known_head = 2,
                                  .known_acked = 2};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    expect_inbox(store, "bert", "ee.");
}
