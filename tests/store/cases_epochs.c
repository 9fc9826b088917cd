/* Epochs: when a user begins, and when what the store had is lost. */
#include "tests/store/contract_fixture.h"

Test(store_contract, begins_a_new_epoch_when_its_head_is_lower_than_what_is_known)
{
    append_number(store, "anna", 0, 60);
    struct epoch old = peek_one(store, "anna").epoch;
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = 9, .known_epoch = old};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert(target.seq == 1 || target.seq == 2,
              "what is still there may be kept and numbered anew");
    cr_assert(!epoch_equal(target.epoch, old));
    cr_assert_eq(ack_one(store, "anna", old, 1), ERR_STALE_EPOCH);
    cr_assert(epoch_equal(peek_one(store, "anna").epoch, target.epoch));
}

Test(store_contract, a_page_begins_a_new_epoch_as_well)
{
    append_number(store, "anna", 0, 60);
    struct epoch old = peek_one(store, "anna").epoch;
    struct store_page page = page_knowing(store, "anna", old, 5);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(!epoch_equal(page.epoch, old));
    cr_assert(!epoch_is_none(page.epoch));
    cr_assert_eq(page.head, page.n_notes, "what is still there is numbered from 1");
    page_free(&page);
}

Test(store_contract, keeps_the_epoch_when_what_is_known_is_not_above_its_head)
{
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct store_page page = page_knowing(store, "anna", epoch, 3);
    cr_assert(epoch_equal(page.epoch, epoch));
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
}

Test(store_contract, a_page_makes_nobody_and_the_first_push_begins_the_epoch)
{
    struct store_page page = page_all(store, "new");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.head, 0);
    cr_assert_eq(page.last, 0);
    cr_assert_eq(page.n_notes, 0);
    cr_assert(epoch_is_none(page.epoch));
    page_free(&page);
    cr_assert(epoch_is_none(peek_one(store, "new").epoch));
    struct store_target got = append_one(store, "new", "{}", 60);
    cr_assert_eq(got.seq, 1);
    cr_assert(!epoch_is_none(got.epoch));
    page = page_all(store, "new");
    cr_assert(epoch_equal(page.epoch, got.epoch));
    page_free(&page);
}

Test(store_contract, a_page_for_a_client_of_an_epoch_that_is_gone_begins_a_new_one)
{
    struct epoch known = {"zzzzzzzz"};
    struct store_page page = page_knowing(store, "new", known, 3);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(!epoch_is_none(page.epoch));
    cr_assert(!epoch_equal(page.epoch, known));
    page_free(&page);
}

Test(store_contract, a_page_that_must_begin_makes_the_user)
{
    struct store_page asked = page_asked("new");
    asked.must_begin = true;
    asked.wants_gaps = true;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(epoch_is_none(page.epoch));
    cr_assert_eq(page.head, 0);
    cr_assert_eq(page.last, 0);
    struct epoch epoch = page.epoch;
    expect_numbers(&page, "");
    page_free(&page);
    page = page_run(store, asked);
    cr_assert(epoch_equal(page.epoch, epoch), "one that is there stays");
    page_free(&page);
    cr_assert(epoch_equal(peek_one(store, "new").epoch, epoch));
    cr_assert_eq(peek_one(store, "new").head, 0);
    struct store_target got = append_one(store, "new", "{}", 60);
    cr_assert_eq(got.seq, 1);
    cr_assert(epoch_equal(got.epoch, epoch));
    page = page_run(store, asked);
    cr_assert(epoch_equal(page.epoch, epoch));
    expect_numbers(&page, ".");
    page_free(&page);
}

Test(store_contract, a_client_of_another_epoch_gets_the_current_one)
{
    append_number(store, "anna", 1, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct epoch other = {"zzzzzzzz"};
    struct store_page page = page_knowing(store, "anna", other, 900);
    cr_assert(epoch_equal(page.epoch, epoch));
    cr_assert_eq(page.head, 1);
    page_free(&page);
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = 900, .known_epoch = other};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert(epoch_equal(target.epoch, epoch));
    cr_assert_eq(target.seq, 2);
}

