/* A subscription link that brings nothing any more, while both links are up. */
#include "tests/store/redis_backend.h"

#include "gateway/stores/redis/redis_link.h"

enum { QUIET_S = 10, WAIT_S = 2, TICKS_S = 3 };

/* ---- what goes wrong on the way to Redis ---- */

static atomic_bool is_deaf;      /* who is subscribed now is subscribed to another channel */
static atomic_bool is_swallowed; /* a probe is answered, and goes nowhere */
static atomic_int n_probes;

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    const struct span elsewhere[] = {args[0], SPAN_LITERAL("herald:{nobody}")};
    const struct span counted[] = {SPAN_LITERAL("INCR"), SPAN_LITERAL("probes")};
    bool is_of_anna = n_args > 1 && memmem(args[1].bytes, args[1].len, "{anna}", 6) != NULL;
    if (is_of_anna && span_equal(args[0], SPAN_LITERAL("SSUBSCRIBE")) &&
        atomic_exchange(&is_deaf, false))
        return __real_redis_link_command(link, elsewhere, 2, on_reply, arg, index);
    if (is_of_anna && span_equal(args[0], SPAN_LITERAL("SPUBLISH"))) {
        atomic_fetch_add(&n_probes, 1);
        if (atomic_exchange(&is_swallowed, false))
            return __real_redis_link_command(link, counted, 2, on_reply, arg, index);
    }
    return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
}

/* ---- time ---- */

static _Atomic int64_t skipped_us;

static int64_t read_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t read_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&skipped_us);
}

__attribute__((constructor)) static void take_the_clock(void)
{
    clock_replace(read_wall_ms, read_monotonic_us);
}

/* Each second has the time for what Redis answers in it. */
static void pass_seconds(int n)
{
    for (int i = 0; i < n; i++) {
        atomic_fetch_add(&skipped_us, 1000000);
        peek_one(store, "nobody");
        pause_ms(20);
    }
}

static int64_t n_failed(void)
{
    return metrics_read(METRIC_STORE_PROBES_FAILED);
}

/* ---- what is found ---- */

Test(store_redis, a_quiet_link_that_brings_its_probes_stays)
{
    arrive(store, "anna");
    int64_t before = n_failed();
    pass_seconds(3 * (QUIET_S + TICKS_S));
    cr_expect_geq(atomic_load(&n_probes), 2);
    cr_expect_leq(atomic_load(&n_probes), 4);
    cr_expect_eq(n_failed(), before);
    cr_expect_eq(atomic_load(&n_missed), 0);
}

Test(store_redis, a_link_without_users_is_not_probed)
{
    arrive(store, "anna");
    backend_leave(store, 0, SPAN_LITERAL("anna"));
    pass_seconds(QUIET_S + TICKS_S);
    cr_expect_eq(atomic_load(&n_probes), 0);
}

Test(store_redis, a_link_that_is_not_subscribed_at_redis_is_made_anew)
{
    atomic_store(&is_deaf, true);
    arrive(store, "anna");
    cr_assert_eq(append_one(store, "anna", "{}", 600).nodes, 0);
    int64_t before = n_failed();
    pass_seconds(QUIET_S + TICKS_S);
    wait_for_missed(1);
    cr_expect_eq(n_failed(), before + 1);
    cr_expect_eq(append_one(store, "anna", "{}", 600).nodes, 1);
    wait_for_notification("anna", 2);
}

Test(store_redis, a_link_on_which_nothing_comes_is_made_anew)
{
    arrive(store, "anna");
    atomic_store(&is_swallowed, true);
    int64_t before = n_failed();
    pass_seconds(QUIET_S + WAIT_S + TICKS_S);
    wait_for_missed(1);
    cr_expect_eq(n_failed(), before + 1);
    append_number(store, "anna", 0, 600);
    wait_for_notification("anna", 1);
}
