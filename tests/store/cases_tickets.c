/* Tickets: given out, and taken once (CONTRACT 2). */
#include "tests/store/block_calls.h"
#include "tests/store/contract_fixture.h"

static void expect_ticket(const char *ticket, const char *user)
{
    struct store_ticket_take taken = ticket_take(store, ticket);
    cr_assert_eq(taken.error, ERR_OK);
    cr_assert(span_equal((struct span){taken.user_id, taken.user_id_len}, span_of(user)), "%.*s",
              (int)taken.user_id_len, taken.user_id);
}

Test(store_contract, a_ticket_is_taken_once_and_names_its_user)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 30), ERR_OK);
    cr_assert_eq(ticket_give(store, "t-2", "bert", 30), ERR_OK);
    expect_ticket("t-1", "anna");
    cr_assert_eq(ticket_take(store, "t-1").error, ERR_NOT_FOUND, "used");
    cr_assert_eq(ticket_take(store, "t-3").error, ERR_NOT_FOUND, "never given out");
    expect_ticket("t-2", "bert");
}

Test(store_contract, a_ticket_ends_after_its_time)
{
    int64_t given_ms = clock_wall_ms();
    cr_assert_eq(ticket_give(store, "t-1", "anna", 1), ERR_OK);
    cr_assert_eq(ticket_give(store, "t-2", "anna", 60), ERR_OK);
    sleep_until_wall_ms(given_ms + 1300);
    cr_assert_eq(ticket_take(store, "t-1").error, ERR_NOT_FOUND);
    expect_ticket("t-2", "anna");
    cr_assert_eq(ticket_give(store, "t-1", "bert", 60), ERR_OK, "nobody has it any more");
    expect_ticket("t-1", "bert");
}

Test(store_contract, a_ticket_that_is_out_is_not_given_out_again)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 30), ERR_OK);
    cr_assert_eq(ticket_give(store, "t-1", "bert", 30), ERR_CONFLICT);
    expect_ticket("t-1", "anna");
}

Test(store_contract, a_ticket_makes_no_user)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 30), ERR_OK);
    expect_ticket("t-1", "anna");
    struct store_peek peek = peek_one(store, "anna");
    cr_assert(epoch_is_none(peek.epoch));
    cr_assert_eq(peek.blocked_until_ms, 0);
}

Test(store_contract, takes_tickets_and_users_of_every_form)
{
    char ticket[STORE_TICKET_MAX_BYTES + 1];
    char user[USER_ID_MAX_BYTES + 1];
    memset(ticket, 't', STORE_TICKET_MAX_BYTES);
    memset(user, 'u', USER_ID_MAX_BYTES);
    ticket[STORE_TICKET_MAX_BYTES] = '\0';
    user[USER_ID_MAX_BYTES] = '\0';
    cr_assert_eq(ticket_give(store, ticket, user, 30), ERR_OK);
    cr_assert_eq(ticket_give(store, "t", "{a} %", STORE_TICKET_MAX_TTL_S), ERR_OK);
    cr_assert_eq(ticket_give(store, "{t}", "\xc3\xa4\xe2\x82\xac", 30), ERR_OK);
    expect_ticket(ticket, user);
    expect_ticket("t", "{a} %");
    expect_ticket("{t}", "\xc3\xa4\xe2\x82\xac");
}

enum { SHARED_TICKETS = 100 };

static void *take_every_ticket(void *taken)
{
    bool *is_mine = taken;
    char ticket[16];
    for (int i = 0; i < SHARED_TICKETS; i++) {
        snprintf(ticket, sizeof ticket, "t-%d", i);
        enum err error = ticket_take(store, ticket).error;
        is_mine[i] = error == ERR_OK;
        cr_assert(error == ERR_OK || error == ERR_NOT_FOUND);
    }
    return NULL;
}

Test(store_contract, of_two_requests_for_a_ticket_at_once_one_gets_it)
{
    static bool is_taken[2][SHARED_TICKETS];
    pthread_t threads[2];
    char ticket[16];
    for (int i = 0; i < SHARED_TICKETS; i++) {
        snprintf(ticket, sizeof ticket, "t-%d", i);
        cr_assert_eq(ticket_give(store, ticket, "anna", 30), ERR_OK);
    }
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_every_ticket, is_taken[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED_TICKETS; i++)
        cr_assert_eq(is_taken[0][i] + is_taken[1][i], 1, "ticket %d", i);
}
