/* What a session does when messages from the store may have been missed. */
#include "tests/unit/replay_steps.h"

static struct subscriber subscriber;

TestSuite(replay_missed, .init = set_up, .fini = node_fixture_stop);

/* What comes may be behind numbers that were given again, so the page is to say what was known. */
Test(replay_missed, gives_nothing_live_until_the_page_after_what_was_missed)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_numbers("u", 1, 1);
    expect_numbers(&subscriber, 1, 1);
    store_double_hold(STORE_OP_PAGE);
    client_map_missed(fixture.node.map, SPAN_LITERAL("u"), MISSED_WITHDRAWALS);
    push_numbers("u", 2, 2);
    cr_expect_eq(state_of(&subscriber), READER_READING);
    cr_expect_eq(reader_tail(&subscriber.session->reader), 1);
    cr_expect_eq(subscriber.session->client->head, 1);
    push_numbers("u", 3, 3);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    expect_numbers(&subscriber, 2, 3);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_eq(subscriber.session->client->head, 3);
    push_numbers("u", 4, 4);
    expect_numbers(&subscriber, 4, 4);
}

/* The first push of a user comes while a page is under way that was read before it. */
Test(replay_missed, a_page_that_shows_that_nothing_was_pushed_yet_ends_the_doubt)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_hold(STORE_OP_PAGE);
    miss("u", MISSED_NOTIFICATIONS);
    cr_expect_eq(state_of(&subscriber), READER_READING);
    push_numbers("u", 1, 1);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    expect_numbers(&subscriber, 1, 1);
    cr_expect_eq(subscriber.session->client->head, 1);
    push_numbers("u", 2, 2);
    expect_numbers(&subscriber, 2, 2);
}

/* What is missing behind the page that is under way may have replaced what was written. */
Test(replay_missed, looks_back_when_something_is_missing_behind_a_page)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    push_numbers("u", 1, 1);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    store_double_hold(STORE_OP_PAGE);
    miss("u", MISSED_NOTIFICATIONS);
    fixture.loses_events = true;
    withdraw_number("u", subscriber.session->client->epoch, 1);
    push_numbers("u", 2, 2);
    fixture.loses_events = false;
    push_numbers("u", 3, 3);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    wait_second();
    slow_subscriber_expect_part(&subscriber, "\"type\":\"cancel\"");
    slow_subscriber_expect_part(&subscriber, "\"data\":2");
    slow_subscriber_expect_part(&subscriber, "\"data\":3");
    subscriber_expect_nothing(&subscriber);
}
