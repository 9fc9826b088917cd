/* How a session reads the inbox until it is at its tail (CONTRACT 5.5), and what leads it back. */
#include "gateway/base/metrics.h"
#include "gateway/delivery/page_queue.h"
#include "gateway/session/session_close.h"
#include "tests/unit/replay_steps.h"

#include <string.h>

enum { USERS = 5 };

static struct subscriber subscriber, other;
static struct subscriber many[USERS];

static unsigned n_pages(void)
{
    return store_double_count(STORE_OP_PAGE);
}

static void set_pages_at_once(unsigned n)
{
    page_queue_free(fixture.worker);
    fixture.node.pages_at_once = n;
    cr_assert_eq(page_queue_new(fixture.worker), ERR_OK);
}

static void block_user(const char *user_id)
{
    struct store_block block = {
        .request = {.on_done = on_done}, .user_id = span_of(user_id), .for_s = 60};
    store_block(fixture.node.store, &block);
    node_fixture_turn();
    cr_assert_eq(block.error, ERR_OK);
}

/* A herald.v1 session that names a number to resume after. */
static void enter_resuming(struct subscriber *of, struct epoch epoch, uint64_t seq)
{
    subscriber_open(of,
                    (struct admission){.level = LEVEL_V1, .is_page = true, .resume = {epoch, seq}});
    cr_assert_eq(delivery_enter(of->session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    node_fixture_turn();
}

TestSuite(replay, .init = set_up, .fini = node_fixture_stop);

Test(replay, gives_a_new_session_what_is_in_the_inbox_and_makes_it_live)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL); /* so that there is a user */
    push_numbers("u", 1, 3);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    cr_expect_eq(state_of(&subscriber), READER_READING);
    cr_expect_not(reader_has_begun(&subscriber.session->reader));
    subscriber_expect_nothing(&subscriber);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    expect_numbers(&subscriber, 1, 3);
}

/* One ordered cut: no hole and no repeat between the page and what comes after it. */
Test(replay, goes_on_with_what_came_while_the_page_was_under_way)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 2);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 3, 4);
    subscriber_expect_nothing(&subscriber);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    expect_numbers(&subscriber, 1, 4);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 2, "one page for each session");
    push_numbers("u", 5, 5);
    expect_numbers(&subscriber, 5, 5);
}

/* The page says that the user has no inbox yet, so what was kept since says which epoch it is of.
 */
Test(replay, gives_the_first_push_of_a_user_that_came_while_the_page_was_under_way)
{
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    subscriber_expect_nothing(&subscriber);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    expect_numbers(&subscriber, 1, 1);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 1);
    cr_expect_not(epoch_is_none(subscriber.session->client->epoch));
}

Test(replay, reads_page_after_page_when_more_waits_than_one_holds)
{
    enum { NOTES = 600 }; /* a page holds 512 */
    push_numbers("u", 1, NOTES);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    expect_numbers(&subscriber, 1, NOTES);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 2);
}

/* What comes while a page is under way is kept only as far as session_max_bytes reaches. */
Test(replay, reads_again_what_there_was_no_room_to_keep)
{
    enum { NOTES = 4, LEN = 600 };
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    slow_subscriber_push("u", 0, LEN, 60);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    fixture.options.session_max_bytes = LEN;
    for (unsigned i = 1; i < NOTES; i++)
        slow_subscriber_push("u", i, LEN, 60);
    fixture.options.session_max_bytes = 262144;
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    slow_subscriber_expect_all(&subscriber, NOTES);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 3);
}

Test(replay, reads_again_at_once_when_a_page_brings_nothing_and_nothing_was_kept)
{
    enum { NOTES = 3, LEN = 600 };
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    slow_subscriber_push("u", 0, LEN, 60);
    store_double_hold(STORE_OP_PAGE);
    miss("u", MISSED_NOTIFICATIONS);
    fixture.options.session_max_bytes = LEN;
    for (unsigned i = 1; i < NOTES; i++)
        slow_subscriber_push("u", i, LEN, 60);
    fixture.options.session_max_bytes = 262144;
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 3);
    slow_subscriber_expect_all(&subscriber, NOTES);
}

Test(replay, reads_another_page_when_there_is_a_hole_in_the_numbers)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    fixture.loses_events = true;
    push_numbers("u", 2, 3);
    fixture.loses_events = false;
    expect_numbers(&subscriber, 1, 1);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    push_numbers("u", 4, 4);
    expect_numbers(&subscriber, 2, 4);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(n_pages(), 2);
}

Test(replay, reads_another_page_when_the_one_under_way_may_be_too_old)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    store_double_hold(STORE_OP_PAGE);
    miss("u", MISSED_NOTIFICATIONS);
    cr_expect_eq(state_of(&subscriber), READER_READING);
    fixture.loses_events = true;
    push_numbers("u", 2, 2);
    miss("u", MISSED_NOTIFICATIONS);
    cr_expect_eq(n_pages(), 2, "one page is under way at most");
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(n_pages(), 3);
    expect_numbers(&subscriber, 1, 2);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
}

