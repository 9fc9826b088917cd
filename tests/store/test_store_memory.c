/* The memory store beyond the contract: its limit, and the clock of the in-memory twin that the
 * simulation runs on. */
#include "gateway/base/metrics.h"
#include "gateway/stores/memory/store_memory.h"
#include "gateway/stores/stores.h"
#include "tests/store/block_calls.h"
#include "tests/store/contract_fixture.h"

Test(store_contract, a_memory_store_that_is_full_refuses_and_recovers)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.max_bytes = 1000;
    store = backend_open(&config);
    char data[300] = {0};
    struct span span = {data, sizeof data};
    cr_assert_eq(append_span(store, "anna", span, 60).error, ERR_OK);
    cr_assert_eq(append_span(store, "anna", span, 60).error, ERR_OK);
    cr_assert_eq(append_span(store, "anna", span, 60).error, ERR_FULL);
    cr_assert_eq(append_span(store, "new", span, 60).error, ERR_FULL);
    cr_assert(epoch_is_none(peek_one(store, "new").epoch), "a refused append leaves no trace");
    cr_assert_eq(ack_one(store, "anna", peek_one(store, "anna").epoch, 2), ERR_OK);
    cr_assert_eq(append_span(store, "anna", span, 60).seq, 3);
}

/* ---- without a thread, on a clock of the test's ---- */

static int64_t fake_ms;

static int64_t fake_now_ms(void *unused)
{
    (void)unused;
    return fake_ms;
}

static struct store *twin;

static void twin_open(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    fake_ms = 1700000000000;
    struct store_config config = contract_config(1000, 1 << 20);
    struct store_clock clock = {fake_now_ms, NULL};
    cr_assert_eq(store_memory_open_unthreaded(&config, clock, &twin), ERR_OK);
}

static void twin_close(void)
{
    store_close(twin);
    recorder_fini();
    contract_check_leaks();
}

TestSuite(store_twin, .init = twin_open, .fini = twin_close, .timeout = STORE_TEST_TIMEOUT_S);

static struct store_target twin_append(const char *user, uint32_t ttl_s)
{
    struct append_call call;
    append_begin(twin, &call, user, SPAN_LITERAL("{}"), ttl_s);
    cr_assert_eq(atomic_load(&call.call.n_answers), 0, "nothing happens before the turn");
    store_local_turn(twin);
    append_end(&call);
    return call.target;
}

static struct store_page twin_page(const char *user)
{
    struct page_call call;
    page_begin(twin, &call, user);
    store_local_turn(twin);
    call_wait(&call.call);
    return call.page;
}

static struct store_peek twin_peek(const char *user)
{
    struct peek_call call = {.peek = {.request = {.on_done = on_peek}, .user_id = span_of(user)}};
    call_init(&call.call);
    store_peek(twin, &call.peek);
    store_local_turn(twin);
    call_wait(&call.call);
    return call.peek;
}

static bool is_answered_at_once(struct store_page asked, struct store_page *ret_page)
{
    asked.is_arrival = true;
    asked.from_acked = true;
    asked.max_count = 10;
    asked.max_bytes = 1000;
    *ret_page = asked;
    return store_page_at_once(twin, ret_page);
}

static bool is_user_at_once(const char *user)
{
    struct store_page page;
    return is_answered_at_once((struct store_page){.user_id = span_of(user)}, &page);
}

/* store.h: what has to be shown, written or refused is asked for with store_page. */
Test(store_twin, answers_a_page_at_once_when_nothing_waits_and_nothing_is_written)
{
    store_local_turn(twin); /* it rests */
    struct store_page page;
    struct store_page nobody = {.user_id = SPAN_LITERAL("nobody")};
    cr_expect(is_answered_at_once(nobody, &page));
    cr_expect(page.error == ERR_OK && epoch_is_none(page.epoch) && page.head == 0);
    nobody.must_begin = true;
    cr_expect_not(is_answered_at_once(nobody, &page), "a user would have to be made");

    struct store_target target = twin_append("anna", 10);
    cr_expect_not(is_user_at_once("anna"));
    fake_ms += 10000;
    cr_expect_not(is_user_at_once("anna"), "it has expired, and has not left");
    store_local_turn(twin);
    page = twin_page("anna");
    page_free(&page);
    struct store_page anna = {.user_id = SPAN_LITERAL("anna"), .must_begin = true};
    cr_expect(is_answered_at_once(anna, &page));
    cr_expect(epoch_equal(page.epoch, target.epoch) && page.head == 1 && page.last == 1);
    cr_expect(page.acked == 0 && page.start == 0 && page.n_notes == 0);
    anna.wants_gaps = true;
    cr_expect_not(is_answered_at_once(anna, &page), "1 is a gap");
    anna = (struct store_page){
        .user_id = SPAN_LITERAL("anna"), .known_epoch = target.epoch, .known_head = 2};
    cr_expect_not(is_answered_at_once(anna, &page), "it has lost a number");
    anna = (struct store_page){.user_id = SPAN_LITERAL("anna"), .device = SPAN_LITERAL("phone")};
    cr_expect_not(is_answered_at_once(anna, &page), "a device would have to be made");
    fake_ms += 86400000;
    cr_expect_not(is_user_at_once("anna"), "a sign of life is written once a day");
}

