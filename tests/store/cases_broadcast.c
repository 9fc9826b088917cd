/* Broadcasts: each node gets one once, and their answers are added up. */
#include "tests/store/broadcast_calls.h"
#include "tests/store/contract_fixture.h"

Test(store_contract, a_broadcast_is_reported_once_and_answered_with_what_the_node_returns)
{
    broadcasts.online = 7;
    struct store_broadcast got = broadcast_one(store, "{\"n\":1}");
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_eq(got.online, 7);
    cr_assert_eq(got.nodes, 1);
    cr_assert_eq(count_told_broadcasts(NULL), 1);
    struct recorded note = recorded_broadcast(0);
    cr_assert_str_eq(note.text, "{\"n\":1}");
    cr_assert_eq(note.seq, 0);
    cr_assert(epoch_is_none(note.epoch));
    cr_assert_eq(note.expires_ms, 0);
}

Test(store_contract, broadcasts_are_reported_in_the_order_of_their_requests)
{
    enum { BROADCASTS = 100 };
    static struct broadcast_call calls[BROADCASTS];
    char text[16];
    for (int i = 0; i < BROADCASTS; i++) {
        snprintf(text, sizeof text, "%d", i);
        broadcast_begin(store, &calls[i], text);
    }
    for (int i = 0; i < BROADCASTS; i++)
        broadcast_end(&calls[i]);
    cr_assert_eq(count_told_broadcasts(NULL), BROADCASTS);
    for (size_t i = 0; i < BROADCASTS; i++)
        cr_assert_eq(strtoul(recorded_broadcast(i).text, NULL, 10), i);
}

/* However long its own sessions take: only the other nodes have a deadline. */
Test(store_contract, a_broadcast_waits_for_the_answer_of_its_own_node)
{
    struct broadcast_call call;
    broadcasts.must_hold = true;
    broadcast_begin(store, &call, "1");
    struct store_question *question = wait_for_held_question();
    nanosleep(&(struct timespec){0, (STORE_REPLIES_MS + 100) * 1000000L}, NULL);
    cr_assert_eq(atomic_load(&call.call.n_answers), 0);
    store_answer(question, 3);
    broadcast_end(&call);
    cr_assert_eq(call.broadcast.online, 3);
    cr_assert_eq(call.broadcast.nodes, 1);
}

Test(store_contract, a_broadcast_keeps_nothing_and_makes_nobody)
{
    append_number(store, "anna", 0, 60);
    broadcast_one(store, "1");
    append_number(store, "anna", 1, 60);
    expect_inbox(store, "anna", "..");
    cr_assert(epoch_is_none(peek_one(store, "nobody").epoch));
    cr_assert_eq(count_told("nobody"), 0);
}
