/* What became of one notification, what waits, and taking it back (CONTRACT 3). */
#include "gateway/requests/questions.h"
#include "gateway/requests/requests.h"
#include "gateway/store/store_backend.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

static unsigned n_answers;
static struct epoch epoch;
static struct subscriber subscriber;

TestSuite(inbox_requests, .init = node_fixture_start, .fini = node_fixture_stop);

static void await_answer(void)
{
    node_fixture_turn();
    cr_assert_eq(n_answers, 1, "%u answers", n_answers);
}

static void on_inbox(struct gateway_inbox *inbox)
{
    (void)inbox;
    n_answers++;
}

/* The caller clears it. */
static struct gateway_inbox read_inbox(uint64_t after, uint32_t limit)
{
    static struct gateway_inbox inbox;
    inbox = (struct gateway_inbox){
        .on_done = on_inbox, .user_id = SPAN_LITERAL("u"), .after = after, .limit = limit};
    n_answers = 0;
    gateway_inbox(&fixture.node, &inbox);
    await_answer();
    cr_assert_eq(inbox.error, ERR_OK);
    epoch = inbox.epoch;
    return inbox;
}

static void push_three(void)
{
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    node_fixture_push("u", "3", 60);
    struct gateway_inbox inbox = read_inbox(0, 10);
    cr_assert_eq(inbox.n_notes, 3);
    gateway_inbox_clear(&inbox);
}

static void on_message(struct gateway_message *message)
{
    (void)message;
    n_answers++;
}

static struct gateway_message look_at(uint64_t seq)
{
    struct gateway_message message = {
        .on_done = on_message, .user_id = SPAN_LITERAL("u"), .epoch = epoch, .seq = seq};
    n_answers = 0;
    gateway_message(&fixture.node, &message);
    await_answer();
    return message;
}

static void on_cancel(struct gateway_cancel *cancel)
{
    (void)cancel;
    n_answers++;
}

static struct gateway_cancel cancel_one(uint64_t seq)
{
    struct gateway_cancel cancel = {
        .on_done = on_cancel, .user_id = SPAN_LITERAL("u"), .epoch = epoch, .seq = seq};
    n_answers = 0;
    gateway_cancel(&fixture.node, &cancel);
    await_answer();
    return cancel;
}

static void on_purge(struct gateway_purge *purge)
{
    (void)purge;
    n_answers++;
}

static struct gateway_purge purge_user(void)
{
    struct gateway_purge purge = {.on_done = on_purge, .user_id = SPAN_LITERAL("u")};
    n_answers = 0;
    gateway_purge(&fixture.node, &purge);
    await_answer();
    return purge;
}

/* ---- reads ---- */

Test(inbox_requests, show_what_waits_in_pages_and_take_nothing)
{
    push_three();
    struct gateway_inbox first = read_inbox(0, 2);
    cr_assert_eq(first.n_notes, 2);
    cr_expect_eq(first.notes[0]->seq, 1);
    cr_expect_eq(first.head, 3);
    cr_expect_eq(first.acked, 0);
    cr_expect_eq(first.next, 2);
    gateway_inbox_clear(&first);
    struct gateway_inbox rest = read_inbox(2, 2);
    cr_assert_eq(rest.n_notes, 1);
    cr_expect_eq(rest.notes[0]->seq, 3);
    cr_expect_eq(rest.next, 0, "this was the last page");
    gateway_inbox_clear(&rest);
    struct gateway_inbox again = read_inbox(0, 10);
    cr_expect_eq(again.n_notes, 3);
    gateway_inbox_clear(&again);
}

/* Positions are written in batches; what is asked meanwhile includes them. */
Test(inbox_requests, know_of_an_acknowledgement_that_is_not_written_yet)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_three();
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    cr_expect_eq(look_at(1).fate, GATEWAY_DELIVERED);
    cr_expect_eq(look_at(3).fate, GATEWAY_PENDING);
    struct gateway_inbox inbox = read_inbox(0, 10);
    cr_expect_eq(inbox.acked, 1);
    cr_expect_eq(inbox.n_notes, 2);
    gateway_inbox_clear(&inbox);
}

Test(inbox_requests, tell_a_number_that_was_never_given)
{
    push_three();
    cr_expect_eq(look_at(4).error, ERR_NOT_FOUND);
    cr_expect_eq(cancel_one(4).error, ERR_NOT_FOUND);
    cr_expect_eq(look_at(3).error, ERR_OK);
}

/* ---- withdrawals ---- */

Test(inbox_requests, cancel_one_that_waits_and_no_other)
{
    push_three();
    struct gateway_cancel cancel = cancel_one(2);
    cr_expect_eq(cancel.error, ERR_OK);
    cr_expect_eq(cancel.fate, GATEWAY_PENDING, "it was, and is cancelled now");
    cr_expect_not(cancel.is_written);
    struct gateway_message message = look_at(2);
    cr_expect_eq(message.fate, GATEWAY_GONE);
    cr_expect_eq(message.cause, GAP_CANCELLED);
    cr_expect_eq(look_at(1).fate, GATEWAY_PENDING);
    cr_expect_eq(look_at(3).fate, GATEWAY_PENDING);
    cancel = cancel_one(2);
    cr_expect_eq(cancel.fate, GATEWAY_GONE);
    cr_expect_eq(cancel.cause, GAP_CANCELLED);
}