Test(store_twin, answers_no_page_at_once_while_it_has_something_to_do)
{
    struct append_call call;
    cr_expect_not(is_user_at_once("anna"), "it has not begun");
    store_local_turn(twin);
    cr_expect(is_user_at_once("anna"));
    append_begin(twin, &call, "berta", SPAN_LITERAL("{}"), 10);
    cr_expect_not(is_user_at_once("anna"));
    store_local_turn(twin);
    append_end(&call);
    cr_expect(is_user_at_once("anna"));
    struct block_call block;
    block_begin(twin, &block, "anna", 10);
    store_local_turn(twin);
    call_wait(&block.call);
    cr_expect_not(is_user_at_once("anna"));
    fake_ms += 10000;
    cr_expect(is_user_at_once("anna"), "the block is over");
}

Test(store_twin, expires_to_the_millisecond)
{
    cr_assert_eq(twin_append("anna", 10).error, ERR_OK);
    fake_ms += 9999;
    struct store_page page = twin_page("anna");
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    fake_ms += 1;
    page = twin_page("anna");
    cr_assert_eq(page.n_notes, 0);
    cr_assert_eq(page.last, 1);
    page_free(&page);
}

Test(store_twin, what_expires_leaves_without_being_read)
{
    enum { USERS = 300 };
    char user[16];
    for (int i = 0; i < USERS; i++) {
        snprintf(user, sizeof user, "u%d", i);
        cr_assert_eq(twin_append(user, 10).error, ERR_OK);
    }
    int64_t before = metrics_read(METRIC_INBOX_EXPIRED);
    fake_ms += 10000;
    for (int second = 0; second <= 61; second++) {
        fake_ms += 1000;
        store_local_turn(twin);
    }
    cr_assert_eq(metrics_read(METRIC_INBOX_EXPIRED) - before, USERS);
    cr_assert_eq(twin_append("u7", 10).seq, 2, "its numbers go on");
}

Test(store_twin, forgets_a_user_30_days_after_the_last_sign_of_life)
{
    const int64_t day_ms = 24 * 3600 * 1000;
    struct epoch epoch = twin_append("anna", 10).epoch;
    for (int day = 0; day < 29; day++) {
        fake_ms += day_ms;
        store_local_turn(twin);
    }
    struct store_page page = twin_page("anna"); /* a sign of life */
    cr_assert(epoch_equal(page.epoch, epoch));
    page_free(&page);
    fake_ms += 30 * day_ms;
    store_local_turn(twin);
    cr_assert(epoch_equal(twin_peek("anna").epoch, epoch));
    fake_ms += 2 * day_ms;
    store_local_turn(twin);
    cr_assert(epoch_is_none(twin_peek("anna").epoch));
    struct store_target got = twin_append("anna", 10);
    cr_assert_eq(got.seq, 1);
    cr_assert(!epoch_equal(got.epoch, epoch));
}

Test(store_twin, tells_of_a_notification_before_it_answers)
{
    struct append_call call;
    append_begin(twin, &call, "anna", SPAN_LITERAL("{}"), 10);
    cr_assert_eq(recorder.n, 0);
    store_local_turn(twin);
    cr_assert_eq(recorder.n, 1);
    cr_assert_eq(recorder.list[0].seq, 1);
    append_end(&call);
}

Test(store_twin, refuses_while_it_is_down_and_recovers_by_itself)
{
    cr_assert_eq(twin_append("anna", 1000).seq, 1);
    store_local_set_full(twin, true);
    cr_assert_eq(recorder.state, 0);
    cr_assert_eq(twin_append("anna", 1000).error, ERR_STORE_UNAVAILABLE);
    struct store_page page = twin_page("anna");
    cr_assert_eq(page.error, ERR_OK, "what there is can be read");
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    char why[200];
    store_describe(twin, why, sizeof why);
    cr_assert_neq(why[0], '\0');
    store_local_set_full(twin, false);
    fake_ms += STORE_RETRY_MS;
    store_local_turn(twin);
    cr_assert_eq(recorder.state, 1);
    store_describe(twin, why, sizeof why);
    cr_assert_eq(why[0], '\0');
    cr_assert_eq(twin_append("anna", 1000).seq, 2);
}

