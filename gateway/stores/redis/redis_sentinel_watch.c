/* What the messages say is not taken as it is: they make a round, which compares the epochs. So one
 * Sentinel alone moves nobody. Which of the Sentinels leads a failover is not known before, so all
 * that are known are listened to, each on a link of its own. */
#include "gateway/stores/redis/redis_sentinel_watch.h"

#include "gateway/stores/redis/redis_link.h"

#include <stdlib.h>

enum {
    LOOK_AGAIN_MS = 60000,
    LOOK_TAKES_MS = REDIS_SENTINELS_MS + 100, /* then those are known that were not named */
};

struct watched {
    struct redis_sentinel_watch *watch;
    struct redis_address address;
    struct redis_link *link;
};

struct redis_sentinel_watch {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_sentinel_round *round;
    unsigned n;
    struct watched watched[REDIS_SENTINELS_MAX];
    struct timer timer; /* the next look, or its end */
    bool is_looking;
};

/* ---- what they say ---- */

/* Without the subscription the rounds of each minute find out. */
static void ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

/* One command for each, because a user of the Sentinel may be allowed to hear one of them only.
 * What was said while there was no subscription is made good. */
static void on_watched_up(void *owner)
{
    static const char *const channels[] = {"+switch-master", "+try-failover"};
    struct watched *watched = owner;
    enum err error = ERR_OK;
    for (size_t i = 0; i < sizeof channels / sizeof channels[0] && error == ERR_OK; i++) {
        struct span args[] = {SPAN_LITERAL("SUBSCRIBE"), span_of(channels[i])};
        error = redis_link_command(watched->link, args, 2, ignore_reply, NULL, 0);
    }
    if (error != ERR_OK) {
        redis_link_break(watched->link, "out of memory");
        return;
    }
    redis_link_accept(watched->link);
    redis_sentinel_round_look(watched->watch->round, false);
}

static void on_watched_down(void *owner, bool was_up, const char *why)
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

/* +switch-master NAME, the old host and port, the new ones; +try-failover master NAME, the host and
 * port. The failover begins some tenths of a second after the latter. */
static bool is_about(struct span text, struct span name)
{
    static const char kind[] = "master ";
    size_t skipped = text.len >= sizeof kind - 1 && memcmp(text.bytes, kind, sizeof kind - 1) == 0
                         ? sizeof kind - 1
                         : 0;
    struct span rest = {text.bytes + skipped, text.len - skipped};
    return rest.len > name.len && rest.bytes[name.len] == ' ' &&
           memcmp(rest.bytes, name.bytes, name.len) == 0;
}

static void on_news(void *owner, const struct redis_value *push)
{
    struct redis_sentinel_watch *watch = ((struct watched *)owner)->watch;
    struct span text;
    if (redis_value_text(redis_value_item(push, 2), &text) &&
        is_about(text, span_of(watch->common->url.master_name)))
        redis_sentinel_round_look(watch->round, false);
}

/* ---- whom it listens to ---- */

static enum err listen_to(struct redis_sentinel_watch *watch, const struct redis_address *address)
{
    struct watched *watched = &watch->watched[watch->n];
    *watched = (struct watched){.watch = watch, .address = *address};
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_SENTINEL,
        .reactor = watch->reactor,
        .url = &watch->common->sentinel_url,
        .client_name = watch->common->client_name,
        .address = &watched->address,
        .is_sentinel = true,
        .tls = watch->common->tls,
        .tls_name = redis_common_tls_name(watch->common),
        .is_pubsub = true,
        .owner = watched,
        .on_up = on_watched_up,
        .on_down = on_watched_down,
        .is_push = is_message,
        .on_push = on_news,
    };
    enum err error = redis_link_new(&config, &watched->link);
    watch->n += error == ERR_OK;
    return error;
}

static bool is_listened_to(const struct redis_sentinel_watch *watch,
                           const struct redis_address *address)
{
    unsigned i = 0;
    while (i < watch->n && !redis_address_equal(&watch->watched[i].address, address))
        i++;
    return i < watch->n;
}

static enum err listen_to_all(struct redis_sentinel_watch *watch)
{
    struct redis_sentinel_list list;
    enum err error = ERR_OK;
    redis_sentinels_list(&watch->common->sentinels, &list);
    for (unsigned i = 0; i < list.n && error == ERR_OK && watch->n < REDIS_SENTINELS_MAX; i++)
        if (!is_listened_to(watch, &list.addresses[i]))
            error = listen_to(watch, &list.addresses[i]);
    return error;
}

static void on_look_due(struct timer *timer)
{
    struct redis_sentinel_watch *watch = CONTAINER_OF(timer, struct redis_sentinel_watch, timer);
    watch->is_looking = !watch->is_looking;
    if (watch->is_looking)
        redis_sentinel_round_look(watch->round, true);
    else
        (void)listen_to_all(watch); /* without memory the next look tries again */
    timer_set(reactor_timers(watch->reactor), timer,
              reactor_now_ms(watch->reactor) + (watch->is_looking ? LOOK_TAKES_MS : LOOK_AGAIN_MS));
}

/* ---- made and freed ---- */

enum err redis_sentinel_watch_new(struct redis_common *common, struct reactor *reactor,
                                  struct redis_sentinel_round *round,
                                  struct redis_sentinel_watch **ret_watch)
{
    struct redis_sentinel_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return ERR_NO_MEMORY;
    watch->common = common;
    watch->reactor = reactor;
    watch->round = round;
    timer_init(&watch->timer, on_look_due);
    enum err error = listen_to_all(watch);
    if (error != ERR_OK) {
        redis_sentinel_watch_free(watch);
        return error;
    }
    timer_set(reactor_timers(reactor), &watch->timer, reactor_now_ms(reactor));
    *ret_watch = watch;
    return ERR_OK;
}

void redis_sentinel_watch_free(struct redis_sentinel_watch *watch)
{
    if (watch == NULL)
        return;
    timer_cancel(reactor_timers(watch->reactor), &watch->timer);
    for (unsigned i = 0; i < watch->n; i++)
        redis_link_free(watch->watched[i].link);
    free(watch);
}
