/* Positions: what was acknowledged, by sessions without a device and by devices. */
#include "tests/store/contract_fixture.h"

Test(store_contract, an_acknowledgement_removes_and_a_lower_one_changes_nothing)
{
    for (int i = 0; i < 6; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.acked, 4);
    cr_assert_eq(peek.pending, 2);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 2, "what was acknowledged has left");
    cr_assert_eq(page.notes[0]->seq, 5);
    page_free(&page);
    cr_assert_eq(ack_one(store, "anna", epoch, 6), ERR_OK);
    peek = peek_one(store, "anna");
    cr_assert_eq(peek.pending, 0);
    cr_assert_eq(peek.head, 6);
    cr_assert_eq(peek.oldest_time_ms, 0);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 7, "an empty inbox goes on counting");
}

Test(store_contract, refuses_to_acknowledge_another_epoch_or_what_was_never_given)
{
    append_number(store, "anna", 0, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct epoch other = {"00000000"};
    cr_assert_eq(ack_one(store, "anna", other, 1), ERR_STALE_EPOCH);
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_STALE_EPOCH);
    cr_assert_eq(ack_one(store, "nobody", epoch, 1), ERR_STALE_EPOCH);
    cr_assert_eq(peek_one(store, "anna").acked, 0);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
}

Test(store_contract, an_acknowledgement_may_go_up_to_head_and_into_holes)
{
    for (int i = 1; i <= 4; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cancel_one(store, "anna", epoch, 2);
    cancel_one(store, "anna", epoch, 4);
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").acked, 2);
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").acked, 4);
    cr_assert_eq(ack_one(store, "anna", epoch, 5), ERR_STALE_EPOCH);
    expect_inbox(store, "anna", "acac");
}

Test(store_contract, an_acknowledgement_of_nothing_is_well)
{
    append_number(store, "anna", 1, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 0), ERR_OK);
    expect_inbox(store, "anna", ".");
}

Test(store_contract, an_acknowledgement_makes_nobody)
{
    struct epoch epoch = {"zzzzzzzz"};
    cr_assert_eq(ack_one(store, "nobody", epoch, 0), ERR_STALE_EPOCH);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("nobody"),
                                                   .device = SPAN_LITERAL("phone"),
                                                   .epoch = epoch,
                                                   .seq = 1}),
                 ERR_STALE_EPOCH);
    struct store_page page = page_all(store, "nobody");
    cr_assert(epoch_is_none(page.epoch));
    cr_assert_not(page.has_devices);
    page_free(&page);
}

Test(store_contract, a_live_notification_may_carry_the_stored_position)
{
    arrive(store, "anna");
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    append_number(store, "anna", 2, 60);
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    append_number(store, "anna", 3, 60);
    cr_assert_eq(recorded_at("anna", 1).acked, 0);
    struct recorded third = recorded_at("anna", 2);
    cr_assert(third.acked == 2 || third.acked == 0);
}

/* ---- the position that an append reports ---- */

static struct store_target append_knowing(const char *user, struct epoch epoch, uint64_t head,
                                          uint64_t acked)
{
    struct store_target target = {
        .user_id = span_of(user), .known_epoch = epoch, .known_head = head, .known_acked = acked};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    return target;
}

Test(store_contract, what_is_known_to_be_acknowledged_makes_room_first)
{
    contract_open_with(3, 1 << 20);
    for (int i = 1; i <= 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct store_target got = append_knowing("anna", epoch, 3, 2);
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_eq(got.seq, 4);
    cr_assert_eq(peek_one(store, "anna").acked, 2);
    expect_inbox(store, "anna", "aa..");
    expect_fate(look_at(store, "anna", epoch, 2), FATE_DELIVERED, GAP_NONE);
    cr_assert_eq(append_knowing("anna", epoch, 4, 1).seq, 5);
    expect_inbox(store, "anna", "aa...");
}

Test(store_contract, what_is_known_to_be_acknowledged_makes_room_in_bytes)
{
    contract_open_with(1000, 1000);
    static char data[300];
    memset(data, 'x', sizeof data);
    struct span span = {data, sizeof data};
    for (int i = 1; i <= 3; i++)
        cr_assert_eq(append_span(store, "anna", span, 60).error, ERR_OK);
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = peek_one(store, "anna").epoch,
                                  .known_head = 3,
                                  .known_acked = 1};
    append_to(store, &target, 1, span, 60);
    expect_inbox(store, "anna", "a...");
}

Test(store_contract, what_is_known_to_be_acknowledged_is_not_replaced)
{
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_epoch = epoch, .known_head = 1, .known_acked = 1};
    append_run(store, (struct store_append){
                          .payload = payload_new_keyed(SPAN_LITERAL("2"), SPAN_LITERAL("score")),
                          .ttl_s = 60,
                          .n_targets = 1,
                          .targets = &target});
    expect_inbox(store, "anna", "a.");
}

Test(store_contract, what_is_known_of_another_epoch_acknowledges_nothing)
{
    contract_open_with(3, 1 << 20);
    for (int i = 1; i <= 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct epoch other = {"zzzzzzzz"};
    struct store_target got = append_knowing("anna", other, 3, 2);
    cr_assert_eq(got.seq, 4);
    cr_assert(epoch_equal(got.epoch, epoch));
    cr_assert_eq(peek_one(store, "anna").acked, 0);
    expect_inbox(store, "anna", "o...");
}