/* A store that answers out of its past must not be asked in a circle. */
Test(replay, waits_a_second_when_a_page_and_what_was_kept_since_bring_nothing)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    store_double_hold(STORE_OP_PAGE);
    miss("u", MISSED_NOTIFICATIONS);
    fixture.loses_events = true;
    push_numbers("u", 2, 2);
    fixture.loses_events = false;
    push_numbers("u", 3, 3);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(state_of(&subscriber), READER_WAITING_STORE);
    cr_expect_eq(n_pages(), 2);
    wait_second();
    cr_expect_eq(n_pages(), 3);
    expect_numbers(&subscriber, 1, 3);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
}

/* ---- resuming (CONTRACT 5.5) ---- */

Test(replay, resumes_after_the_number_that_the_client_names)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 3);
    enter_resuming(&subscriber, other.session->client->epoch, 2);
    slow_subscriber_expect_part(&subscriber, "\"acked\":2,\"head\":3,\"resumed\":true");
    slow_subscriber_expect_part(&subscriber, "\"data\":3");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(subscriber.session->acked, 2, "a resume acknowledges");
    cr_expect_eq(metrics_read(METRIC_RESUMED), 1);
    cr_expect_eq(metrics_read(METRIC_RESET), 0);
    push_numbers("u", 4, 4);
    slow_subscriber_expect_part(&subscriber, "\"data\":4");
}

Test(replay, resets_a_client_that_names_a_number_of_another_epoch)
{
    struct epoch another;
    memset(another.text, 'z', sizeof another.text);
    push_numbers("u", 1, 2);
    enter_resuming(&subscriber, another, 2);
    slow_subscriber_expect_part(&subscriber, "\"acked\":0,\"head\":2,\"resumed\":false");
    slow_subscriber_expect_part(&subscriber, "\"cause\":\"reset\"");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    slow_subscriber_expect_part(&subscriber, "\"data\":2");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(metrics_read(METRIC_RESUMED), 0);
    cr_expect_eq(metrics_read(METRIC_RESET), 1);
}

/* ---- back to reading ---- */

Test(replay, reads_for_a_slow_session_when_it_has_taken_what_was_queued)
{
    enum { NOTES = 12, LEN = 4000 };
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    slow_subscriber_narrow(&subscriber);
    fixture.options.session_max_bytes = 4 * LEN;
    for (unsigned i = 0; i < NOTES; i++)
        slow_subscriber_push("u", i, LEN, 60);
    cr_expect_eq(state_of(&subscriber), READER_DRAINING);
    cr_expect_eq(metrics_read(METRIC_FELL_BACK), 1);
    unsigned before = n_pages();
    slow_subscriber_expect_all(&subscriber, NOTES);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_gt(n_pages(), before);
}

Test(replay, asks_again_once_a_second_while_the_store_is_away)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    store_double_set_away(true);
    miss("u", MISSED_NOTIFICATIONS);
    cr_expect_eq(state_of(&subscriber), READER_WAITING_STORE);
    for (unsigned second = 0; second < 3; second++) {
        cr_expect_eq(n_pages(), 2 + second);
        wait_second();
        cr_expect_eq(state_of(&subscriber), READER_WAITING_STORE);
    }
    store_double_set_away(false);
    wait_second();
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
}

/* CONTRACT 5.9: at a bounded rate, whatever the number of sessions. */
Test(replay, asks_for_no_more_pages_a_second_than_the_node_allows_while_the_store_is_away)
{
    static const char *const users[USERS] = {"a", "b", "c", "d", "e"};
    set_pages_at_once(2);
    for (unsigned i = 0; i < USERS; i++)
        subscriber_enter(&many[i], LEVEL_PLAIN, users[i], NULL);
    cr_expect_eq(n_pages(), USERS);
    store_double_set_away(true);
    for (unsigned i = 0; i < USERS; i++)
        miss(users[i], MISSED_NOTIFICATIONS);
    cr_expect_eq(n_pages(), USERS + 2);
    cr_expect_eq(state_of(&many[0]), READER_WAITING_STORE);
    cr_expect_eq(state_of(&many[4]), READER_WAITING_TURN);
    wait_second();
    cr_expect_eq(n_pages(), USERS + 4);
    cr_expect_eq(state_of(&many[4]), READER_WAITING_TURN);
    store_double_set_away(false);
    wait_second();
    for (unsigned i = 0; i < USERS; i++)
        cr_expect_eq(state_of(&many[i]), READER_LIVE);
}

