/* How long a drain takes by itself, which depends on the store. */
#include "gateway/limits.h"

#include <criterion/criterion.h>

static uint32_t drain_ms(char *store, int64_t drain_time)
{
    struct options options = {.store = store, .drain_time = drain_time};
    return limits_drain_ms(&options);
}

Test(limits, a_fleet_drains_slowly_whatever_its_store_is_called)
{
    static char *const shared[] = {
        "redis://h:1",  "rediss://h:1",           "redis+unix:///s",   "redis+sentinel://h/n",
        "valkey://h:1", "valkeys+sentinel://h/n", "redis+cluster://h", "valkey+unix:///s",
    };
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        cr_expect_eq(drain_ms(shared[i], OPTION_AUTO), 30000, "%s", shared[i]);
    cr_expect_eq(drain_ms("memory:", OPTION_AUTO), 1000);
    cr_expect_eq(drain_ms("file:redis", OPTION_AUTO), 1000);
    cr_expect_eq(drain_ms("valkey://h:1", 5), 5);
}
