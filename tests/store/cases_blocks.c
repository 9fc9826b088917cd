/* Blocks: until when a user's HTTP connections are to be refused (CONTRACT 5.8). */
#include "tests/store/block_calls.h"
#include "tests/store/contract_fixture.h"

static void expect_blocked(const char *user, int64_t until_ms)
{
    struct store_page page = arrive_and_read(store, user);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.blocked_until_ms, until_ms);
    page_free(&page);
    struct store_peek peek = peek_one(store, user);
    cr_assert_eq(peek.error, ERR_OK);
    cr_assert_eq(peek.blocked_until_ms, until_ms);
}

Test(store_contract, a_block_says_until_when_and_so_does_the_answer_to_an_arrival)
{
    int64_t before_ms = clock_wall_ms();
    int64_t until_ms = block_for(store, "anna", 60);
    cr_assert_geq(until_ms, before_ms + 60000);
    cr_assert_leq(until_ms, clock_wall_ms() + 60000);
    expect_blocked("anna", until_ms);
    expect_blocked("bert", 0);
    cr_assert_geq(block_for(store, "carl", 86400), before_ms + 86400000);
}

Test(store_contract, an_arrival_that_is_blocked_is_shown_nothing_and_makes_nothing)
{
    append_number(store, "anna", 1, 60);
    append_number(store, "anna", 2, 60);
    int64_t until_ms = block_for(store, "anna", 60);
    struct store_page asked = page_asked("anna");
    asked.is_arrival = true;
    asked.must_begin = true;
    asked.wants_gaps = true;
    asked.device = SPAN_LITERAL("phone");
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.blocked_until_ms, until_ms);
    cr_assert_eq(page.n_notes + page.n_gaps, 0);
    cr_assert(epoch_is_none(page.epoch));
    cr_assert_eq(page.head + page.acked + page.position + page.start + page.last, 0);
    cr_assert_not(page.has_devices);
    page_free(&page);
    page = page_all(store, "anna");
    cr_assert_not(page.has_devices, "a device was made");
    cr_assert_eq(page.n_notes, 2);
    page_free(&page);

    until_ms = block_for(store, "new", 60);
    asked.user_id = SPAN_LITERAL("new");
    page = page_run(store, asked);
    cr_assert_eq(page.blocked_until_ms, until_ms);
    page_free(&page);
    cr_assert(epoch_is_none(peek_one(store, "new").epoch), "a user was made");
}

/* What the pages of an open session ask for. */
Test(store_contract, a_page_that_tells_a_block_shows_a_blocked_user_nothing)
{
    append_number(store, "anna", 1, 60);
    struct store_page asked = page_asked("anna");
    asked.tells_block = true;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.blocked_until_ms, 0);
    page_free(&page);
    int64_t until_ms = block_for(store, "anna", 60);
    page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.blocked_until_ms, until_ms);
    cr_assert_eq(page.n_notes, 0);
    page_free(&page);
    block_for(store, "anna", 0);
    page = page_run(store, asked);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
}

Test(store_contract, a_block_is_reported_to_arrivals_only)
{
    append_number(store, "anna", 1, 60);
    block_for(store, "anna", 60);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.blocked_until_ms, 0);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2, "pushes are kept all the same");
    cr_assert_eq(ack_one(store, "anna", peek_one(store, "anna").epoch, 1), ERR_OK);
    expect_inbox(store, "anna", "a.");
}

Test(store_contract, a_block_ends_to_the_millisecond)
{
    int64_t until_ms = block_for(store, "anna", 1);
    int64_t seen_ms;
    struct store_peek peek;
    do { /* each request that was answered before the end was blocked */
        peek = peek_one(store, "anna");
        seen_ms = clock_wall_ms();
        cr_assert(peek.blocked_until_ms == until_ms || seen_ms >= until_ms);
    } while (peek.blocked_until_ms != 0);
    sleep_until_wall_ms(until_ms);
    expect_blocked("anna", 0);
    append_number(store, "anna", 1, 60);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
}

Test(store_contract, a_block_takes_the_place_of_the_one_before_it)
{
    block_for(store, "anna", 60);
    int64_t longer_ms = block_for(store, "anna", 600);
    expect_blocked("anna", longer_ms);
    int64_t shorter_ms = block_for(store, "anna", 50);
    cr_assert_lt(shorter_ms, longer_ms);
    expect_blocked("anna", shorter_ms);
}

Test(store_contract, a_block_that_was_lifted_is_gone_and_may_come_again)
{
    cr_assert_eq(block_for(store, "anna", 0), 0, "nothing is there to lift");
    block_for(store, "anna", 60);
    cr_assert_eq(block_for(store, "anna", 0), 0);
    expect_blocked("anna", 0);
    expect_blocked("anna", block_for(store, "anna", 60));
}

Test(store_contract, blocks_of_one_user_are_carried_out_in_their_order)
{
    enum { BLOCKS = 50 };
    static struct block_call calls[BLOCKS];
    for (int last = BLOCKS - 2; last < BLOCKS; last++) { /* once to a block, once to none */
        for (int i = 0; i <= last; i++)
            block_begin(store, &calls[i], "anna", i % 2 == 0 ? 60 + (uint32_t)i : 0);
        for (int i = 0; i <= last; i++) {
            call_wait(&calls[i].call);
            cr_assert_eq(calls[i].block.error, ERR_OK);
        }
        expect_blocked("anna", calls[last].block.until_ms);
        cr_assert_eq(calls[last].block.until_ms != 0, last % 2 == 0);
    }
}

Test(store_contract, users_of_every_form_can_be_blocked)
{
    char longest[USER_ID_MAX_BYTES + 1];
    memset(longest, 'u', USER_ID_MAX_BYTES);
    longest[USER_ID_MAX_BYTES] = '\0';
    const char *const users[] = {longest, "{a}", "a%b", "a b:block", "\xc3\xa4\xe2\x82\xac"};
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        expect_blocked(users[i], 0);
        expect_blocked(users[i], block_for(store, users[i], 60));
    }
    expect_blocked("a", 0);
}

/* A connection whose request comes after a block sees it, so a client cannot outrun a kick. */
Test(store_contract, an_arrival_after_a_block_is_blocked)
{
    enum { ROUNDS = 100 };
    char user[16];
    for (int i = 0; i < ROUNDS; i++) {
        struct block_call block;
        struct page_call page;
        snprintf(user, sizeof user, "u%d", i);
        block_begin(store, &block, user, 60);
        call_wait(&block.call);
        page.page = page_asked(user);
        page.page.is_arrival = true;
        page_start(store, &page);
        call_wait(&page.call);
        cr_assert_eq(page.page.blocked_until_ms, block.block.until_ms);
        page_free(&page.page);
    }
}
