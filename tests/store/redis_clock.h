/* Changes the scripts on their way to Redis, so that they live by a clock that the test moves, and
 * the process with them. The test is linked with --wrap=redis_link_command, and says in
 * SCRIPT_CHANGES what else it wants changed: {"FROM", "TO"}, ... Behind
 * tests/store/redis_backend.h. */
#ifndef HERALD_TESTS_STORE_REDIS_CLOCK_H
#define HERALD_TESTS_STORE_REDIS_CLOCK_H

#include "gateway/stores/redis/redis_link.h"
#include "tests/support/skipped_clock.h"

struct script_change {
    const char *from, *to;
};
#ifndef SCRIPT_CHANGES
#define SCRIPT_CHANGES
#endif
static const struct script_change script_changes[] = {
    {"redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)"}, SCRIPT_CHANGES};

/* A text of its own, in place of one that was changed before. */
static struct span change(struct span text, struct script_change wanted)
{
    size_t cut = strlen(wanted.from);
    size_t put = strlen(wanted.to);
    const char *at = memmem(text.bytes, text.len, wanted.from, cut);
    if (at == NULL)
        return text;
    size_t before = (size_t)(at - text.bytes);
    char *changed = malloc(text.len - cut + put);
    cr_assert_not_null(changed);
    memcpy(changed, text.bytes, before);
    memcpy(changed + before, wanted.to, put);
    memcpy(changed + before + put, at + cut, text.len - before - cut);
    free((char *)text.bytes);
    return (struct span){changed, text.len - cut + put};
}

static atomic_int n_times_asked; /* by TIME */

/* On the lane's thread, before a command is given to its link; NULL: nothing. Set while the lane is
 * idle. */
__attribute__((unused)) static void (*before_command)(struct span name);

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    if (before_command != NULL)
        before_command(args[0]);
    if (span_equal(args[0], SPAN_LITERAL("TIME"))) {
        const struct span asked[] = {SPAN_LITERAL("LRANGE"), SPAN_LITERAL("clock"),
                                     SPAN_LITERAL("0"), SPAN_LITERAL("1")};
        atomic_fetch_add(&n_times_asked, 1);
        return __real_redis_link_command(link, asked, 4, on_reply, arg, index);
    }
    if (!span_equal(args[0], SPAN_LITERAL("SCRIPT")))
        return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
    char *text = malloc(args[2].len);
    cr_assert_not_null(text);
    memcpy(text, args[2].bytes, args[2].len);
    struct span load[] = {args[0], args[1], {text, args[2].len}};
    for (size_t i = 0; i < sizeof script_changes / sizeof script_changes[0]; i++)
        load[2] = change(load[2], script_changes[i]);
    enum err error = __real_redis_link_command(link, load, 3, on_reply, arg, index);
    free((char *)load[2].bytes);
    return error;
}

/* --- their clock --- */

/* Only that of Redis. It is never slow, so that Redis itself drops nothing too early. */
static void set_redis_clock(int64_t time_ms)
{
    char line[120];
    snprintf(line, sizeof line, "RPUSH clock %lld %lld", (long long)(time_ms / 1000),
             (long long)(time_ms % 1000 * 1000));
    redis_server_do(&server, "DEL clock");
    redis_server_do(&server, line);
}

/* Both. */
__attribute__((unused)) static void move_clock(int64_t by_ms)
{
    atomic_store(&set_wall_ms, read_wall_ms() + by_ms);
    set_redis_clock(read_wall_ms());
}

#endif
