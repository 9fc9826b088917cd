/* What the message says is not taken as it is: it makes a round, which compares the epochs. So one
 * Sentinel alone moves nobody. */
#include "gateway/stores/redis/redis_sentinel_watch.h"

#include "gateway/stores/redis/redis_link.h"

#include <stdlib.h>

enum { LOOK_AGAIN_MS = 60000 };

struct redis_sentinel_watch {
    struct redis_resolver resolver; /* first; of the link: one Sentinel after the other */
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_sentinel_round *round;
    struct redis_link *link;
    unsigned next; /* among those that are known */
    struct timer minute;
};

/* ---- which Sentinel ---- */

static void choose_sentinel(struct redis_resolver *resolver, struct redis_asker *asker)
{
    struct redis_sentinel_watch *watch =
        CONTAINER_OF(resolver, struct redis_sentinel_watch, resolver);
    struct redis_sentinel_list list;
    redis_sentinels_list(&watch->common->sentinels, &list);
    asker->on_address(asker, &list.addresses[watch->next++ % list.n], NULL);
}

static void forget_nothing(struct redis_resolver *resolver, struct redis_asker *asker)
{
    (void)resolver;
    (void)asker;
}

static bool never_moves(struct redis_resolver *resolver, const struct redis_address *address)
{
    (void)resolver;
    (void)address;
    return false;
}

/* ---- what it says ---- */

/* Without the subscription the rounds of each minute find out. */
static void ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

/* What was said while there was no subscription is made good. */
static void on_watch_up(void *owner)
{
    struct redis_sentinel_watch *watch = owner;
    struct span args[] = {SPAN_LITERAL("SUBSCRIBE"), SPAN_LITERAL("+switch-master")};
    if (redis_link_command(watch->link, args, 2, ignore_reply, NULL, 0) != ERR_OK) {
        redis_link_break(watch->link, "out of memory");
        return;
    }
    redis_link_accept(watch->link);
    watch->next = 0;
    redis_sentinel_round_look(watch->round, false);
}

static void on_watch_down(void *owner, bool was_up, const char *why)
{
    (void)owner;
    (void)was_up;
    (void)why;
}

static bool is_message(void *owner, const struct redis_value *value,
                       const struct redis_waiting *oldest)
{
    struct span kind;
    (void)owner;
    (void)oldest;
    return redis_value_text(redis_value_item(value, 0), &kind) &&
           span_equal(kind, SPAN_LITERAL("message"));
}

/* NAME, the old host and port, the new ones. */
static void on_switch(void *owner, const struct redis_value *push)
{
    struct redis_sentinel_watch *watch = owner;
    struct span text;
    struct span name = span_of(watch->common->url.master_name);
    if (redis_value_text(redis_value_item(push, 2), &text) && text.len > name.len &&
        text.bytes[name.len] == ' ' && memcmp(text.bytes, name.bytes, name.len) == 0)
        redis_sentinel_round_look(watch->round, false);
}

static void on_minute(struct timer *timer)
{
    struct redis_sentinel_watch *watch = CONTAINER_OF(timer, struct redis_sentinel_watch, minute);
    redis_sentinel_round_look(watch->round, true);
    timer_set(reactor_timers(watch->reactor), timer,
              reactor_now_ms(watch->reactor) + LOOK_AGAIN_MS);
}

/* ---- made and freed ---- */

enum err redis_sentinel_watch_new(struct redis_common *common, struct reactor *reactor,
                                  struct redis_sentinel_round *round,
                                  struct redis_sentinel_watch **ret_watch)
{
    struct redis_sentinel_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return ERR_NO_MEMORY;
    watch->resolver = (struct redis_resolver){choose_sentinel, forget_nothing, never_moves};
    watch->common = common;
    watch->reactor = reactor;
    watch->round = round;
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_SENTINEL,
        .reactor = reactor,
        .url = &common->sentinel_url,
        .client_name = common->client_name,
        .resolver = &watch->resolver,
        .is_sentinel = true,
        .tls = common->tls,
        .tls_name = redis_common_tls_name(common),
        .is_pubsub = true,
        .owner = watch,
        .on_up = on_watch_up,
        .on_down = on_watch_down,
        .is_push = is_message,
        .on_push = on_switch,
    };
    enum err error = redis_link_new(&config, &watch->link);
    if (error != ERR_OK) {
        free(watch);
        return error;
    }
    timer_init(&watch->minute, on_minute);
    timer_set(reactor_timers(reactor), &watch->minute, reactor_now_ms(reactor));
    *ret_watch = watch;
    return ERR_OK;
}

void redis_sentinel_watch_free(struct redis_sentinel_watch *watch)
{
    if (watch == NULL)
        return;
    timer_cancel(reactor_timers(watch->reactor), &watch->minute);
    redis_link_free(watch->link);
    free(watch);
}
