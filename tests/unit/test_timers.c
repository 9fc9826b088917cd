/* The timer wheel: never early, hardly late, far ahead, after a stall, and many at once. */
#include "gateway/net/timers.h"

#include <criterion/criterion.h>

struct probe {
    struct timer timer;
    int fired;
    struct timers *timers;
    int64_t again_ms; /* sets itself again for then */
};

static void on_due(struct timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);
    probe->fired++;
    if (probe->again_ms != 0)
        timer_set(probe->timers, timer, probe->again_ms);
}

static struct timers *make(int64_t now_ms)
{
    struct timers *timers;
    cr_assert_eq(timers_new(now_ms, &timers), ERR_OK);
    return timers;
}

Test(timers, never_fire_early_and_at_most_a_slot_late)
{
    struct timers *timers = make(1000);
    for (int64_t due = 1001; due < 1200; due += 7) {
        struct probe probe = {0};
        timer_init(&probe.timer, on_due);
        struct timers *wheel = make(1000);
        timer_set(wheel, &probe.timer, due);
        for (int64_t now = 1000; now < due; now++) {
            timers_fire(wheel, now);
            cr_assert_eq(probe.fired, 0, "due %d fired at %d", (int)due, (int)now);
        }
        timers_fire(wheel, due + TIMER_SLOT_MS);
        cr_assert_eq(probe.fired, 1);
        timers_free(wheel);
    }
    timers_free(timers);
}

Test(timers, wait_until_the_next_one_and_for_ever_without_any)
{
    struct timers *timers = make(0);
    struct probe probe = {0};
    timer_init(&probe.timer, on_due);
    cr_assert_eq(timers_wait_ms(timers, 0), -1);
    timer_set(timers, &probe.timer, 160);
    cr_assert_eq(timers_wait_ms(timers, 0), 160);
    cr_assert_eq(timers_wait_ms(timers, 100), 60);
    cr_assert_eq(timers_wait_ms(timers, 500), 0);
    timer_cancel(timers, &probe.timer);
    timers_fire(timers, 500);
    cr_assert_eq(probe.fired, 0);
    cr_assert_eq(timers_wait_ms(timers, 500), -1);
    timers_free(timers);
}

Test(timers, beyond_a_turn_of_the_wheel_wait_for_their_turn)
{
    struct timers *timers = make(0);
    struct probe probe = {0};
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, 40000);
    for (int64_t now = 0; now < 40000; now += 16)
        timers_fire(timers, now);
    cr_assert_eq(probe.fired, 0);
    timers_fire(timers, 40000 + TIMER_LATEST_MS);
    cr_assert_eq(probe.fired, 1);
    timers_free(timers);
}

Test(timers, fire_once_after_a_long_stall)
{
    struct timers *timers = make(0);
    struct probe probes[50] = {0};
    for (int i = 0; i < 50; i++) {
        timer_init(&probes[i].timer, on_due);
        timer_set(timers, &probes[i].timer, i * 997);
    }
    while (timers_wait_ms(timers, 10 * 1000 * 1000) == 0)
        timers_fire(timers, 10 * 1000 * 1000);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(probes[i].fired, 1);
    timers_free(timers);
}

Test(timers, of_many_that_are_due_some_fire_at_a_time_and_the_oldest_first)
{
    enum { MANY = 3 * TIMERS_AT_ONCE };
    struct timers *timers = make(0);
    struct probe probes[MANY] = {0};
    for (int i = 0; i < MANY; i++) {
        timer_init(&probes[i].timer, on_due);
        timer_set(timers, &probes[i].timer, 16 + i / TIMERS_AT_ONCE * TIMER_SLOT_MS);
    }
    timers_fire(timers, 1000);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(probes[i].fired, i < TIMERS_AT_ONCE);
    cr_expect_eq(timers_wait_ms(timers, 1000), 0);

    timer_cancel(timers, &probes[MANY - 1].timer); /* while it is due */
    timer_set(timers, &probes[MANY - 2].timer, 5000);
    timers_fire(timers, 1000);
    timers_fire(timers, 1000);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(probes[i].fired, i < MANY - 2);
    cr_expect_gt(timers_wait_ms(timers, 1000), 0);
    timers_fire(timers, 5000 + TIMER_LATEST_MS);
    cr_expect_eq(probes[MANY - 2].fired, 1);
    cr_expect_eq(probes[MANY - 1].fired, 0);
    timers_free(timers);
}

