/* Idempotency keys: a repeat is answered as the first, and numbers nothing. */
#include "tests/store/contract_fixture.h"

static const struct store_print print_a = {{0, 1, 2, 255, 10, 13}};
static const struct store_print print_b = {{0, 1, 2, 255, 10, 14}};

static void append_all_once(struct store_target *targets, size_t n, const char *key,
                            struct store_print print)
{
    append_run(store, (struct store_append){.payload = payload_new(SPAN_LITERAL("{\"n\":1}")),
                                            .ttl_s = 60,
                                            .idempotency_key = span_of(key),
                                            .print = print,
                                            .n_targets = n,
                                            .targets = targets});
}

static struct store_target append_once(const char *user, const char *key, struct store_print print)
{
    struct store_target target = {.user_id = span_of(user)};
    append_all_once(&target, 1, key, print);
    return target;
}

static void expect_duplicate(struct store_target got, struct store_target first)
{
    cr_assert_eq(got.error, ERR_OK);
    cr_assert(got.is_duplicate);
    cr_assert(epoch_equal(got.epoch, first.epoch));
    cr_assert_eq(got.seq, first.seq);
    cr_assert_eq(got.time_ms, first.time_ms);
    cr_assert_eq(got.expires_ms, first.expires_ms);
}

static void expect_first(struct store_target got, uint64_t seq)
{
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_not(got.is_duplicate);
    cr_assert_eq(got.seq, seq);
}

Test(store_contract, a_repeat_is_answered_with_the_first_ones_numbers_and_times)
{
    struct store_target first = append_once("anna", "order-17", print_a);
    expect_first(first, 1);
    cr_assert_eq(first.expires_ms, first.time_ms + 60000);
    sleep_until_wall_ms(clock_wall_ms() + 5);
    expect_duplicate(append_once("anna", "order-17", print_a), first);
    append_number(store, "anna", 2, 60);
    expect_duplicate(append_once("anna", "order-17", print_a), first);
    expect_inbox(store, "anna", "..");
    expect_first(append_once("anna", "order-18", print_a), 3);
    expect_first(append_one(store, "anna", "{}", 60), 4);
}

Test(store_contract, a_repeat_is_not_reported)
{
    arrive(store, "anna");
    append_once("anna", "order-17", print_a);
    append_once("anna", "order-17", print_a);
    append_once("anna", "order-17", print_b);
    append_number(store, "anna", 2, 60);
    cr_assert_eq(recorded_at("anna", 0).seq, 1);
    cr_assert_eq(recorded_at("anna", 1).seq, 2);
    cr_assert_eq(count_told("anna"), 2);
}

Test(store_contract, another_push_with_the_same_key_is_refused_and_keeps_nothing)
{
    struct store_target first = append_once("anna", "order-17", print_a);
    struct store_target other = append_once("anna", "order-17", print_b);
    cr_assert_eq(other.error, ERR_IDEMPOTENCY_MISMATCH);
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.head, 1);
    cr_assert_eq(peek.pending, 1);
    expect_duplicate(append_once("anna", "order-17", print_a), first);
    expect_first(append_one(store, "anna", "{}", 60), 2);
}

Test(store_contract, a_refused_repeat_pushes_nothing_out_and_replaces_nothing)
{
    contract_open_with(2, 1 << 20);
    append_keyed(store, "anna", "1", "score");
    append_once("anna", "order-17", print_a);
    struct store_target target = {.user_id = SPAN_LITERAL("anna")};
    append_run(store, (struct store_append){
                          .payload = payload_new_keyed(SPAN_LITERAL("3"), SPAN_LITERAL("score")),
                          .ttl_s = 60,
                          .idempotency_key = SPAN_LITERAL("order-17"),
                          .print = print_b,
                          .n_targets = 1,
                          .targets = &target});
    cr_assert_eq(target.error, ERR_IDEMPOTENCY_MISMATCH);
    expect_inbox(store, "anna", "..");
    cr_assert(append_once("anna", "order-17", print_a).is_duplicate);
    expect_inbox(store, "anna", "..");
}

Test(store_contract, each_user_has_idempotency_keys_of_their_own)
{
    struct store_target anna = append_once("anna", "order-17", print_a);
    expect_first(append_once("bert", "order-17", print_b), 1);
    struct store_target both[3] = {{.user_id = SPAN_LITERAL("anna")},
                                   {.user_id = SPAN_LITERAL("bert")},
                                   {.user_id = SPAN_LITERAL("carl")}};
    append_all_once(both, 3, "order-17", print_a);
    expect_duplicate(both[0], anna);
    cr_assert_eq(both[1].error, ERR_IDEMPOTENCY_MISMATCH);
    expect_first(both[2], 1);
    cr_assert_eq(peek_one(store, "anna").head, 1);
    cr_assert_eq(peek_one(store, "bert").head, 1);
    cr_assert_eq(peek_one(store, "carl").head, 1);
}

