/* Looking one number up, cancelling it, and purging an inbox. */
#include "tests/store/contract_fixture.h"

Test(store_contract, a_look_reports_what_became_of_a_number_and_changes_nothing)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    append_number(store, "anna", 2, 60);
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct store_look look = look_at(store, "anna", epoch, 1);
        expect_fate(look, FATE_DELIVERED, GAP_NONE);
        look = look_at(store, "anna", epoch, 2);
        expect_fate(look, FATE_PENDING, GAP_NONE);
        cr_assert_not(look.found.is_written);
    }
    expect_inbox(store, "anna", "a.");
}

Test(store_contract, a_number_that_was_never_given_is_not_found)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    cr_assert_eq(look_at(store, "anna", epoch, 2).error, ERR_NOT_FOUND);
    struct store_withdraw cancel = cancel_one(store, "anna", epoch, 2);
    cr_assert_eq(cancel.error, ERR_NOT_FOUND);
    cr_assert_eq(cancel.n_removed, 0);
    append_number(store, "anna", 2, 60);
    expect_inbox(store, "anna", "..");
}

Test(store_contract, a_number_of_another_epoch_is_gone)
{
    append_number(store, "anna", 1, 60);
    struct epoch other = {"zzzzzzzz"};
    for (uint64_t seq = 1; seq <= 9; seq += 8) {
        struct store_look look = look_at(store, "anna", other, seq);
        cr_assert_eq(look.error, ERR_OK);
        cr_assert_eq(look.found.fate, FATE_GONE);
        struct store_withdraw cancel = cancel_one(store, "anna", other, seq);
        cr_assert_eq(cancel.error, ERR_OK);
        cr_assert_eq(cancel.found.fate, FATE_GONE);
        cr_assert_eq(cancel.n_removed, 0);
    }
    expect_inbox(store, "anna", ".");
}

/* Of a user never heard of, or forgotten: nothing is claimed, and nobody is made. */
Test(store_contract, looking_and_withdrawing_make_nobody)
{
    struct epoch epoch = {"zzzzzzzz"};
    struct store_look look = look_at(store, "nobody", epoch, 1);
    cr_assert(look.error == ERR_NOT_FOUND ||
              (look.error == ERR_OK && look.found.fate == FATE_GONE));
    struct store_withdraw cancel = cancel_one(store, "nobody", epoch, 1);
    cr_assert(cancel.error == ERR_NOT_FOUND ||
              (cancel.error == ERR_OK && cancel.found.fate == FATE_GONE));
    cr_assert_eq(cancel.n_removed, 0);
    cancel = purge(store, "nobody");
    cr_assert_eq(cancel.error, ERR_OK);
    cr_assert_eq(cancel.n_removed, 0);
    cr_assert(epoch_is_none(peek_one(store, "nobody").epoch));
}

Test(store_contract, a_cancelled_number_leaves_and_the_answer_says_what_it_was)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    append_number(store, "anna", 2, 60);
    append_number(store, "anna", 3, 60);
    struct store_withdraw cancel = cancel_one(store, "anna", epoch, 2);
    expect_former_fate(cancel, FATE_PENDING, GAP_NONE);
    cr_assert_eq(cancel.n_removed, 1);
    cr_assert_not(cancel.found.is_written);
    expect_inbox(store, "anna", ".c.");
    cr_assert_eq(peek_one(store, "anna").pending, 2);
    cr_assert_eq(peek_one(store, "anna").head, 3);
    expect_fate(look_at(store, "anna", epoch, 2), FATE_GONE, GAP_CANCELLED);
    cancel = cancel_one(store, "anna", epoch, 2);
    expect_former_fate(cancel, FATE_GONE, GAP_CANCELLED);
    cr_assert_eq(cancel.n_removed, 0);
}

Test(store_contract, cancelling_the_oldest_moves_what_the_peek_calls_oldest)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    sleep_until_wall_ms(clock_wall_ms() + 20);
    struct store_target second = append_one(store, "anna", "2", 60);
    cancel_one(store, "anna", epoch, 1);
    cr_assert_eq(peek_one(store, "anna").oldest_time_ms, second.time_ms);
    cancel_one(store, "anna", epoch, 2);
    cr_assert_eq(peek_one(store, "anna").oldest_time_ms, 0);
    cr_assert_eq(peek_one(store, "anna").acked, 0, "nothing was acknowledged");
    cr_assert_eq(append_one(store, "anna", "3", 60).seq, 3);
}

