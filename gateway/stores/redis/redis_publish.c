#include "gateway/stores/redis/redis_publish.h"

#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_slots.h"
#include "proto/bytes/put.h"

#include <stdlib.h>

/* One until it is answered. */
struct publication {
    const struct redis_repeat_kind *kind;
    redis_reply_fn on_published;
    void *arg;
    size_t index;
    struct span channel; /* both behind it */
    struct span message;
};

static void end_publication(struct publication *publication, struct redis_commands *commands,
                            const struct redis_value *reply)
{
    const struct publication ended = *publication;
    free(publication);
    if (ended.on_published != NULL)
        ended.on_published(commands, ended.arg, ended.index, reply);
}

static void on_answer(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct publication *publication = arg;
    if (redis_repeats_take(commands, publication->kind, publication, 0, reply))
        return;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(commands, reply->bytes);
    end_publication(publication, commands, reply);
}

/* --- as what is repeated --- */

static uint16_t slot_of_publication(const struct redis_common *common, void *arg, size_t index)
{
    (void)common;
    (void)index;
    return redis_slot_of(((const struct publication *)arg)->channel);
}

static enum err send_publication(struct redis_commands *commands, void *arg, size_t index,
                                 const struct redis_call *call)
{
    (void)index;
    const struct publication *publication = arg;
    struct span args[] = {SPAN_LITERAL("SPUBLISH"), publication->channel, publication->message};
    return redis_commands_send(commands, call, args, 3);
}

static void give_up_publication(void *arg, size_t index, enum err error)
{
    (void)index;
    (void)error;
    end_publication(arg, NULL, NULL);
}

static const struct redis_repeat_kind kinds[] = {
    [REDIS_PUBLISH_FOR_AN_ANSWER] = {slot_of_publication, send_publication, on_answer,
                                     give_up_publication, STORE_REPLIES_MS},
    [REDIS_PUBLISH_FOR_A_REQUEST] = {slot_of_publication, send_publication, on_answer,
                                     give_up_publication, REDIS_REPEAT_MS},
};

enum err redis_publish(struct redis_commands *commands, enum redis_publish_life life,
                       struct span channel, struct span message, redis_reply_fn on_published,
                       void *arg, size_t index)
{
    struct publication *publication = malloc(sizeof *publication + channel.len + message.len);
    if (publication == NULL)
        return ERR_NO_MEMORY;
    char *bytes = (char *)(publication + 1);
    put_span(put_span(bytes, channel), message);
    *publication = (struct publication){
        .kind = &kinds[life],
        .on_published = on_published,
        .arg = arg,
        .index = index,
        .channel = {bytes, channel.len},
        .message = {bytes + channel.len, message.len},
    };
    struct redis_call call = {.on_reply = on_answer, .arg = publication};
    enum err error = send_publication(commands, publication, 0, &call);
    if (error != ERR_OK)
        free(publication);
    return error;
}