/* The answer says whether it may have been shown, also while that is not in the store yet. */
Test(inbox_requests, say_that_a_session_was_written_what_is_cancelled)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_three();
    struct gateway_cancel cancel = cancel_one(3);
    cr_expect_eq(cancel.fate, GATEWAY_PENDING);
    cr_expect(cancel.is_written);
}

static struct store_ask other_nodes; /* what they answer */

static void answer_for_others(struct store *store, struct store_ask *ask)
{
    (void)store;
    cr_assert_eq(ask->asked.kind, STORE_ASK_WRITTEN);
    cr_assert_eq(ask->asked.seq, 3);
    ask->error = other_nodes.error;
    ask->is_alone = other_nodes.is_alone;
    ask->count = other_nodes.count;
    ask->n_asked = other_nodes.n_asked;
    ask->n_answered = other_nodes.n_answered;
    ask->request.on_done(&ask->request);
}

static void expect_written(struct store_ask answered, bool is_written)
{
    static struct store_ops ops;
    ops = *fixture.node.store->ops;
    ops.ask = answer_for_others;
    fixture.node.store->ops = &ops;
    other_nodes = answered;
    push_three();
    struct gateway_cancel cancel = cancel_one(3);
    cr_expect_eq(cancel.fate, GATEWAY_PENDING);
    cr_expect_eq(cancel.is_written, is_written);
}

Test(inbox_requests, say_that_what_no_node_has_written_was_not_shown)
{
    expect_written((struct store_ask){.n_asked = 2, .n_answered = 2}, false);
}

Test(inbox_requests, say_that_what_another_node_has_written_was_shown)
{
    expect_written((struct store_ask){.count = 1, .n_asked = 2, .n_answered = 2}, true);
}

Test(inbox_requests, say_that_it_may_have_been_shown_where_a_node_does_not_answer)
{
    expect_written((struct store_ask){.n_asked = 2, .n_answered = 1}, true);
}

Test(inbox_requests, say_that_it_may_have_been_shown_where_no_other_node_can_be_asked)
{
    expect_written((struct store_ask){.is_alone = true, .n_asked = 1, .n_answered = 1}, true);
}

Test(inbox_requests, say_that_it_may_have_been_shown_where_asking_fails)
{
    expect_written((struct store_ask){.error = ERR_NO_MEMORY}, true);
}

static void ask_nobody(struct store *store, struct store_ask *ask)
{
    (void)store;
    (void)ask;
    cr_assert_fail("the store may be closed already");
}

Test(inbox_requests, ask_no_node_what_was_written_while_this_one_stops)
{
    static struct store_ops ops;
    ops = *fixture.node.store->ops;
    ops.ask = ask_nobody;
    fixture.node.store->ops = &ops;
    push_three();
    atomic_store(&fixture.node.is_stopping, true);
    struct gateway_cancel cancel = cancel_one(3);
    cr_expect_eq(cancel.fate, GATEWAY_PENDING);
    cr_expect(cancel.is_written);
}

static void on_told(struct store_question *question)
{
    (void)question;
    n_answers++;
}

static uint64_t sessions_that_have(uint64_t seq, struct epoch of)
{
    struct store_user_question question = {
        .question = {.on_answer = on_told},
        .owner = &fixture.node,
        .user_id = SPAN_LITERAL("u"),
        .asked = {.kind = STORE_ASK_WRITTEN, .seq = seq, .epoch = of}};
    n_answers = 0;
    questions_on_asked(&question);
    await_answer();
    return question.question.count;
}

Test(inbox_requests, are_answered_about_the_numbers_of_their_epoch_alone)
{
    struct epoch other = {"zzzzzzzz"};
    struct epoch none = {{0}};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_three();
    cr_expect_eq(sessions_that_have(3, epoch), 1);
    cr_expect_eq(sessions_that_have(3, none), 1);
    cr_expect_eq(sessions_that_have(4, epoch), 0);
    cr_expect_eq(sessions_that_have(3, other), 0);
}

Test(inbox_requests, cancel_nothing_that_was_acknowledged)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_three();
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    cr_expect_eq(cancel_one(1).fate, GATEWAY_DELIVERED);
    cr_expect_eq(look_at(1).fate, GATEWAY_DELIVERED);
}

Test(inbox_requests, purge_all_that_waits_and_say_how_many)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_three();
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    struct gateway_purge purge = purge_user();
    cr_expect_eq(purge.error, ERR_OK);
    cr_expect_eq(purge.purged, 2, "the acknowledged one is not counted");
    struct gateway_inbox inbox = read_inbox(0, 10);
    cr_expect_eq(inbox.n_notes, 0);
    cr_expect_eq(inbox.head, 3);
    gateway_inbox_clear(&inbox);
    cr_expect_eq(purge_user().purged, 0);
}
