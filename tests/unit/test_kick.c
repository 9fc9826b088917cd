/* A kick (CONTRACT 3): the block is kept first, then the sessions are closed, then what waits is
 * purged. */
#include "gateway/delivery/kicked_streams.h"
#include "gateway/requests/questions.h"
#include "gateway/requests/requests.h"
#include "gateway/store/store_backend.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { KICKED = 4503, NAME_BYTES = 16 };

static unsigned n_answers;
static struct subscriber subscriber;

TestSuite(kick, .init = node_fixture_start, .fini = node_fixture_stop);

static void on_kicked(struct gateway_kick *kick)
{
    (void)kick;
    n_answers++;
}

static struct gateway_kick kick_user(struct gateway_kick kick)
{
    kick.on_done = on_kicked;
    kick.user_id = SPAN_LITERAL("u");
    n_answers = 0;
    gateway_kick(&fixture.node, &kick);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    return kick;
}

static void on_user(struct gateway_user *user)
{
    (void)user;
    n_answers++;
}

static struct gateway_user look_at_user(void)
{
    struct gateway_user user = {.on_done = on_user, .user_id = SPAN_LITERAL("u")};
    n_answers = 0;
    gateway_user(&fixture.node, &user);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    gateway_user_clear(&user);
    return user;
}

Test(kick, closes_all_sessions_of_the_user_and_no_other)
{
    static struct subscriber second;
    static struct subscriber stranger;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&stranger, LEVEL_PLAIN, "v", NULL);
    struct gateway_kick kick = kick_user((struct gateway_kick){.reason = SPAN_LITERAL("moved")});
    cr_expect_eq(kick.error, ERR_OK);
    cr_expect_eq(kick.closed, 2);
    cr_expect_eq(kick.blocked_until_ms, 0);
    cr_expect(span_equal(subscriber_expect_close(&subscriber, KICKED), SPAN_LITERAL("moved")));
    cr_expect(span_equal(subscriber_expect_close(&second, KICKED), SPAN_LITERAL("moved")));
    subscriber_expect_nothing(&stranger);
}

Test(kick, of_a_user_who_is_away_closes_none)
{
    struct gateway_kick kick = kick_user((struct gateway_kick){0});
    cr_expect_eq(kick.error, ERR_OK);
    cr_expect_eq(kick.closed, 0);
}

/* CONTRACT 2: EventSource reconnects by itself, and is then answered 204. */
Test(kick, remembers_each_event_stream_that_it_closes_and_no_websocket)
{
    static struct subscriber stream;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&stream, LEVEL_SSE, "u", NULL);
    cr_assert_eq(kick_user((struct gateway_kick){0}).closed, 2);
    cr_expect(kicked_streams_take(fixture.worker, SPAN_LITERAL("u")));
    cr_expect_not(kicked_streams_take(fixture.worker, SPAN_LITERAL("u")));
}

Test(kick, leaves_what_waits_unless_it_is_to_be_purged)
{
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    cr_expect_eq(kick_user((struct gateway_kick){0}).purged, 0);
    cr_assert_eq(look_at_user().pending, 2);
    cr_expect_eq(kick_user((struct gateway_kick){.is_purge = true}).purged, 2);
    cr_expect_eq(look_at_user().pending, 0);
}

/* Purged after the close: no withdrawals are reported to sessions that are being closed. */
Test(kick, purges_once_the_sessions_are_closed)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_text(&subscriber);
    node_fixture_push("u", "1", 60);
    subscriber_text(&subscriber);
    struct gateway_kick kick = kick_user((struct gateway_kick){.is_purge = true});
    cr_expect_eq(kick.purged, 1);
    subscriber_expect_close(&subscriber, KICKED);
}

/* Between the block and the close nobody slips in: while the block is not kept, no session is
 * closed. */
Test(kick, keeps_its_block_before_it_closes_a_session)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    struct gateway_kick kick = {
        .on_done = on_kicked, .user_id = SPAN_LITERAL("u"), .is_purge = true, .block_s = 60};
    gateway_kick(&fixture.node, &kick);
    reactor_turn(fixture.worker->reactor, 0); /* the store has not turned */
    cr_expect_eq(fixture.node.n_sessions, 1);
    subscriber_expect_nothing(&subscriber);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, KICKED);
    int64_t until_ms = NODE_FIXTURE_WALL_MS + node_fixture_now_ms() + 60000;
    cr_expect_eq(kick.blocked_until_ms, until_ms);
    cr_expect_eq(look_at_user().blocked_until_ms, until_ms);
}

