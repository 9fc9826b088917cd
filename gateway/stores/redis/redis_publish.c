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

static struct publication *publication_new(enum redis_publish_life life, struct span channel,
                                           struct span message)
{
    struct publication *publication = malloc(sizeof *publication + channel.len + message.len);
    if (publication == NULL)
        return NULL;
    char *bytes = (char *)(publication + 1);
    put_span(put_span(bytes, channel), message);
    *publication = (struct publication){
        .kind = &kinds[life],
        .channel = {bytes, channel.len},
        .message = {bytes + channel.len, message.len},
    };
    return publication;
}

static enum err publish_first(struct redis_commands *commands, struct publication *publication)
{
    struct redis_call call = {.on_reply = on_answer, .arg = publication};
    return send_publication(commands, publication, 0, &call);
}

enum err redis_publish(struct redis_commands *commands, enum redis_publish_life life,
                       struct span channel, struct span message, redis_reply_fn on_published,
                       void *arg, size_t index)
{
    struct publication *publication = publication_new(life, channel, message);
    if (publication == NULL)
        return ERR_NO_MEMORY;
    publication->on_published = on_published;
    publication->arg = arg;
    publication->index = index;
    enum err error = publish_first(commands, publication);
    if (error != ERR_OK)
        free(publication);
    return error;
}

/* --- behind what another link was sent --- */

/* The channel may have another owner by now. */
static void on_answered_before(void *owner, void *arg, size_t index,
                               const struct redis_value *reply)
{
    (void)index;
    const struct redis_repeats *repeats = ((struct redis_commands *)owner)->repeats;
    struct publication *publication = arg;
    if (reply != NULL) {
        uint16_t slot = redis_slot_of(publication->channel);
        if (publish_first(repeats->owner_of(repeats->owner, slot), publication) == ERR_OK)
            return;
    }
    free(publication);
}

enum err redis_publish_behind(struct redis_commands *before, struct redis_commands *commands,
                              enum redis_publish_life life, struct span channel,
                              struct span message)
{
    struct span ping[] = {SPAN_LITERAL("PING")};
    if (before == commands || !before->is_ready)
        return redis_publish(commands, life, channel, message, NULL, NULL, 0);
    struct publication *publication = publication_new(life, channel, message);
    if (publication == NULL)
        return ERR_NO_MEMORY;
    enum err error = redis_link_command(before->link, ping, 1, on_answered_before, publication, 0);
    if (error != ERR_OK)
        free(publication);
    return error;
}
