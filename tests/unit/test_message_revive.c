/* What clients say to the backends while their sessions go from one process to another
 * (successor.h). */
#include "gateway/node/client_message.h"
#include "gateway/session/session_unanswered.h"
#include "tests/support/successor.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscriber subscriber;

static void set_up(void)
{
    node_fixture_start();
    successor_start();
}

TestSuite(message_revive, .init = set_up, .fini = successor_stop);

static char said[100];

static enum err take_message(struct node *node, const struct client_message *message)
{
    cr_expect_eq(node, &successor.node);
    size_t len = strlen(said);
    snprintf(said + len, sizeof said - len, "%.*s;", (int)message->said.data.len,
             message->said.data.bytes);
    return ERR_FULL;
}

static void begin_text(enum handshake_level level)
{
    static const uint8_t first[] = "\x01\x83\0\0\0\0[1,";
    said[0] = '\0';
    successor.node.take_message = take_message;
    successor.node.takes_plain_messages = true;
    subscriber_enter(&subscriber, level, "u", NULL);
    subscriber_text(&subscriber);
    subscriber_send_raw(&subscriber, first, sizeof first - 1);
    node_fixture_turn();
}

static void end_text(void)
{
    static const uint8_t second[] = "\x80\x82\0\0\0\0002]";
    subscriber_send_raw(&subscriber, second, sizeof second - 1);
    node_fixture_turn();
}

Test(message_revive, a_plain_message_that_has_begun_is_taken_whole)
{
    fixture.node.takes_plain_messages = true;
    begin_text(LEVEL_PLAIN);
    successor_take_over();
    end_text();
    cr_expect_str_eq(said, "[1,2];");
    subscriber_expect_close(&subscriber, 1013);
}

/* This process has dropped its beginning. */
Test(message_revive, a_plain_message_that_began_where_none_are_taken_is_dropped)
{
    begin_text(LEVEL_PLAIN);
    successor_take_over();
    end_text();
    cr_expect_str_eq(said, "");
    subscriber_say(&subscriber, "3");
    cr_expect_str_eq(said, "3;");
    subscriber_expect_close(&subscriber, 1013);
}

/* While messages are held nothing is read, and what was read already travels. */
Test(message_revive, what_was_read_and_not_looked_at_is_read_by_the_other_process)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_text(&subscriber);
    session_hold_all(fixture.worker);
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    subscriber_expect_nothing(&subscriber);
    successor_take_over();
    node_fixture_wait_ms(100);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_expect_nothing(&subscriber);
}

Test(message_revive, that_is_given_up_lets_the_session_be_read_on)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_text(&subscriber);
    session_hold_all(fixture.worker);
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    successor_take();
    successor_give_up();
    session_read_on_all(fixture.worker);
    node_fixture_wait_ms(100);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
}
