/* What a request costs does not grow with the inbox: the memory store without a thread, so that the
 * entries which a turn visits are counted here. */
#include "gateway/stores/local/waiting.h"
#include "tests/store/twin_store.h"

/* As in test_waiting.c. */
enum { LARGE = 60000, OPERATIONS = 15000, STEPS_MAX = 150 };

static void twin_open(void)
{
    twin_open_with((struct store_config){
        .inbox_max = LARGE, .inbox_max_bytes = (uint64_t)1 << 40, .max_bytes = (uint64_t)1 << 40});
}

TestSuite(inbox_steps, .init = twin_open, .fini = twin_close, .timeout = STORE_TEST_TIMEOUT_S);

static void expect_few_steps(const char *what, size_t n_operations)
{
    cr_assert_leq(waiting_steps, (uint64_t)STEPS_MAX * n_operations, "%s: %llu steps each", what,
                  (unsigned long long)(waiting_steps / n_operations));
    waiting_steps = 0;
}

static struct store_target append(uint32_t ttl_s, const char *collapse_key)
{
    struct append_call call;
    call.target = (struct store_target){.user_id = SPAN_LITERAL("anna")};
    struct payload *payload = payload_new_keyed(SPAN_LITERAL("{}"), span_of(collapse_key));
    append_start(twin, &call,
                 (struct store_append){
                     .payload = payload, .ttl_s = ttl_s, .n_targets = 1, .targets = &call.target});
    store_local_turn(twin);
    append_end(&call);
    cr_assert_eq(call.target.error, ERR_OK);
    return call.target;
}

static uint32_t ttl_unit_s = 1;

static uint32_t mixed_ttl_s(int number)
{
    return ttl_unit_s * (1000 + (uint32_t)(number * 7919 % 5000));
}

static const char *key_of(int number)
{
    static char key[24];
    snprintf(key, sizeof key, "key-%d", number);
    return key;
}

static struct epoch fill(bool has_keys)
{
    struct epoch epoch = {{0}};
    for (int i = 0; i < LARGE; i++)
        epoch = append(mixed_ttl_s(i), has_keys ? key_of(i) : "").epoch;
    return epoch;
}

static struct store_page read_page(uint64_t after)
{
    struct page_call call = {.page = page_asked("anna")};
    call.page.after = after;
    call.page.max_count = 1;
    call.page.wants_gaps = true;
    call.page.wants_withdrawn = true;
    page_start(twin, &call);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.page.error, ERR_OK);
    return call.page;
}

static struct store_peek peek(void)
{
    struct peek_call call;
    peek_begin(twin, &call, "anna");
    store_local_turn(twin);
    call_wait(&call.call);
    return call.peek;
}

static void acknowledge(struct epoch epoch, uint64_t seq)
{
    struct ack_call call;
    ack_begin(twin, &call, "anna", epoch, seq);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.ack.error, ERR_OK);
}

static struct store_look look(struct epoch epoch, uint64_t seq)
{
    struct look_call call;
    look_begin(twin, &call,
               (struct store_look){.user_id = SPAN_LITERAL("anna"), .epoch = epoch, .seq = seq});
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.look.error, ERR_OK);
    return call.look;
}

/* All that wait: 0. */
static struct store_withdraw withdraw(struct epoch epoch, uint64_t seq)
{
    struct withdraw_call call;
    withdraw_begin(
        twin, &call,
        (struct store_withdraw){
            .user_id = SPAN_LITERAL("anna"), .is_all = seq == 0, .epoch = epoch, .seq = seq});
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.withdraw.error, ERR_OK);
    return call.withdraw;
}

Test(inbox_steps, a_push_into_a_full_inbox)
{
    fill(false);
    waiting_steps = 0;
    for (int i = 0; i < OPERATIONS; i++)
        append(mixed_ttl_s(i), "");
    expect_few_steps("a push", OPERATIONS);
    cr_assert_eq(peek().pending, LARGE);
}

Test(inbox_steps, a_push_with_a_collapse_key)
{
    waiting_steps = 0;
    fill(true);
    expect_few_steps("a push with a key of its own", LARGE);
    for (int i = 0; i < OPERATIONS; i++)
        append(mixed_ttl_s(i), key_of(i * 31 % LARGE));
    expect_few_steps("a push that replaces", OPERATIONS);
    cr_assert_eq(peek().pending, LARGE);
}

/* Each expires before the next of its key comes. */
/* Several keys take turns: how far one is looked for depends on where this run's random hash puts
 * it. */
Test(inbox_steps, pushes_of_few_keys_of_which_each_has_expired)
{
    enum { KEYS = 64 };
    ttl_unit_s = 100;
    fill(true);
    waiting_steps = 0;
    for (int i = 0; i < OPERATIONS; i++) {
        append(1, key_of(LARGE + i % KEYS));
        fake_ms += 1001;
    }
    expect_few_steps("a push", OPERATIONS);
}

Test(inbox_steps, looks_and_cancels_anywhere)
{
    struct epoch epoch = fill(false);
    waiting_steps = 0;
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t seq = (uint64_t)(i * 31 % LARGE) + 1;
        cr_assert_eq(withdraw(epoch, seq).n_removed, 1);
        cr_assert_eq(look(epoch, seq).found.fate, FATE_GONE);
    }
    expect_few_steps("a cancel and a look", OPERATIONS);
}

Test(inbox_steps, pages_and_peeks_after_what_has_left_or_expired)
{
    struct epoch epoch = fill(false);
    for (uint64_t seq = 10; seq < OPERATIONS; seq++)
        withdraw(epoch, seq);
    fake_ms += (int64_t)3000 * 1000; /* of the others a third has expired */
    struct store_page page = read_page(5);
    page_free(&page);
    waiting_steps = 0;
    for (int i = 0; i < 1000; i++) {
        page = read_page(i % 2 == 0 ? 5 : LARGE - 1);
        cr_assert_leq(page.n_notes, 1);
        page_free(&page);
        cr_assert_gt(peek().pending, 0);
    }
    expect_few_steps("a page and a peek", 1000);
}

/* The acknowledgement that takes all costs each that leaves as much as one by itself. */
Test(inbox_steps, acknowledgements_of_one_and_of_all)
{
    struct epoch epoch = fill(false);
    waiting_steps = 0;
    for (uint64_t seq = 1; seq <= OPERATIONS; seq++)
        acknowledge(epoch, seq);
    expect_few_steps("an acknowledgement", OPERATIONS);
    acknowledge(epoch, LARGE);
    expect_few_steps("an acknowledgement of many", LARGE - OPERATIONS);
    cr_assert_eq(peek().pending, 0);
}

/* Every third has left: runs of two. */
Test(inbox_steps, a_purge_of_many_runs)
{
    struct epoch epoch = fill(false);
    for (uint64_t seq = 3; seq <= LARGE; seq += 3)
        withdraw(epoch, seq);
    waiting_steps = 0;
    struct store_withdraw purge = withdraw(epoch, 0);
    cr_assert_eq(purge.n_removed, LARGE - LARGE / 3);
    expect_few_steps("one of a purge", LARGE - LARGE / 3);
}

/* Each minute a few expire, wherever they stand. */
Test(inbox_steps, sweeps_while_times_to_live_are_mixed)
{
    ttl_unit_s = 100;
    fill(false);
    waiting_steps = 0;
    for (int minute = 0; minute <= 10000; minute++) {
        fake_ms += (int64_t)60 * 1000;
        store_local_turn(twin);
    }
    expect_few_steps("one that expires", LARGE);
    cr_assert_eq(peek().pending, 0);
}