Test(store_contract, what_was_delivered_or_has_left_cannot_be_cancelled)
{
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    struct store_target brief = append_one(store, "anna", "2", 1);
    append_number(store, "anna", 3, 60);
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    struct store_withdraw cancel = cancel_one(store, "anna", epoch, 1);
    expect_former_fate(cancel, FATE_DELIVERED, GAP_NONE);
    cr_assert_eq(cancel.n_removed, 0);
    sleep_until_wall_ms(brief.expires_ms);
    cancel = cancel_one(store, "anna", epoch, 2);
    expect_former_fate(cancel, FATE_GONE, GAP_EXPIRED);
    cr_assert_eq(cancel.n_removed, 0);
    expect_inbox(store, "anna", "ae.");
}

Test(store_contract, a_purge_removes_all_that_waits_and_nothing_else)
{
    for (int i = 1; i <= 5; i++)
        append_number(store, "anna", i, 60);
    append_number(store, "bert", 1, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    cancel_one(store, "anna", epoch, 4);
    struct store_withdraw all = purge(store, "anna");
    cr_assert_eq(all.error, ERR_OK);
    cr_assert_eq(all.n_removed, 2);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert(epoch_equal(peek.epoch, epoch));
    cr_assert_eq(peek.head, 5);
    cr_assert_eq(peek.acked, 2);
    cr_assert_eq(peek.pending, 0);
    cr_assert_eq(peek.oldest_time_ms, 0);
    expect_inbox(store, "anna", "aaccc");
    expect_fate(look_at(store, "anna", epoch, 5), FATE_GONE, GAP_CANCELLED);
    cr_assert_eq(purge(store, "anna").n_removed, 0);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 6);
    cr_assert_eq(peek_one(store, "bert").pending, 1);
}

Test(store_contract, a_purge_does_not_count_what_has_expired)
{
    append_number(store, "anna", 1, 60);
    struct store_target brief = append_one(store, "anna", "2", 1);
    sleep_until_wall_ms(brief.expires_ms);
    cr_assert_eq(purge(store, "anna").n_removed, 1);
    expect_inbox(store, "anna", "ce");
}

/* The user's events from `n` on withdraw these ascending numbers, and none above the last of them.
 * Answers how many withdrawals there were: neighbours may share one. */
static size_t expect_withdrawals(const char *user, size_t n, const uint64_t *seqs, size_t n_seqs)
{
    size_t count = 0;
    size_t covered = 0;
    while (covered < n_seqs) {
        struct recorded event = recorded_at(user, n + count++);
        cr_assert(event.is_withdrawal);
        cr_assert(epoch_equal(event.epoch, peek_one(store, user).epoch));
        cr_assert(event.replaces <= seqs[covered] && seqs[covered] <= event.seq,
                  "%llu..%llu is not %llu", (unsigned long long)event.replaces,
                  (unsigned long long)event.seq, (unsigned long long)seqs[covered]);
        cr_assert_leq(event.seq, seqs[n_seqs - 1]);
        while (covered < n_seqs && seqs[covered] <= event.seq)
            covered++;
    }
    return count;
}

Test(store_contract, withdrawals_come_in_order_between_the_notifications)
{
    arrive(store, "anna");
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    append_number(store, "anna", 2, 60);
    append_number(store, "anna", 3, 60);
    cancel_one(store, "anna", epoch, 2);
    append_number(store, "anna", 4, 60);
    purge(store, "anna");
    append_number(store, "anna", 5, 60);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(recorded_at("anna", i).seq, i + 1);
    struct recorded cancelled = recorded_at("anna", 3);
    cr_assert(cancelled.is_withdrawal);
    cr_assert_eq(cancelled.replaces, 2);
    cr_assert_eq(cancelled.seq, 2);
    cr_assert(epoch_equal(cancelled.epoch, epoch));
    struct recorded fourth = recorded_at("anna", 4);
    cr_assert_not(fourth.is_withdrawal);
    cr_assert_eq(fourth.seq, 4);
    static const uint64_t purged[] = {1, 3, 4};
    size_t n = 5 + expect_withdrawals("anna", 5, purged, 3);
    struct recorded fifth = recorded_at("anna", n);
    cr_assert_not(fifth.is_withdrawal);
    cr_assert_eq(fifth.seq, 5);
    cr_assert_eq(count_told("anna"), n + 1);
}

