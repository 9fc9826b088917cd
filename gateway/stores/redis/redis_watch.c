#include "gateway/stores/redis/redis_watch.h"

#include "gateway/base/log.h"
#include "gateway/stores/redis/redis_gather.h"
#include "gateway/stores/redis/redis_message.h"
#include "gateway/stores/redis/redis_publish.h"

#include <inttypes.h>
#include <stdio.h>

/* Both messages: a letter, two names, two numbers and their colons. */
enum { MESSAGE_MAX_BYTES = 2 + 2 * (EPOCH_LEN + 1) + 2 * 21 + 1 };

/* What cannot be sent the other node's look makes good. */
static void publish(struct redis_commands *before, struct redis_commands *commands,
                    struct span channel, const char *message)
{
    if (redis_publish_behind(before, commands, REDIS_PUBLISH_FOR_A_REQUEST, channel,
                             span_of(message)) != ERR_OK)
        log_event(LOG_DEBUG, "a push that waits is not told of", LOG_TEXT("message", message));
}

void redis_watch_send(struct redis_commands *commands, const struct epoch *name,
                      struct span user_id, const struct store_watch *watch)
{
    char message[MESSAGE_MAX_BYTES];
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, user_id);
    redis_keys_write_channel(&keys, commands->common->channels);
    snprintf(message, sizeof message, "Y:%.*s:%" PRIu64 ":%.*s:%" PRIu64 ":", EPOCH_LEN, name->text,
             watch->number, EPOCH_LEN, watch->epoch.text, watch->seq);
    publish(commands, commands, keys.channel, message);
}

void redis_watch_answer(struct redis_commands *of_user, struct redis_commands *commands,
                        const struct store_watch *watch, uint64_t acked)
{
    char message[MESSAGE_MAX_BYTES];
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    redis_gather_name_channel(commands->common, &watch->node, channel);
    snprintf(message, sizeof message, "A:%" PRIu64 ":%.*s:%" PRIu64, watch->number, EPOCH_LEN,
             watch->epoch.text, acked);
    publish(acked == 0 ? of_user : commands, commands, span_of(channel), message);
}

void redis_watch_take(const struct redis_gather *gather, struct span user_id, struct span message)
{
    const struct redis_common *common = gather->common;
    struct store_watch watch;
    if (!redis_watch_read(message, &watch)) {
        log_event(LOG_DEBUG, "a message on a channel is malformed", LOG_SPAN("user", user_id));
        return;
    }
    if (!redis_gather_is_own(gather, watch.node) && common->events.on_watch != NULL)
        common->events.on_watch(common->owner, user_id, &watch);
}

void redis_watch_take_answer(const struct redis_common *common, struct span message)
{
    struct epoch epoch;
    uint64_t number, acked;
    if (redis_watch_answer_read(message, &number, &epoch, &acked) &&
        common->events.on_watch_answer != NULL)
        common->events.on_watch_answer(common->owner, number, epoch, acked);
}