Test(store_contract, an_append_for_a_user_that_is_gone_begins_a_new_epoch)
{
    struct epoch known = {"zzzzzzzz"};
    struct store_target target = {
        .user_id = SPAN_LITERAL("new"), .known_head = 3, .known_epoch = known, .known_acked = 2};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_eq(target.seq, 1);
    cr_assert_not(epoch_is_none(target.epoch));
    cr_assert_not(epoch_equal(target.epoch, known));
    cr_assert_eq(peek_one(store, "new").acked, 0);
    expect_inbox(store, "new", ".");
}

/* Whatever is kept, its numbers are from 1 without holes, and nothing is said to be acknowledged.
 */
static void expect_anew(const char *user, struct epoch old)
{
    struct store_page page = page_with_gaps(store, user, 0);
    cr_assert_not(epoch_equal(page.epoch, old));
    cr_assert_eq(page.acked, 0);
    cr_assert_eq(page.position, 0);
    cr_assert_eq(page.n_gaps, 0);
    cr_assert_eq(page.head, page.n_notes);
    for (size_t i = 0; i < page.n_notes; i++) {
        cr_assert_eq(page.notes[i]->seq, i + 1);
        cr_assert(epoch_equal(page.notes[i]->epoch, page.epoch));
    }
    page_free(&page);
}

Test(store_contract, a_new_epoch_forgets_the_positions_and_causes_of_the_old_one)
{
    for (int i = 1; i <= 6; i++)
        append_number(store, "anna", i, 60);
    struct epoch old = peek_one(store, "anna").epoch;
    cancel_one(store, "anna", old, 4);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                   .epoch = old,
                                                   .seq = 2,
                                                   .written = 6}),
                 ERR_OK);
    struct store_page page = page_knowing(store, "anna", old, 9);
    page_free(&page);
    expect_anew("anna", old);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.pending, peek.head);
    cr_assert_eq(look_at(store, "anna", old, 5).found.fate, FATE_GONE);
    cr_assert_eq(ack_one(store, "anna", old, 1), ERR_STALE_EPOCH);
    struct store_page again = page_knowing(store, "anna", old, 9);
    cr_assert(epoch_equal(again.epoch, peek.epoch), "one loss begins one epoch");
    page_free(&again);
}

Test(store_contract, what_was_known_to_be_acknowledged_does_not_pass_into_a_new_epoch)
{
    append_number(store, "anna", 1, 60);
    struct epoch old = peek_one(store, "anna").epoch;
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = 9, .known_epoch = old, .known_acked = 8};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_not(epoch_equal(target.epoch, old));
    cr_assert(peek_one(store, "anna").acked < target.seq);
    cr_assert(peek_one(store, "anna").pending >= 1);
    expect_fate(look_at(store, "anna", target.epoch, target.seq), FATE_PENDING, GAP_NONE);
}

Test(store_contract, a_device_does_not_carry_its_position_into_a_new_epoch)
{
    for (int i = 1; i <= 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch old = peek_one(store, "anna").epoch;
    struct store_page page = page_of_device(store, "anna", "phone", true);
    page_free(&page);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                   .device = SPAN_LITERAL("phone"),
                                                   .epoch = old,
                                                   .seq = 2}),
                 ERR_OK);
    page = page_knowing(store, "anna", old, 9);
    page_free(&page);
    page = page_of_device(store, "anna", "phone", true);
    cr_assert_not(epoch_equal(page.epoch, old));
    cr_assert_eq(page.position, 0);
    cr_assert_eq(page.acked, 0);
    cr_assert_eq(page.n_notes, page.head);
    page_free(&page);
}

/* Whether it is kept or not: one notification with that key is what there may be. */
Test(store_contract, a_collapse_key_is_good_for_one_in_a_new_epoch_too)
{
    struct epoch old = append_keyed(store, "anna", "1", "score").epoch;
    struct store_page page = page_knowing(store, "anna", old, 9);
    page_free(&page);
    append_keyed(store, "anna", "2", "score");
    page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 1);
    expect_text(page.notes[0], "2");
    page_free(&page);
}