Test(store_contract, a_user_named_twice_in_one_push_with_a_key_gets_one_number)
{
    struct store_target twice[2] = {{.user_id = SPAN_LITERAL("anna")},
                                    {.user_id = SPAN_LITERAL("anna")}};
    append_all_once(twice, 2, "order-17", print_a);
    cr_assert_eq(twice[0].is_duplicate + twice[1].is_duplicate, 1);
    int first = twice[0].is_duplicate ? 1 : 0;
    expect_first(twice[first], 1);
    expect_duplicate(twice[1 - first], twice[first]);
    expect_inbox(store, "anna", ".");
}

Test(store_contract, a_repeat_after_one_that_is_not_finished_is_its_duplicate)
{
    struct append_call calls[2];
    for (int i = 0; i < 2; i++) {
        calls[i].target = (struct store_target){.user_id = SPAN_LITERAL("anna")};
        append_start(store, &calls[i],
                     (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                           .ttl_s = 60,
                                           .idempotency_key = SPAN_LITERAL("order-17"),
                                           .print = print_a,
                                           .n_targets = 1,
                                           .targets = &calls[i].target});
    }
    append_end(&calls[0]);
    append_end(&calls[1]);
    expect_first(calls[0].target, 1);
    expect_duplicate(calls[1].target, calls[0].target);
}

enum { SHARED_KEYS = 100 };

static void *append_every_key(void *targets)
{
    struct store_target *mine = targets;
    char key[16];
    for (int i = 0; i < SHARED_KEYS; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        mine[i] = append_once("anna", key, print_a);
    }
    return NULL;
}

Test(store_contract, two_threads_that_push_with_one_key_number_once)
{
    static struct store_target targets[2][SHARED_KEYS];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, append_every_key, targets[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED_KEYS; i++) {
        cr_assert_eq(targets[0][i].error, ERR_OK);
        cr_assert_eq(targets[1][i].error, ERR_OK);
        cr_assert_eq(targets[0][i].seq, targets[1][i].seq);
        cr_assert_eq(targets[0][i].time_ms, targets[1][i].time_ms);
        cr_assert_neq(targets[0][i].is_duplicate, targets[1][i].is_duplicate);
    }
    cr_assert_eq(peek_one(store, "anna").head, SHARED_KEYS);
}

Test(store_contract, a_key_is_remembered_when_its_notification_has_left)
{
    struct store_target first = append_once("anna", "order-17", print_a);
    cr_assert_eq(ack_one(store, "anna", first.epoch, 1), ERR_OK);
    expect_duplicate(append_once("anna", "order-17", print_a), first);
    struct store_target second = append_once("anna", "order-18", print_a);
    cancel_one(store, "anna", second.epoch, second.seq);
    expect_duplicate(append_once("anna", "order-18", print_a), second);
    expect_inbox(store, "anna", "ac");
}

Test(store_contract, a_key_is_forgotten_after_its_window)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.idempotency_window_s = 3;
    store = backend_open(&config);
    struct store_target first = append_once("anna", "order-17", print_a);
    expect_duplicate(append_once("anna", "order-17", print_a), first);
    sleep_until_wall_ms(first.time_ms + 3200);
    struct store_target second = append_once("anna", "order-17", print_b);
    expect_first(second, 2);
    expect_duplicate(append_once("anna", "order-17", print_b), second);
}

Test(store_contract, takes_idempotency_keys_of_every_form)
{
    char longest[IDEMPOTENCY_KEY_MAX_BYTES + 1];
    memset(longest, 'k', IDEMPOTENCY_KEY_MAX_BYTES);
    longest[IDEMPOTENCY_KEY_MAX_BYTES] = '\0';
    const char *const keys[] = {longest, "a", "{a}", "a b:c", "\xc3\xa4\xe2\x82\xac", "*"};
    enum { KEYS = sizeof keys / sizeof *keys };
    struct store_target first[KEYS];
    for (int i = 0; i < KEYS; i++) {
        first[i] = append_once("anna", keys[i], print_a);
        expect_first(first[i], (uint64_t)i + 1);
    }
    for (int i = 0; i < KEYS; i++)
        expect_duplicate(append_once("anna", keys[i], print_a), first[i]);
}

Test(store_contract, a_repeat_does_not_collapse_what_came_after_it)
{
    struct store_target targets[3];
    static const char *const keys[] = {"order-17", "order-18", "order-17"};
    for (int i = 0; i < 3; i++) {
        targets[i] = (struct store_target){.user_id = SPAN_LITERAL("anna")};
        append_run(store, (struct store_append){.payload = payload_new_keyed(SPAN_LITERAL("{}"),
                                                                             SPAN_LITERAL("score")),
                                                .ttl_s = 60,
                                                .idempotency_key = span_of(keys[i]),
                                                .print = print_a,
                                                .n_targets = 1,
                                                .targets = &targets[i]});
    }
    expect_first(targets[1], 2);
    expect_duplicate(targets[2], targets[0]);
    expect_inbox(store, "anna", "l.");
}
