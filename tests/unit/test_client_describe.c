/* What presence hears of a user's sessions: when the first one on this node has entered, when the
 * last one has left and why, and what is said of the first. */
#include "gateway/delivery/client_describe.h"
#include "gateway/delivery/delivery.h"
#include "gateway/session/session_close.h"
#include "tests/support/subscriber.h"
#include "tests/support/successor.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscriber first, second;

static struct {
    unsigned n_online;
    unsigned n_offline;
    enum offline_cause cause; /* of the last one */
    char user_id[16];
    char level[16];
    char device[16]; /* these three of the last one who came */
    char connection[SESSION_NAME_MAX_BYTES];
    char address[64];
} heard;

static void copy_span(char *out, size_t cap, struct span text)
{
    snprintf(out, cap, "%.*s", (int)text.len, text.bytes);
}

static void on_online(struct client *client)
{
    char room[CLIENT_DESCRIPTION_BYTES];
    struct event_online online;
    heard.n_online++;
    cr_assert(client_describe(client, room, &online));
    copy_span(heard.user_id, sizeof heard.user_id, online.user_id);
    copy_span(heard.level, sizeof heard.level, online.level);
    copy_span(heard.device, sizeof heard.device, online.device);
    copy_span(heard.connection, sizeof heard.connection, online.connection);
    copy_span(heard.address, sizeof heard.address, online.address);
}

static void on_offline(struct client *client, enum offline_cause cause)
{
    heard.n_offline++;
    heard.cause = cause;
    copy_span(heard.user_id, sizeof heard.user_id, client_user_id(client));
}

static void set_up(void)
{
    node_fixture_start();
    successor_start();
    heard.n_online = 0;
    fixture.node.delivery_events.on_online = on_online;
    fixture.node.delivery_events.on_offline = on_offline;
    successor.node.delivery_events.on_online = on_online;
    successor.node.delivery_events.on_offline = on_offline;
}

TestSuite(client_describe, .init = set_up, .fini = successor_stop);

static void on_blocked(struct store_request *request)
{
    (void)request;
}

Test(client_describe, a_blocked_user_who_tries_to_enter_was_never_there)
{
    struct store_block block = {
        .request = {.on_done = on_blocked}, .user_id = SPAN_LITERAL("u"), .for_s = 60};
    store_block(fixture.node.store, &block);
    node_fixture_turn();
    subscriber_open(&first, (struct admission){.level = LEVEL_V1, .is_page = true});
    cr_assert_eq(delivery_enter(first.session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    node_fixture_turn();
    subscriber_expect_close(&first, 4503);
    cr_expect_eq(heard.n_online, 0);
    cr_expect_eq(heard.n_offline, 0);
}

Test(client_describe, is_told_of_the_first_session_and_of_the_last_alone)
{
    subscriber_enter(&first, LEVEL_V1, "u", "phone");
    cr_expect_eq(heard.n_online, 1);
    cr_expect_str_eq(heard.user_id, "u");
    cr_expect_str_eq(heard.level, "herald.v1");
    cr_expect_str_eq(heard.device, "phone");
    cr_expect_str_eq(heard.address, "", "without --events-address there is none");
    char name[SESSION_NAME_MAX_BYTES];
    session_name(first.session, name);
    cr_expect_str_eq(heard.connection, name);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    session_close(first.session, ERR_SLOW);
    cr_expect_eq(heard.n_online, 1);
    cr_expect_eq(heard.n_offline, 0);
    session_close(second.session, ERR_KICKED);
    cr_expect_eq(heard.n_offline, 1);
    cr_expect_eq(heard.cause, OFFLINE_KICKED);
}

Test(client_describe, names_the_address_where_that_is_asked_for)
{
    fixture.options.events_address = true;
    subscriber_enter(&first, LEVEL_PLAIN, "u", NULL);
    cr_expect_str_eq(heard.level, "plain");
    cr_expect_str_eq(heard.device, "");
    cr_expect_str_eq(heard.address, "unix", "the subscriber's end is a socketpair");
}

static const struct {
    enum err error;
    enum offline_cause cause;
} closes[] = {
    {ERR_KICKED, OFFLINE_KICKED},     {ERR_BLOCKED, OFFLINE_KICKED},
    {ERR_REPLACED, OFFLINE_REPLACED}, {ERR_RESTART, OFFLINE_DRAINED},
    {ERR_AGE, OFFLINE_DRAINED},       {ERR_SLOW, OFFLINE_SLOW},
    {ERR_SILENT, OFFLINE_SILENT},     {ERR_EXPIRED, OFFLINE_EXPIRED},
    {ERR_PROTOCOL, OFFLINE_ERROR},    {ERR_RATE, OFFLINE_ERROR},
    {ERR_RESYNC, OFFLINE_ERROR},
};

Test(client_describe, is_told_for_which_reason_the_last_session_was_closed)
{
    for (size_t i = 0; i < sizeof closes / sizeof closes[0]; i++) {
        subscriber_enter(&first, LEVEL_PLAIN, "u", NULL);
        session_close(first.session, closes[i].error);
        cr_expect_eq(heard.cause, closes[i].cause, "%s", error_title(closes[i].error));
        cr_expect_eq(heard.n_offline, i + 1);
        subscriber_hang_up(&first);
        node_fixture_turn();
    }
}

Test(client_describe, is_told_that_a_client_closed_with_a_close_frame_or_without)
{
    subscriber_enter(&first, LEVEL_PLAIN, "u", NULL);
    heard.cause = OFFLINE_ERROR;
    subscriber_send(&first, WS_CLOSE, (struct span){"\x03\xe8", 2});
    node_fixture_turn();
    cr_expect_eq(heard.n_offline, 1);
    cr_expect_eq(heard.cause, OFFLINE_CLOSED);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    heard.cause = OFFLINE_ERROR;
    subscriber_hang_up(&second);
    node_fixture_turn();
    cr_expect_eq(heard.n_offline, 2);
    cr_expect_eq(heard.cause, OFFLINE_CLOSED);
}

Test(client_describe, is_not_told_of_sessions_that_another_process_takes_over)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "v", NULL);
    successor_take_over();
    cr_expect_eq(successor.n_adopted, 2);
    cr_expect_eq(heard.n_online, 2, "both by the first process");
    cr_expect_eq(heard.n_offline, 0);
    session_close(successor_session("u"), ERR_SILENT);
    cr_expect_eq(heard.n_offline, 1);
    cr_expect_eq(heard.cause, OFFLINE_SILENT);
}