Test(kick, that_cannot_block_closes_the_sessions_and_purges_nothing)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    subscriber_text(&subscriber);
    node_fixture_set_store_full(true);
    struct gateway_kick kick = kick_user((struct gateway_kick){.is_purge = true, .block_s = 60});
    cr_expect_eq(kick.error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(kick.closed, 1);
    cr_expect_eq(kick.purged, 0);
    cr_expect_eq(kick.blocked_until_ms, 0);
    subscriber_expect_close(&subscriber, KICKED);
    cr_expect_eq(look_at_user().pending, 1);
}

static void on_block(struct store_request *request)
{
    (void)request;
}

/* CONTRACT 3: what was not blocked is not purged, also where the store could do that. */
Test(kick, that_finds_no_room_for_its_block_purges_nothing)
{
    struct store_block *blocks = calloc(STORE_MAX_BLOCKS, sizeof *blocks);
    char(*names)[NAME_BYTES] = calloc(STORE_MAX_BLOCKS, sizeof *names);
    for (unsigned i = 0; i < STORE_MAX_BLOCKS; i++) {
        snprintf(names[i], sizeof names[i], "b%u", i);
        blocks[i] = (struct store_block){
            .request = {.on_done = on_block}, .user_id = span_of(names[i]), .for_s = 60};
        store_block(fixture.node.store, &blocks[i]);
    }
    node_fixture_push("u", "1", 60);
    cr_assert_eq(blocks[STORE_MAX_BLOCKS - 1].error, ERR_OK);
    struct gateway_kick kick = kick_user((struct gateway_kick){.is_purge = true, .block_s = 60});
    cr_expect_eq(kick.error, ERR_FULL, "%s", error_title(kick.error));
    cr_expect_eq(kick.purged, 0);
    cr_expect_eq(look_at_user().pending, 1);
    free(names);
    free(blocks);
}

/* At a stop the store may be closed already. */
Test(kick, asks_the_store_for_no_purge_while_the_node_stops)
{
    node_fixture_push("u", "1", 60);
    atomic_store(&fixture.node.is_stopping, true);
    struct gateway_kick kick = kick_user((struct gateway_kick){.is_purge = true});
    cr_expect_eq(kick.error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(kick.purged, 0);
}

static void fail_to_ask(struct store *store, struct store_ask *ask)
{
    (void)store;
    ask->error = ERR_NO_MEMORY;
    ask->request.on_done(&ask->request);
}

/* Sessions elsewhere may be open, so nothing is purged under them. */
Test(kick, that_could_ask_no_node_says_so_and_purges_nothing)
{
    static struct store_ops ops;
    ops = *fixture.node.store->ops;
    ops.ask = fail_to_ask;
    fixture.node.store->ops = &ops;
    node_fixture_push("u", "1", 60);
    struct gateway_kick kick = kick_user((struct gateway_kick){.is_purge = true});
    cr_expect_eq(kick.error, ERR_NO_MEMORY);
    cr_expect_eq(kick.purged, 0);
}

/* ---- sessions that go to another process ---- */

static struct store_user_question asked;
static unsigned n_asked_answers;

static void on_asked_answer(struct store_question *question)
{
    cr_expect_eq(question, &asked.question);
    n_asked_answers++;
}

/* Another node asks while the sessions stand still. */
static void ask_while_frozen(const char *user_id)
{
    n_asked_answers = 0;
    asked = (struct store_user_question){.question.on_answer = on_asked_answer,
                                         .owner = &fixture.node,
                                         .user_id = span_of(user_id),
                                         .asked.kind = STORE_ASK_KICK};
    atomic_store(&fixture.node.is_frozen, true);
    questions_on_asked(&asked);
    cr_expect_eq(n_asked_answers, 0, "the sessions may stay, or leave: nobody knows yet");
}

Test(kick, waits_while_sessions_stand_still)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    ask_while_frozen("u");
    atomic_store(&fixture.node.is_frozen, false); /* they stay */
    node_fixture_turn();
    cr_expect_eq(n_asked_answers, 1);
    cr_expect_not(asked.question.is_unanswered);
    cr_expect_eq(asked.question.count, 1);
    subscriber_expect_close(&subscriber, KICKED);
}

Test(kick, is_not_answered_when_sessions_have_left_meanwhile)
{
    ask_while_frozen("u");
    node_fixture_turn();
    cr_expect_eq(n_asked_answers, 1);
    cr_expect(asked.question.is_unanswered);
}

Test(kick, closes_those_that_stayed_and_is_not_answered)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    ask_while_frozen("u");
    node_fixture_turn();
    cr_expect(asked.question.is_unanswered);
    subscriber_expect_close(&subscriber, KICKED);
}