Test(timers, may_set_themselves_again_inside_their_callback)
{
    struct timers *timers = make(0);
    struct probe probe = {.timers = timers, .again_ms = 32};
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, 16);
    timers_fire(timers, 16);
    cr_assert_eq(probe.fired, 1);
    probe.again_ms = 0;
    timers_fire(timers, 64);
    cr_assert_eq(probe.fired, 2);
    cr_assert(!timer_is_set(&probe.timer));
    timers_free(timers);
}

/* Looked at each millisecond. */
static int64_t late_by(int64_t wait_ms)
{
    struct timers *timers = make(1000);
    struct probe probe = {0};
    int64_t now_ms = 1000;
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, 1000 + wait_ms);
    while (probe.fired == 0 && now_ms < 1000 + wait_ms + 1000)
        timers_fire(timers, ++now_ms);
    timers_free(timers);
    return now_ms - (1000 + wait_ms);
}

Test(timers, are_late_by_a_64th_of_their_time_at_most)
{
    for (int64_t wait_ms = 1; wait_ms < 40000; wait_ms += 37) {
        int64_t late_ms = late_by(wait_ms);
        int64_t most_ms = wait_ms / 64 > TIMER_SLOT_MS ? wait_ms / 64 : TIMER_SLOT_MS;
        cr_assert_geq(late_ms, 0, "of %d ms", (int)wait_ms);
        cr_assert_leq(late_ms, most_ms + TIMER_SLOT_MS, "of %d ms", (int)wait_ms);
        cr_assert_leq(late_ms, TIMER_LATEST_MS, "of %d ms", (int)wait_ms);
    }
}

/* As the pings of many idle connections are: each at a time of its own, all of them seconds ahead.
 */
Test(timers, that_are_far_ahead_share_their_wake_ups)
{
    enum { MANY = 1000, SPREAD_MS = 10000 };
    static struct probe probes[MANY];
    struct timers *timers = make(0);
    int n_wakes = 0;
    int wait_ms;
    for (int i = 0; i < MANY; i++) {
        timer_init(&probes[i].timer, on_due);
        timer_set(timers, &probes[i].timer, SPREAD_MS + i * SPREAD_MS / MANY);
    }
    for (int64_t now_ms = 0; (wait_ms = timers_wait_ms(timers, now_ms)) >= 0; n_wakes++) {
        now_ms += wait_ms;
        timers_fire(timers, now_ms);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(probes[i].fired, 1);
    cr_expect_leq(n_wakes, 2 * SPREAD_MS / TIMER_LATEST_MS + 2);
    timers_free(timers);
}

Test(timers, beyond_the_most_days_fire_then_and_not_at_once)
{
    const int64_t day_ms = 86400000;
    struct timers *timers = make(0);
    struct probe probe = {0};
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, 10000 * day_ms);
    cr_assert(timer_is_later(&probe.timer, (TIMER_MOST_DAYS - 1) * day_ms));
    timers_fire(timers, (TIMER_MOST_DAYS - 1) * day_ms);
    cr_assert_eq(probe.fired, 0);
    timers_fire(timers, (TIMER_MOST_DAYS + 1) * day_ms);
    cr_assert_eq(probe.fired, 1);
    timers_free(timers);
}

Test(timers, work_while_the_number_of_the_slot_wraps)
{
    const int64_t wraps_ms = (INT64_C(1) << 32) * TIMER_SLOT_MS;
    struct timers *timers = make(wraps_ms - 30000);
    struct probe probe = {0};
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, wraps_ms + 30000);
    cr_assert(timer_is_later(&probe.timer, wraps_ms - 1000));
    cr_assert(timer_is_later(&probe.timer, wraps_ms + 29000));
    cr_assert(!timer_is_later(&probe.timer, wraps_ms + 30000));
    for (int64_t now = wraps_ms - 30000; now < wraps_ms + 30000; now += 1000)
        timers_fire(timers, now);
    cr_assert_eq(probe.fired, 0);
    timers_fire(timers, wraps_ms + 30000 + TIMER_LATEST_MS);
    cr_assert_eq(probe.fired, 1);
    timers_free(timers);
}

Test(timers, leave_alone_what_is_the_owners)
{
    struct timers *timers = make(0);
    struct probe probe = {.timer = {.owned = 7}};
    timer_init(&probe.timer, on_due);
    timer_set(timers, &probe.timer, 160);
    timers_fire(timers, 160 + TIMER_SLOT_MS);
    cr_assert_eq(probe.timer.owned, 7);
    timers_free(timers);
}