Test(store_twin, counts_what_a_full_inbox_pushes_out)
{
    int64_t before = metrics_read(METRIC_INBOX_OVERFLOW);
    for (int i = 0; i < 1010; i++)
        cr_assert_eq(twin_append("anna", 1000).error, ERR_OK);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW) - before, 10);
    cr_assert_eq(twin_peek("anna").pending, 1000);
}

/* ---- blocks and tickets ---- */

static int64_t twin_block(const char *user, uint32_t for_s)
{
    struct block_call call;
    block_begin(twin, &call, user, for_s);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.block.error, ERR_OK);
    return call.block.until_ms;
}

static enum err twin_give(const char *ticket, uint32_t ttl_s)
{
    struct give_call call;
    give_begin(twin, &call,
               (struct store_ticket_give){
                   .ticket = span_of(ticket), .user_id = SPAN_LITERAL("anna"), .ttl_s = ttl_s});
    store_local_turn(twin);
    call_wait(&call.call);
    return call.give.error;
}

static enum err twin_take(const char *ticket)
{
    struct take_call call;
    take_begin(twin, &call, ticket);
    store_local_turn(twin);
    call_wait(&call.call);
    return call.take.error;
}

Test(store_twin, a_block_holds_until_its_last_millisecond)
{
    int64_t until_ms = twin_block("anna", 10);
    cr_assert_eq(until_ms, fake_ms + 10000);
    fake_ms += 9999;
    cr_assert_eq(twin_peek("anna").blocked_until_ms, until_ms);
    fake_ms += 1;
    cr_assert_eq(twin_peek("anna").blocked_until_ms, 0);
}

Test(store_twin, a_ticket_holds_until_its_last_millisecond)
{
    cr_assert_eq(twin_give("t-1", 10), ERR_OK);
    cr_assert_eq(twin_give("t-2", 10), ERR_OK);
    fake_ms += 9999;
    cr_assert_eq(twin_take("t-1"), ERR_OK);
    fake_ms += 1;
    cr_assert_eq(twin_take("t-2"), ERR_NOT_FOUND);
}

Test(store_twin, a_store_that_cannot_be_written_refuses_blocks_and_keeps_those_it_has)
{
    int64_t until_ms = twin_block("anna", 10);
    store_local_set_full(twin, true);
    struct block_call call;
    static const char *const users[] = {"anna", "bert"};
    for (int i = 0; i < 2; i++) {
        block_begin(twin, &call, users[i], 100);
        store_local_turn(twin);
        call_wait(&call.call);
        cr_assert_eq(call.block.error, ERR_STORE_UNAVAILABLE);
        cr_assert_eq(call.block.until_ms, 0);
    }
    cr_assert_eq(twin_peek("anna").blocked_until_ms, until_ms);
    cr_assert_eq(twin_peek("bert").blocked_until_ms, 0);
    cr_assert_eq(twin_give("t-1", 10), ERR_OK, "tickets need no disk");
}

Test(store_twin, too_many_tickets_are_refused_and_counted_until_some_are_over)
{
    char ticket[16];
    int64_t before = metrics_read(METRIC_TICKETS_REFUSED);
    for (int i = 0; i < STORE_MAX_TICKETS; i++) {
        snprintf(ticket, sizeof ticket, "t-%d", i);
        cr_assert_eq(twin_give(ticket, 30), ERR_OK);
    }
    cr_assert_eq(twin_give("one more", 30), ERR_FULL);
    cr_assert_eq(metrics_read(METRIC_TICKETS_REFUSED) - before, 1);
    cr_assert_eq(twin_take("t-7"), ERR_OK);
    cr_assert_eq(twin_give("one more", 30), ERR_OK);
    fake_ms += 30000;
    store_local_turn(twin);
    cr_assert_eq(twin_give("another", 30), ERR_OK);
}

Test(store_twin, too_many_blocks_are_refused_and_counted_until_some_are_over)
{
    char user[16];
    int64_t before = metrics_read(METRIC_BLOCKS_REFUSED);
    for (int i = 0; i < STORE_MAX_BLOCKS; i++) {
        snprintf(user, sizeof user, "u%d", i);
        twin_block(user, 30);
    }
    struct block_call call;
    block_begin(twin, &call, "one more", 30);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.block.error, ERR_FULL);
    cr_assert_eq(metrics_read(METRIC_BLOCKS_REFUSED) - before, 1);
    twin_block("u7", 0);
    twin_block("one more", 60);
    fake_ms += 30000;
    store_local_turn(twin);
    cr_assert_neq(twin_peek("one more").blocked_until_ms, 0);
    twin_block("u7", 30);
}
