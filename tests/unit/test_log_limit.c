#include "gateway/base/log_limit.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "tests/support/captured_log.h"

#include <criterion/criterion.h>
#include <stdio.h>

static int64_t now_ms;

static int64_t wall_ms(void)
{
    return now_ms;
}

static int64_t monotonic_us(void)
{
    return now_ms * 1000;
}

static void setup(void)
{
    captured_log_begin();
    now_ms = 1000000;
    clock_replace(wall_ms, monotonic_us);
}

TestSuite(log_limit, .init = setup);

/* What was written since, from the first "event" on; empty: nothing. */
static const char *written(void)
{
    const char *text = captured_log_take();
    const char *event = strstr(text, "event");
    return event != NULL ? event : text;
}

static struct log_limit limit = LOG_LIMIT(1000);

static void refuse(const char *origin)
{
    log_limited(&limit, span_of(origin), LOG_INFO, "refused", LOG_TEXT("origin", origin));
}

Test(log_limit, writes_one_line_of_a_key_in_an_interval_and_then_says_how_many_there_were)
{
    for (int i = 0; i < 42; i++)
        refuse("a");
    cr_assert_str_eq(written(), "event=refused origin=a\n");
    now_ms += 999;
    refuse("a");
    cr_assert_str_eq(written(), "");
    cr_assert_eq(metrics_read(METRIC_LOG_LIMITED), 42);
    now_ms += 1;
    refuse("a");
    cr_assert_str_eq(written(), "event=refused origin=a suppressed=42\n");
    now_ms += 1000;
    refuse("a");
    cr_assert_str_eq(written(), "event=refused origin=a\n");
}

Test(log_limit, keeps_keys_and_limits_apart)
{
    static struct log_limit other = LOG_LIMIT(1000);
    refuse("a");
    refuse("b");
    log_limited(&other, span_of("a"), LOG_INFO, "else", LOG_INT("n", 1));
    cr_assert_eq(captured_log_count_lines(written()), 3);
}

/* Who makes up a new key for each line gets no more lines than the limit has keys. */
Test(log_limit, writes_no_more_lines_than_it_has_keys)
{
    char origin[16];
    for (int i = 0; i < LOG_LIMIT_KEYS + 100; i++) {
        snprintf(origin, sizeof origin, "o%d", i);
        refuse(origin);
    }
    cr_assert_eq(captured_log_count_lines(written()), LOG_LIMIT_KEYS);
    now_ms += 1000;
    refuse("new");
    cr_assert_str_eq(written(), "event=refused origin=new others=100\n");
}

Test(log_limit, tells_what_was_held_back_of_a_key_that_gave_way)
{
    char origin[16];
    for (int i = 0; i < LOG_LIMIT_KEYS; i++) {
        snprintf(origin, sizeof origin, "o%d", i);
        refuse(origin);
        refuse(origin);
    }
    written();
    now_ms += 1000;
    refuse("new");
    cr_assert_str_eq(written(), "event=refused origin=new others=1\n");
}

Test(log_limit, counts_nothing_below_the_level)
{
    log_set_level(LOG_WARN);
    refuse("a");
    refuse("a");
    cr_assert_str_eq(written(), "");
    cr_assert_eq(metrics_read(METRIC_LOG_LIMITED), 0);
}
