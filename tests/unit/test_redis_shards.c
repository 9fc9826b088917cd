/* The shards of a lane as redirections open them and time closes them: a lane without Redis, whose
 * clock the test moves. */
#include "gateway/stores/redis/redis_shards.h"

#include "gateway/base/clock.h"
#include "gateway/stores/redis/redis_repeats.h"

#include <criterion/criterion.h>

static struct reactor *reactor;
static struct redis_common common;
static struct redis_subs subs;
static struct redis_repeats repeats;
static struct redis_shards shards;
static struct redis_commands asked; /* who redirects */
static int64_t now_us = INT64_C(3600) * 1000000;

static int64_t wall_ms(void)
{
    return INT64_C(1700000000000) + now_us / 1000;
}

static int64_t monotonic_us(void)
{
    return now_us;
}

static void turn_at(int64_t s)
{
    now_us = (3600 + s) * 1000000;
    for (int i = 0; i < 3; i++)
        reactor_turn(reactor, 0);
}

static void ignore_shard(struct redis_shard *shard)
{
    (void)shard;
}

static void prepare_shard(void *owner, struct redis_shard *shard)
{
    (void)owner;
    shard->on_up = ignore_shard;
    shard->on_down = ignore_shard;
    shard->on_heard = ignore_shard;
    shard->commands.repeats = &repeats;
}

static void ignore_move(void *owner)
{
    (void)owner;
}

static void set_up(void)
{
    char why[200];
    struct redis_address address = {.host = "127.0.0.1", .port = 9};
    clock_replace(wall_ms, monotonic_us);
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    struct store_config config = {.url = "redis+cluster://127.0.0.1:9",
                                  .redis_prefix = "herald",
                                  .lanes = &reactor,
                                  .n_lanes = 1};
    cr_assert_eq(redis_common_init(&common, &config, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(redis_cluster_new(&common, reactor, &common.cluster), ERR_OK);
    cr_assert_eq(redis_subs_init(&subs, &common), ERR_OK);
    repeats.common = &common;
    cr_assert_eq(redis_repeats_init(&repeats, reactor), ERR_OK);
    shards = (struct redis_shards){.common = &common,
                                   .reactor = reactor,
                                   .subs = &subs,
                                   .prepare = prepare_shard,
                                   .on_moved = ignore_move};
    cr_assert_eq(redis_shards_init(&shards), ERR_OK);
    asked.primary = redis_primary_open(&common, &address, NULL);
}

static void tear_down(void)
{
    redis_primary_close(asked.primary);
    redis_repeats_stop(&repeats);
    redis_shards_stop(&shards);
    redis_subs_fini(&subs);
    redis_shards_fini(&shards);
    redis_repeats_fini(&repeats);
    redis_cluster_free(common.cluster);
    redis_common_fini(&common);
    reactor_free(reactor);
}

TestSuite(redis_shards, .init = set_up, .fini = tear_down);

static unsigned count_shards(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < subs.n_shards; i++)
        n += subs.shards[i] != NULL;
    return n;
}

Test(redis_shards, an_ask_opens_a_shard_that_goes_when_it_was_long_unused)
{
    turn_at(0);
    cr_assert_eq(count_shards(), 1, "that of nobody's slots");
    struct redis_commands *there = redis_shards_redirect(&shards, &asked, "ASK 7 127.0.0.1:7");
    cr_assert_not_null(there);
    cr_assert_eq(there->primary->address.port, 7);
    cr_assert_eq(redis_shards_redirect(&shards, &asked, "ASK 8 127.0.0.1:7"), there);
    cr_assert_eq(count_shards(), 2);
    turn_at(REDIS_UNUSED_MS / 1000 - 1);
    cr_assert_eq(count_shards(), 2);
    turn_at(REDIS_UNUSED_MS / 1000 + REDIS_LOOK_UNUSED_MS / 1000);
    cr_assert_eq(count_shards(), 1);
}

/* A request that was sent there holds a pointer to it. */
Test(redis_shards, an_ask_keeps_a_shard_that_was_about_to_go)
{
    turn_at(0);
    struct redis_commands *there = redis_shards_redirect(&shards, &asked, "ASK 7 127.0.0.1:7");
    turn_at(REDIS_UNUSED_MS / 1000 - 1);
    cr_assert_eq(redis_shards_redirect(&shards, &asked, "ASK 7 127.0.0.1:7"), there);
    turn_at(REDIS_UNUSED_MS / 1000 + REDIS_LOOK_UNUSED_MS / 1000);
    cr_assert_eq(count_shards(), 2);
    turn_at(2 * REDIS_UNUSED_MS / 1000 + REDIS_LOOK_UNUSED_MS / 1000);
    cr_assert_eq(count_shards(), 1);
}

Test(redis_shards, what_is_no_redirection_opens_nothing)
{
    static const char *const errors[] = {
        "ASK 7 ?:7", "ASK 16384 127.0.0.1:7", "ASK 7", "MOVED 7 127.0.0.1:7", "TRYAGAIN", "",
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        cr_assert_null(redis_shards_redirect(&shards, &asked, errors[i]), "%s", errors[i]);
    cr_assert_eq(count_shards(), 1);
}

/* A lane has so many, whatever a server says. */
Test(redis_shards, there_are_never_more_than_there_is_room_for)
{
    char error[40];
    for (unsigned port = 1; port <= REDIS_SHARDS_MAX + 5; port++) {
        snprintf(error, sizeof error, "ASK 7 127.0.0.1:%u", port);
        const struct redis_commands *there = redis_shards_redirect(&shards, &asked, error);
        cr_assert_eq(there != NULL, port < REDIS_SHARDS_MAX, "%u", port);
    }
    cr_assert_eq(count_shards(), REDIS_SHARDS_MAX);
}
