/* Collapse keys: a later notification takes the place of the one that still waits. */
#include "tests/store/contract_fixture.h"

Test(store_contract, a_collapse_key_replaces_the_one_that_waits)
{
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    append_number(store, "anna", 2, 60);
    cr_assert_eq(append_keyed(store, "anna", "3", "score").seq, 3, "no number is used twice");
    cr_assert_eq(append_keyed(store, "anna", "4", "news").seq, 4, "another key");
    expect_inbox(store, "anna", "l...");
    expect_fate(look_at(store, "anna", epoch, 1), FATE_GONE, GAP_COLLAPSED);
    cr_assert_eq(append_keyed(store, "anna", "5", "score").seq, 5);
    expect_inbox(store, "anna", "l.l..");
    cr_assert_eq(peek_one(store, "anna").pending, 3);
}

Test(store_contract, the_live_notification_names_the_number_that_it_replaces)
{
    arrive(store, "anna");
    append_number(store, "anna", 1, 60);
    append_keyed(store, "anna", "2", "score");
    append_keyed(store, "anna", "3", "score");
    append_keyed(store, "anna", "4", "score");
    static const uint64_t replaced[] = {0, 0, 2, 3};
    for (size_t i = 0; i < 4; i++) {
        struct recorded event = recorded_at("anna", i);
        cr_assert_eq(event.seq, i + 1);
        cr_assert_not(event.is_withdrawal);
        cr_assert_eq(event.replaces, replaced[i]);
    }
    cr_assert_eq(count_told("anna"), 4, "a replacement needs no withdrawal beside it");
}

/* Appends after the entry has left by itself: there is nothing to replace. */
static void expect_no_replacement(const char *user, uint64_t seq)
{
    size_t n = count_told(user);
    cr_assert_eq(append_keyed(store, user, "{}", "score").seq, seq);
    struct recorded event = recorded_at(user, n);
    cr_assert_eq(event.seq, seq);
    cr_assert_eq(event.replaces, 0, "%llu was replaced", (unsigned long long)event.replaces);
}

Test(store_contract, what_was_acknowledged_is_not_replaced)
{
    arrive(store, "anna");
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    recorded_at("anna", 0);
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    expect_no_replacement("anna", 2);
    expect_inbox(store, "anna", "a.");
    expect_fate(look_at(store, "anna", epoch, 1), FATE_DELIVERED, GAP_NONE);
}

Test(store_contract, what_was_cancelled_or_has_expired_is_not_replaced)
{
    arrive(store, "anna");
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    cancel_one(store, "anna", epoch, 1);
    recorded_at("anna", 1);
    expect_no_replacement("anna", 2);
    expect_inbox(store, "anna", "c.");

    arrive(store, "bert");
    struct store_target target = {.user_id = SPAN_LITERAL("bert")};
    struct payload *payload = payload_new_keyed(SPAN_LITERAL("1"), SPAN_LITERAL("score"));
    append_run(store, (struct store_append){
                          .payload = payload, .ttl_s = 1, .n_targets = 1, .targets = &target});
    recorded_at("bert", 0);
    sleep_until_wall_ms(target.expires_ms);
    expect_no_replacement("bert", 2);
    expect_inbox(store, "bert", "e.");
}

Test(store_contract, what_a_full_inbox_pushed_out_is_not_replaced)
{
    contract_open_with(2, 1 << 20);
    arrive(store, "anna");
    append_keyed(store, "anna", "1", "score");
    append_number(store, "anna", 2, 60);
    append_number(store, "anna", 3, 60);
    recorded_at("anna", 2);
    expect_no_replacement("anna", 4);
    expect_inbox(store, "anna", "oo..");
}

Test(store_contract, a_replacement_in_a_full_inbox_pushes_nothing_out)
{
    contract_open_with(3, 1 << 20);
    append_number(store, "anna", 1, 60);
    append_keyed(store, "anna", "2", "score");
    append_number(store, "anna", 3, 60);
    append_keyed(store, "anna", "4", "score");
    expect_inbox(store, "anna", ".l..");
}

Test(store_contract, each_user_has_collapse_keys_of_their_own)
{
    append_keyed(store, "anna", "1", "score");
    append_keyed(store, "bert", "1", "score");
    append_keyed(store, "bert", "2", "score");
    expect_inbox(store, "anna", ".");
    expect_inbox(store, "bert", "l.");
}

Test(store_contract, a_collapse_key_replaces_for_each_target_of_one_push)
{
    append_keyed(store, "anna", "1", "score");
    struct store_target targets[3] = {{.user_id = SPAN_LITERAL("anna")},
                                      {.user_id = SPAN_LITERAL("bert")},
                                      {.user_id = SPAN_LITERAL("bert")}};
    append_run(store, (struct store_append){
                          .payload = payload_new_keyed(SPAN_LITERAL("2"), SPAN_LITERAL("score")),
                          .ttl_s = 60,
                          .n_targets = 3,
                          .targets = targets});
    for (int i = 0; i < 3; i++)
        cr_assert_eq(targets[i].error, ERR_OK);
    expect_inbox(store, "anna", "l.");
    expect_inbox(store, "bert", "l.");
}

Test(store_contract, a_collapse_key_comes_back_with_the_page_byte_for_byte)
{
    char longest[COLLAPSE_KEY_MAX_BYTES + 1];
    memset(longest, 'k', COLLAPSE_KEY_MAX_BYTES);
    longest[COLLAPSE_KEY_MAX_BYTES] = '\0';
    const char *const keys[] = {longest, "a", "a b:c/%7B{}", "\xc3\xa4\xe2\x82\xac", ""};
    enum { KEYS = sizeof keys / sizeof *keys };
    for (int i = 0; i < KEYS; i++)
        append_keyed(store, "anna", "{\"n\":1}", keys[i]);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, KEYS);
    for (int i = 0; i < KEYS; i++) {
        struct span key = payload_key(page.notes[i]->payload);
        cr_assert(span_equal(key, span_of(keys[i])), "%.*s", (int)key.len, key.bytes);
        expect_text(page.notes[i], "{\"n\":1}");
    }
    page_free(&page);
    for (int i = 0; i < KEYS; i++) /* the key is compared whole */
        append_keyed(store, "anna", "{\"n\":2}", keys[i]);
    expect_inbox(store, "anna", "llll......");
}
