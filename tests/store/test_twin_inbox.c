/* What only time shows of an inbox: the memory store without a thread, on a clock of the test's. */
#include "gateway/base/metrics.h"
#include "tests/store/twin_store.h"

static const int64_t day_ms = (int64_t)24 * 3600 * 1000;

static void twin_open(void)
{
    twin_open_with(
        (struct store_config){.inbox_max = 1000, .inbox_max_bytes = 1 << 20, .idempotency_max = 3});
}

TestSuite(store_twin_inbox, .init = twin_open, .fini = twin_close, .timeout = STORE_TEST_TIMEOUT_S);

static struct store_target twin_append(const char *key)
{
    struct append_call call;
    call.target = (struct store_target){.user_id = SPAN_LITERAL("anna")};
    append_start(twin, &call,
                 (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                       .ttl_s = 30 * 24 * 3600,
                                       .idempotency_key = span_of(key),
                                       .n_targets = 1,
                                       .targets = &call.target});
    store_local_turn(twin);
    append_end(&call);
    return call.target;
}

static struct store_page twin_page(const char *device, bool is_arrival)
{
    struct page_call call = {.page = page_asked("anna")};
    call.page.device = span_of(device);
    call.page.is_arrival = is_arrival;
    call.page.from_acked = true;
    page_start(twin, &call);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.page.error, ERR_OK);
    return call.page;
}

static void twin_arrive(const char *device)
{
    struct store_page page = twin_page(device, true);
    page_free(&page);
}

static void twin_ack(const char *device, struct epoch epoch, uint64_t seq)
{
    struct ack_call call = {.ack = {.user_id = SPAN_LITERAL("anna"),
                                    .device = span_of(device),
                                    .epoch = epoch,
                                    .seq = seq}};
    ack_start(twin, &call);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.ack.error, ERR_OK);
}

static struct store_peek twin_peek(void)
{
    struct peek_call call;
    peek_begin(twin, &call, "anna");
    store_local_turn(twin);
    call_wait(&call.call);
    return call.peek;
}

static void pass_days(int days)
{
    for (int day = 0; day < days; day++) {
        fake_ms += day_ms;
        store_local_turn(twin);
    }
}

Test(store_twin_inbox, a_device_is_forgotten_30_days_after_it_was_seen)
{
    struct epoch epoch = twin_append("").epoch;
    twin_append("");
    twin_arrive("phone");
    twin_arrive("tablet");
    twin_ack("tablet", epoch, 1);
    pass_days(29);
    twin_ack("tablet", epoch, 2);
    cr_assert_eq(twin_peek().acked, 0, "the phone is waited for");
    pass_days(2);
    twin_ack("tablet", epoch, 2);
    cr_assert_eq(twin_peek().acked, 2, "no longer");
    cr_assert_eq(twin_peek().pending, 0);
    struct store_page page = twin_page("phone", true);
    cr_assert_eq(page.position, 2, "it begins anew");
    page_free(&page);
}

Test(store_twin_inbox, an_arrival_or_an_acknowledgement_keeps_a_device)
{
    struct epoch epoch = twin_append("").epoch;
    twin_append("");
    twin_append("");
    twin_arrive("phone");
    twin_arrive("tablet");
    pass_days(20);
    twin_arrive("phone");
    twin_ack("tablet", epoch, 1);
    pass_days(20);
    twin_append("");
    cr_assert_eq(twin_peek().acked, 0, "the phone is waited for");
    twin_ack("phone", epoch, 3);
    cr_assert_eq(twin_peek().acked, 1, "and the tablet");
}

Test(store_twin_inbox, without_its_last_device_a_user_has_the_shared_position_again)
{
    struct epoch epoch = twin_append("").epoch;
    twin_append("");
    twin_arrive("phone");
    pass_days(20);
    twin_ack("", epoch, 1);
    cr_assert_eq(twin_peek().acked, 0);
    pass_days(11);
    twin_ack("", epoch, 1);
    cr_assert_eq(twin_peek().acked, 1);
    struct store_page page = twin_page("", false);
    cr_assert_not(page.has_devices);
    page_free(&page);
}

Test(store_twin_inbox, a_user_that_is_forgotten_leaves_no_device)
{
    struct epoch epoch = twin_append("").epoch;
    twin_arrive("phone");
    twin_ack("phone", epoch, 1);
    pass_days(33);
    cr_assert(epoch_is_none(twin_peek().epoch));
    struct store_target got = twin_append("");
    cr_assert_eq(got.seq, 1);
    struct store_page page = twin_page("", false);
    cr_assert_not(page.has_devices);
    cr_assert_not(epoch_equal(page.epoch, epoch));
    page_free(&page);
}

Test(store_twin_inbox, a_key_is_remembered_for_its_window)
{
    struct store_target first = twin_append("order-17");
    fake_ms += 3600 * 1000 - 1000;
    store_local_turn(twin);
    struct store_target repeat = twin_append("order-17");
    cr_assert(repeat.is_duplicate);
    cr_assert_eq(repeat.time_ms, first.time_ms);
    cr_assert_eq(repeat.seq, 1);
    fake_ms += 2000; /* a repeat does not prolong it */
    store_local_turn(twin);
    struct store_target second = twin_append("order-17");
    cr_assert_not(second.is_duplicate);
    cr_assert_eq(second.seq, 2);
}

Test(store_twin_inbox, beyond_the_ceiling_the_oldest_keys_are_forgotten_and_counted)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    uint64_t before = (uint64_t)metrics_read(METRIC_KEYS_FORGOTTEN);
    for (int i = 0; i < 5; i++) {
        twin_append(keys[i]);
        store_local_turn(twin); /* a key of the turn's own stays for that turn */
    }
    cr_assert_eq((uint64_t)metrics_read(METRIC_KEYS_FORGOTTEN) - before, 2);
    for (int i = 2; i < 5; i++)
        cr_assert(twin_append(keys[i]).is_duplicate, "%s is among the latest three", keys[i]);
    cr_assert_not(twin_append("a").is_duplicate);
}

Test(store_twin_inbox, a_key_whose_window_is_over_is_not_counted_as_forgotten)
{
    uint64_t before = (uint64_t)metrics_read(METRIC_KEYS_FORGOTTEN);
    twin_append("a");
    fake_ms += 3601 * 1000;
    store_local_turn(twin);
    cr_assert_not(twin_append("a").is_duplicate);
    cr_assert_eq((uint64_t)metrics_read(METRIC_KEYS_FORGOTTEN), before);
}
