/* What requests cost on a full partition, in entries visited: as much as on an empty one. */
#include "gateway/stores/memory/store_memory.h"
#include "tests/store/event_calls.h"

#include "gateway/stores/local/partition.h"
#include "gateway/stores/local/store_local.h"

#include <stdlib.h>

enum { EVENTS_MAX = 6250, TTL_S = 60 };

static int64_t clock_ms;
static struct store *twin;

static int64_t now_ms(void *unused)
{
    (void)unused;
    return clock_ms;
}

static void setup(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    clock_ms = 1700000000000;
    struct store_config config = {.inbox_max = 10,
                                  .inbox_max_bytes = 1000,
                                  .events_max = EVENTS_MAX,
                                  .events_max_bytes = 16 << 20,
                                  .event_ttl_s = TTL_S,
                                  .alerts_max = 10};
    cr_assert_eq(store_memory_open_unthreaded(&config, (struct store_clock){now_ms, NULL}, &twin),
                 ERR_OK);
}

static void teardown(void)
{
    store_close(twin);
}

TestSuite(partition, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

static void on_done(struct store_request *request)
{
    (void)request;
}

static uint64_t append_one_event(void)
{
    struct span event = SPAN_LITERAL("{\"type\":\"user.online\"}");
    struct store_event_append append = {.request.on_done = on_done, .n = 1, .events = &event};
    uint64_t before = partition_steps;
    store_event_append(twin, &append);
    store_local_turn(twin);
    cr_assert_eq(append.error, ERR_OK);
    return partition_steps - before;
}

static struct store_consumers ask(struct store_consumers asked)
{
    asked.request.on_done = on_done;
    store_consumers(twin, &asked);
    store_local_turn(twin);
    cr_assert_eq(asked.error, ERR_OK);
    return asked;
}

/* Each expires at a time of its own. */
static void fill(void)
{
    ask((struct store_consumers){.action = CONSUMERS_ADD, .key = SPAN_LITERAL("pa")});
    for (int i = 0; i < EVENTS_MAX; i++) {
        append_one_event();
        clock_ms += i % 4 == 0;
    }
    cr_assert_eq(ask((struct store_consumers){0}).count, EVENTS_MAX);
}

Test(partition, an_append_to_a_full_one_visits_what_it_adds_and_drops)
{
    fill();
    for (int i = 0; i < 1000; i++)
        cr_assert_leq(append_one_event(), 2);
    cr_assert_eq(ask((struct store_consumers){0}).count, EVENTS_MAX);
}

/* Once a second, from the low end. */
Test(partition, a_walk_over_what_has_expired_is_short)
{
    fill();
    clock_ms += TTL_S * 1000;
    size_t left = EVENTS_MAX;
    for (int second = 0; left > 0; second++) {
        cr_assert_lt(second, 60, "an event stays for a minute longer at most");
        uint64_t before = partition_steps;
        store_local_turn(twin);
        size_t count = ask((struct store_consumers){0}).count;
        /* the ring is moved when it shrinks to half, as often as it had doubled */
        cr_assert_leq(left - count, 256);
        cr_assert_leq(partition_steps - before, 256 + 2 * left);
        left = count;
        clock_ms += 1000;
    }
}

/* Late by more than half a minute: each that comes takes two with it. */
Test(partition, appends_catch_up_with_what_is_late)
{
    fill();
    clock_ms += 2 * TTL_S * 1000;
    store_local_turn(twin); /* the walk of this second */
    size_t count = ask((struct store_consumers){0}).count;
    for (int i = 0; i < 100; i++)
        append_one_event();
    cr_assert_eq(ask((struct store_consumers){0}).count, count - 100);
}

Test(partition, a_page_visits_what_it_shows)
{
    fill();
    struct store_page page = {.request.on_done = on_done,
                              .user_id = store_partition_user(0),
                              .after = EVENTS_MAX / 2,
                              .max_count = 10,
                              .max_bytes = UINT32_MAX};
    uint64_t before = partition_steps;
    store_page(twin, &page);
    store_local_turn(twin);
    cr_assert_eq(page.n_notes, 10);
    cr_assert_leq(partition_steps - before, 10);
    store_page_clear(&page);
}
