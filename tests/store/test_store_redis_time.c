/* A node whose clock is wrong uses the time that Redis reports. */
#include "tests/store/redis_backend.h"

#include "tests/store/redis_clock.h"

enum { HOUR_MS = 3600000, NEAR_MS = 60000 };

/* In these tests the clock of Redis stands still, and the node's advances. */
static void wait_for_time(int64_t time_ms)
{
    int64_t ahead_ms = 0;
    for (int i = 0; i < SOON_MS / 5; i++) {
        ahead_ms = store_now_ms(store) - time_ms;
        if (ahead_ms >= 0 && ahead_ms < NEAR_MS)
            return;
        pause_ms(5);
    }
    cr_assert_fail("the store's clock is %lld ms ahead of Redis's", (long long)ahead_ms);
}

static void break_links(void)
{
    redis_server_do(&server, "CLIENT KILL TYPE normal");
}

static int64_t set_ahead(int64_t by_ms)
{
    int64_t time_ms = read_wall_ms() + by_ms;
    set_redis_clock(time_ms);
    return time_ms;
}

Test(store_redis, its_clock_is_that_of_redis_as_soon_as_a_link_is_up)
{
    int64_t time_ms = set_ahead(HOUR_MS);
    break_links();
    wait_for_time(time_ms);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 1);
    cr_assert_gt(page.notes[0]->expires_ms, store_now_ms(store));
    page_free(&page);
}

Test(store_redis, a_clock_that_was_set_back_is_believed)
{
    int64_t time_ms = set_ahead(2 * HOUR_MS);
    break_links();
    wait_for_time(time_ms);
    time_ms = set_ahead(HOUR_MS);
    break_links();
    wait_for_time(time_ms);
}

Test(store_redis, a_notification_carries_the_time)
{
    set_ahead(0);
    arrive(store, "anna");
    int64_t time_ms = set_ahead(HOUR_MS);
    append_number(store, "anna", 0, 60);
    wait_for_notification("anna", 1);
    wait_for_time(time_ms);
    static char big[20 << 10];
    memset(big, ' ', sizeof big);
    big[0] = '1';
    time_ms = set_ahead(2 * HOUR_MS);
    cr_assert_eq(append_span(store, "anna", (struct span){big, sizeof big}, 60).error, ERR_OK);
    wait_for_missed(1);
    wait_for_time(time_ms);
}

/* Whoever may publish there could have everything of the node expire. */
Test(store_redis, a_notification_with_a_time_that_is_not_redis_s_moves_no_clock)
{
    int64_t time_ms = set_ahead(HOUR_MS);
    break_links();
    wait_for_time(time_ms);
    wait_for_state(true);
    arrive(store, "anna");
    arrive(store, "bert");
    int asked = atomic_load(&n_times_asked);
    char forged[160];
    snprintf(forged, sizeof forged,
             "SPUBLISH herald:{anna} M:aaaaaaaa:7:%lld:9999999999999:0:0:0:{}",
             (long long)(time_ms + 240 * (int64_t)HOUR_MS));
    redis_server_do(&server, forged);
    wait_for_notification("anna", 7);
    for (int i = 0; i < SOON_MS / 5 && atomic_load(&n_times_asked) == asked; i++)
        pause_ms(5);
    cr_assert_gt(atomic_load(&n_times_asked), asked);
    cr_assert_lt(store_now_ms(store), time_ms + NEAR_MS);
    append_number(store, "bert", 0, 60);
    wait_for_notification("bert", 1);
}

Test(store_redis, the_time_is_asked_each_minute)
{
    int64_t time_ms = set_ahead(HOUR_MS);
    int asked = atomic_load(&n_times_asked);
    atomic_fetch_add(&skipped_us, INT64_C(59000000));
    pause_ms(50);
    atomic_fetch_add(&skipped_us, INT64_C(1500000));
    wait_for_time(time_ms);
    cr_assert_gt(atomic_load(&n_times_asked), asked);
}