/* What left before, between what waited, is not withdrawn. */
Test(store_contract, a_purge_reports_each_run_of_what_it_removed)
{
    arrive(store, "anna");
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    for (int i = 2; i <= 6; i++)
        append_number(store, "anna", i, 60);
    cr_assert_eq(cancel_one(store, "anna", epoch, 2).n_removed, 1);
    cr_assert_eq(cancel_one(store, "anna", epoch, 5).n_removed, 1);
    recorded_at("anna", 7);
    cr_assert_eq(purge(store, "anna").n_removed, 4);
    static const uint64_t runs[][2] = {{1, 1}, {3, 4}, {6, 6}};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct recorded event = recorded_at("anna", 8 + i);
        cr_assert(event.is_withdrawal);
        cr_assert(event.replaces == runs[i][0] && event.seq == runs[i][1], "%llu..%llu",
                  (unsigned long long)event.replaces, (unsigned long long)event.seq);
    }
}

Test(store_contract, a_cancel_in_vain_withdraws_nothing)
{
    arrive(store, "anna");
    struct epoch epoch = append_one(store, "anna", "1", 60).epoch;
    struct epoch other = {"zzzzzzzz"};
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    cancel_one(store, "anna", epoch, 1);
    cancel_one(store, "anna", epoch, 7);
    cancel_one(store, "anna", other, 1);
    purge(store, "anna");
    append_number(store, "anna", 2, 60);
    recorded_at("anna", 1);
    cr_assert_not(recorded_at("anna", 1).is_withdrawal);
    cr_assert_eq(count_told("anna"), 2);
}

/* ---- written to a session once ---- */

static enum err ack_written(const char *user, struct epoch epoch, uint64_t seq, uint64_t written)
{
    return ack_run(store,
                   (struct store_ack){
                       .user_id = span_of(user), .epoch = epoch, .seq = seq, .written = written});
}

Test(store_contract, a_look_says_what_a_session_has_had)
{
    for (int i = 1; i <= 5; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_not(look_at(store, "anna", epoch, 1).found.is_written);
    cr_assert_eq(ack_written("anna", epoch, 1, 3), ERR_OK);
    cr_assert(look_at(store, "anna", epoch, 2).found.is_written);
    cr_assert(look_at(store, "anna", epoch, 3).found.is_written);
    cr_assert_not(look_at(store, "anna", epoch, 4).found.is_written);
    cr_assert_eq(ack_written("anna", epoch, 2, 0), ERR_OK);
    cr_assert(look_at(store, "anna", epoch, 3).found.is_written, "it does not fall");
    cr_assert_eq(ack_written("anna", epoch, 0, 4), ERR_OK, "no position need move");
    cr_assert(look_at(store, "anna", epoch, 4).found.is_written);
    cr_assert_not(look_at(store, "anna", epoch, 5).found.is_written);
    struct store_withdraw cancel = cancel_one(store, "anna", epoch, 3);
    expect_former_fate(cancel, FATE_PENDING, GAP_NONE);
    cr_assert(cancel.found.is_written, "it may have been shown");
    cr_assert_not(cancel_one(store, "anna", epoch, 5).found.is_written);
}

Test(store_contract, what_was_written_of_another_epoch_says_nothing)
{
    append_number(store, "anna", 1, 60);
    struct epoch other = {"zzzzzzzz"};
    cr_assert_eq(ack_written("anna", other, 0, 1), ERR_STALE_EPOCH);
    cr_assert_not(look_at(store, "anna", peek_one(store, "anna").epoch, 1).found.is_written);
}
