/* What the store finds of users who are online, where this node was not told. */
#include "gateway/delivery/replay.h"
#include "gateway/requests/blocked.h"
#include "gateway/requests/push.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

enum { BLOCKED = 4503 };

static struct subscriber subscriber, second, other;

TestSuite(blocked, .init = node_fixture_start, .fini = node_fixture_stop);

Test(blocked, a_user_who_is_blocked_has_no_session_afterwards)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "u", NULL);
    subscriber_text(&second);
    subscriber_enter(&other, LEVEL_PLAIN, "v", NULL);
    blocked_on_found(&fixture.node, SPAN_LITERAL("u"));
    node_fixture_turn();
    subscriber_expect_close(&subscriber, BLOCKED);
    subscriber_expect_close(&second, BLOCKED);
    subscriber_expect_nothing(&other);
}

Test(blocked, a_user_who_has_left_is_none)
{
    blocked_on_found(&fixture.node, SPAN_LITERAL("u"));
    node_fixture_turn();
    cr_expect_eq(fixture.node.n_sessions, 0);
}

static void on_block_kept(struct store_request *request)
{
    (void)request;
}

/* Nobody is told. */
static void block_user(void)
{
    struct store_block block = {
        .request = {.on_done = on_block_kept}, .user_id = SPAN_LITERAL("u"), .for_s = 60};
    store_block(fixture.node.store, &block);
    node_fixture_turn();
    cr_assert_eq(block.error, ERR_OK);
}

static void expect_both_closed(void)
{
    subscriber_expect_close(&subscriber, BLOCKED);
    subscriber_expect_close(&second, BLOCKED);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
}

Test(blocked, a_page_of_one_session_closes_all_of_the_user)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    block_user();
    cr_expect_eq(client_map_users(fixture.node.map), 1);
    replay_reread(second.session, MISSED_NOTIFICATIONS);
    node_fixture_turn();
    expect_both_closed();
}

Test(blocked, the_page_of_a_new_session_closes_all_of_the_user)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    block_user();
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    expect_both_closed();
}

Test(blocked, the_store_is_told_what_is_known_of_a_user)
{
    struct store_known known = {0};
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect(epoch_is_none(known.epoch));
    cr_expect_eq(known.head, 0);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect_not(epoch_is_none(known.epoch));
    cr_expect_eq(known.head, 2);
}

/* The time is of the number that the map knows, which is another one. */
Test(blocked, of_the_number_of_a_session_that_is_behind_the_time_is_not_known)
{
    struct store_known known = {0};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect_eq(known.head, 1);
    cr_expect_neq(known.time, 0);
    client_map_learn(fixture.node.map, client_map_find(fixture.node.map, SPAN_LITERAL("u")),
                     known.epoch, 2, 77);
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect_eq(known.head, 1);
    cr_expect_eq(known.time, 0);
}

/* Else nobody would find out that the first session has missed what the page of the second shows.
 */
Test(blocked, what_a_page_shows_to_one_session_is_not_known_to_the_others)
{
    struct store_known known = {0};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    fixture.loses_events = true;
    node_fixture_push("u", "2", 60);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect_eq(known.head, 1);
    push_on_missed(&fixture.node, SPAN_LITERAL("u"), true);
    node_fixture_turn();
    push_get_known(&fixture.node, SPAN_LITERAL("u"), &known);
    cr_expect_eq(known.head, 2);
}
