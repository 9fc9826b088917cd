/* Tickets (CONTRACT 2): given out for one connection of a user, and good once. */
#include "gateway/identity/auth.h"
#include "gateway/requests/requests.h"
#include "gateway/store/store.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static unsigned n_answers;

TestSuite(tickets, .init = node_fixture_start, .fini = node_fixture_stop);

static void open_auth(char *kind)
{
    char why[200];
    fixture.options.auth = kind;
    cr_assert_eq(auth_open(&fixture.options, &fixture.node.auth, why, sizeof why), ERR_OK, "%s",
                 why);
}

static void on_given(struct gateway_ticket *ticket)
{
    (void)ticket;
    n_answers++;
}

static struct gateway_ticket ask_for_ticket(void)
{
    struct gateway_ticket ticket = {.on_done = on_given, .user_id = SPAN_LITERAL("u")};
    n_answers = 0;
    gateway_ticket(&fixture.node, &ticket);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    return ticket;
}

static void on_taken(struct store_request *request)
{
    (void)request;
}

static struct store_ticket_take take_ticket(const char *text)
{
    struct store_ticket_take take = {.request = {.on_done = on_taken}, .ticket = span_of(text)};
    store_ticket_take(fixture.node.store, &take);
    node_fixture_turn();
    return take;
}

Test(tickets, are_of_their_user_and_good_once)
{
    static char kind[] = "ticket";
    open_auth(kind);
    struct gateway_ticket ticket = ask_for_ticket();
    cr_assert_eq(ticket.error, ERR_OK);
    cr_expect_eq(strspn(ticket.text, "0123456789abcdef"), TICKET_LEN);
    cr_expect_eq(ticket.text[TICKET_LEN], '\0');
    struct store_ticket_take take = take_ticket(ticket.text);
    cr_assert_eq(take.error, ERR_OK);
    cr_expect(span_equal((struct span){take.user_id, take.user_id_len}, SPAN_LITERAL("u")));
    cr_expect_eq(take_ticket(ticket.text).error, ERR_NOT_FOUND);
}

Test(tickets, end_after_30_seconds)
{
    static char kind[] = "ticket";
    open_auth(kind);
    struct gateway_ticket ticket = ask_for_ticket();
    struct gateway_ticket other = ask_for_ticket();
    cr_expect_str_neq(ticket.text, other.text);
    int64_t life_ms = ticket.expires_ms - NODE_FIXTURE_WALL_MS - node_fixture_now_ms();
    cr_expect_eq(life_ms, 30000);
    node_fixture_wait_ms(life_ms - 1);
    cr_expect_eq(take_ticket(ticket.text).error, ERR_OK);
    node_fixture_wait_ms(1);
    cr_expect_eq(take_ticket(other.text).error, ERR_NOT_FOUND);
}

Test(tickets, are_refused_where_subscribers_prove_themselves_otherwise)
{
    static char kind[] = "none";
    open_auth(kind);
    cr_expect_eq(ask_for_ticket().error, ERR_CONFLICT);
}