Test(replay, lets_no_more_pages_be_under_way_than_the_node_allows)
{
    static const char *const users[USERS] = {"a", "b", "c", "d", "e"};
    set_pages_at_once(2);
    store_double_hold(STORE_OP_PAGE);
    for (unsigned i = 0; i < USERS; i++)
        subscriber_enter(&many[i], LEVEL_PLAIN, users[i], NULL);
    cr_expect_eq(store_double_under_way(STORE_OP_PAGE), 2);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    node_fixture_turn();
    for (unsigned i = 0; i < USERS; i++)
        cr_expect_eq(state_of(&many[i]), READER_LIVE);
}

Test(replay, gives_the_turn_of_a_session_that_leaves_to_the_next)
{
    set_pages_at_once(1);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&many[0], LEVEL_PLAIN, "v", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "w", NULL);
    cr_expect_eq(state_of(&many[0]), READER_WAITING_TURN);
    session_close(many[0].session, ERR_KICKED);
    cr_expect_eq(state_of(&many[0]), READER_ENDED);
    session_close(subscriber.session, ERR_KICKED);
    cr_expect_eq(state_of(&subscriber), READER_ENDED);
    node_fixture_turn();
    cr_expect_eq(n_pages(), 1, "the page of the session that left is still under way");
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(state_of(&other), READER_LIVE);
    cr_expect_eq(n_pages(), 2);
}

Test(replay, closes_a_session_whose_first_page_says_that_the_user_is_blocked)
{
    block_user("u");
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_expect_close(&subscriber, 4503);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
}

Test(replay, closes_all_sessions_when_a_page_is_of_another_epoch)
{
    struct epoch another;
    memset(another.text, 'z', sizeof another.text);
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    struct client *client = other.session->client;
    client_map_learn(fixture.node.map, client, another, 1, 0);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    expect_numbers(&other, 1, 1);
    slow_subscriber_skip_pings(&other);
    subscriber_expect_close(&other, 4004);
    subscriber_expect_close(&subscriber, 4004);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
}

/* ---- numbers that have left the inbox ---- */

Test(replay, says_which_numbers_between_others_are_no_longer_in_the_inbox)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 3);
    withdraw_number("u", other.session->client->epoch, 2);
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    slow_subscriber_expect_part(&subscriber, "\"cause\":\"cancelled\"");
    slow_subscriber_expect_part(&subscriber, "\"data\":3");
    subscriber_expect_nothing(&subscriber);
}

/* A plain client sees no gaps. Its session must not wait for a number that will not come. */
Test(replay, becomes_live_though_the_last_number_is_no_longer_in_the_inbox)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 3);
    withdraw_number("u", other.session->client->epoch, 3);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    expect_numbers(&subscriber, 1, 2);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    push_numbers("u", 4, 4);
    expect_numbers(&subscriber, 4, 4);
    cr_expect_eq(n_pages(), 2, "one page for each session");
}

Test(replay, says_what_was_withdrawn_when_there_is_room_to_say_it_again)
{
    enum { NOTES = 12, LEN = 4000 };
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    push_numbers("u", 1, 1);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < NOTES; i++)
        slow_subscriber_push("u", i, LEN, 60);
    cr_assert_eq(state_of(&subscriber), READER_LIVE);
    fixture.options.session_max_bytes = 1;
    withdraw_number("u", subscriber.session->client->epoch, 1);
    cr_expect_eq(state_of(&subscriber), READER_DRAINING);
    cr_expect_eq(metrics_read(METRIC_FELL_BACK), 1);
    fixture.options.session_max_bytes = 262144;
    for (unsigned i = 0; i < NOTES; i++)
        slow_subscriber_expect_part(&subscriber, "\"type\":\"notification\"");
    slow_subscriber_expect_part(&subscriber, "\"type\":\"cancel\"");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
}

/* A number that was written may have been withdrawn while the node did not hear of it. */
Test(replay, looks_back_for_what_was_withdrawn)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    push_numbers("u", 1, 2);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    slow_subscriber_expect_part(&subscriber, "\"data\":2");
    fixture.loses_events = true;
    withdraw_number("u", subscriber.session->client->epoch, 2);
    miss("u", MISSED_NOTIFICATIONS);
    subscriber_expect_nothing(&subscriber);
    miss("u", MISSED_WITHDRAWALS);
    slow_subscriber_expect_part(&subscriber, "\"type\":\"cancel\"");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    miss("u", MISSED_NOTIFICATIONS);
    subscriber_expect_nothing(&subscriber);
}

/* The withdrawal is newer than the page. */
Test(replay, does_not_give_what_was_withdrawn_while_the_page_was_under_way)
{
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 2);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    withdraw_number("u", other.session->client->epoch, 2);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    slow_subscriber_expect_part(&subscriber, "\"cause\":\"cancelled\"");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(reader_tail(&subscriber.session->reader), 2);
}
