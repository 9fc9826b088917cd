/* What is sent to the sessions that are open, and kept nowhere. */
#include "tests/store/ask_calls.h"
#include "tests/store/contract_fixture.h"

/* The clock of a Redis, as a node knows it, is behind by as long as an answer was on its way, and
 * may go back by that much: a test asks whether a time is of now, in ms since 1970, and no more. */
enum { NEAR_MS = STORE_TEST_TIMEOUT_S * 1000 };

static void expect_of_now(int64_t time_ms)
{
    int64_t ago_ms = clock_wall_ms() - time_ms;
    cr_assert(ago_ms < NEAR_MS && ago_ms > -NEAR_MS, "%lld ms ago", (long long)ago_ms);
}

Test(store_contract, what_is_sent_is_reported_without_a_number_and_not_kept)
{
    arrive(store, "{an%na}");
    struct store_target target = send_one(store, "{an%na}", SPAN_LITERAL("{\"n\":1}"));
    cr_assert_eq(target.error, ERR_OK);
    struct recorded note = recorded_at("{an%na}", 0);
    cr_assert_str_eq(note.text, "{\"n\":1}");
    cr_assert_eq(note.seq, 0);
    cr_assert_eq(note.expires_ms, 0);
    cr_assert(epoch_is_none(note.epoch));
    cr_assert_not(note.is_withdrawal);
    expect_of_now(note.time_ms);
    cr_assert(epoch_is_none(peek_one(store, "{an%na}").epoch), "it makes nobody");
    append_number(store, "{an%na}", 1, 60);
    expect_inbox(store, "{an%na}", ".");
}

/* `acked` of what is recorded: a notification without a number has the connection there. */
Test(store_contract, what_is_sent_to_one_connection_names_it)
{
    arrive(store, "anna");
    cr_assert_eq(send_to_connection(store, "anna", 0x7f3a, SPAN_LITERAL("[1]")).error, ERR_OK);
    cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("[2]")).error, ERR_OK);
    struct recorded note = recorded_at("anna", 0);
    cr_assert_str_eq(note.text, "[1]");
    cr_assert_eq(note.seq, 0);
    cr_assert_eq(note.acked, 0x7f3a);
    expect_of_now(note.time_ms);
    cr_assert_eq(recorded_at("anna", 1).acked, 0);
}

Test(store_contract, what_is_sent_comes_behind_what_was_answered_before)
{
    enum { ROUNDS = 50 };
    arrive(store, "anna");
    for (int i = 0; i < ROUNDS; i++) {
        append_number(store, "anna", i, 60);
        cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("0")).error, ERR_OK);
    }
    wait_for_notifications("anna", (size_t)2 * ROUNDS);
    for (size_t i = 0; i < ROUNDS; i++) {
        cr_assert_eq(recorded_at("anna", 2 * i).seq, i + 1);
        cr_assert_eq(recorded_at("anna", 2 * i + 1).seq, 0);
    }
}

Test(store_contract, data_of_64_kib_is_sent_as_it_is)
{
    static char data[64 * 1024];
    memset(data, '7', sizeof data);
    arrive(store, "anna");
    cr_assert_eq(send_one(store, "anna", (struct span){data, sizeof data}).error, ERR_OK);
    cr_assert_eq(strlen(recorded_at("anna", 0).text), sizeof((struct recorded *)0)->text - 1);
}
