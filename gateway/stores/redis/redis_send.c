#include "gateway/stores/redis/redis_send.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_slots.h"
#include "gateway/stores/redis/redis_subs.h"
#include "proto/note/connection_id.h"

#include <stdlib.h>

/* Until it is answered the request's op counts what is still to come. */
static bool is_last(struct store_append *send, size_t index, enum err error)
{
    send->targets[index].error = error;
    if (error != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
    return --send->request.op == 0;
}

static void on_sent(void *owner, void *arg, size_t index, const struct redis_value *reply);

/* The same for all targets at a primary. NULL: out of memory. */
static char *write_message(const struct redis_primary *primary, const struct store_append *send,
                           struct span *ret_message)
{
    struct span data = payload_data(send->payload);
    int64_t now_ms = redis_clock_now_ms(primary->clock);
    char *message = malloc(2 * (PUT_NUMBER_MAX_BYTES + 2) + CONNECTION_ID_MAX_BYTES + 1 + data.len);
    if (message == NULL)
        return NULL;
    char *at = message;
    *at++ = send->connection != 0 ? 'C' : 'E';
    *at++ = ':';
    at = put_number(at, now_ms > 0 ? (uint64_t)now_ms : 0);
    *at++ = ':';
    if (send->connection != 0) {
        at += connection_id_write(send->connection, at);
        *at++ = ':';
    }
    at = put_number(at, data.len);
    *at++ = ':';
    at = put_span(at, data);
    *ret_message = (struct span){message, (size_t)(at - message)};
    return message;
}

static enum err send_target(struct redis_commands *commands, struct store_append *send,
                            size_t index, struct span message, const struct redis_call *call)
{
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, send->targets[index].user_id);
    redis_keys_write_channel(&keys, commands->common->channels);
    struct span args[] = {SPAN_LITERAL("SPUBLISH"), keys.channel, message};
    return redis_commands_send(commands, call, args, 3);
}

/* --- as what is repeated --- */

static uint16_t slot_of_send(const struct redis_common *common, void *arg, size_t index)
{
    (void)common;
    const struct store_append *send = arg;
    return redis_slot_of_user(send->targets[index].user_id);
}

static enum err send_again(struct redis_commands *commands, void *arg, size_t index,
                           const struct redis_call *call)
{
    struct store_append *send = arg;
    struct span message;
    char *bytes = write_message(commands->primary, send, &message);
    if (bytes == NULL)
        return ERR_NO_MEMORY;
    enum err error = send_target(commands, send, index, message, call);
    free(bytes);
    return error;
}

static void give_up_send(void *arg, size_t index, enum err error)
{
    struct store_append *send = arg;
    send->targets[index].nodes = 0;
    if (is_last(send, index, error))
        send->request.on_done(&send->request);
}

static const struct redis_repeat_kind send_kind = {slot_of_send, send_again, on_sent, give_up_send,
                                                   REDIS_REPEAT_MS};

/* --- sending --- */

static void on_sent(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct store_append *send = arg;
    int64_t nodes = 0;
    enum err error = ERR_OK;
    if (redis_repeats_take(owner, &send_kind, send, index, reply))
        return;
    if (!redis_value_integer(reply, &nodes) || nodes < 0)
        error = ERR_STORE_UNAVAILABLE;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(owner, reply->bytes);
    send->targets[index].nodes = error == ERR_OK ? (unsigned)nodes : 0;
    if (is_last(send, index, error))
        send->request.on_done(&send->request);
}

static enum err send_or_hold(struct redis_shard *shard, struct store_append *send, size_t index,
                             struct span message)
{
    struct redis_call call = {.on_reply = on_sent, .arg = send, .index = index};
    enum err error = ERR_OK;
    if (!redis_repeats_hold(&shard->commands, &send_kind, send, index, &error))
        error = send_target(&shard->commands, send, index, message, &call);
    return error;
}

void redis_send_run(void *owner, struct redis_shard *(*shard_of)(void *owner, struct span user_id),
                    struct store_append *send)
{
    struct span message = SPAN_NONE;
    struct redis_shard *shard = NULL;
    const struct redis_primary *stamped = NULL; /* whose time the message has */
    char *bytes = NULL;
    send->request.op = (int)send->n_targets + 1; /* one for ourselves, until all are sent */
    for (size_t i = 0; i < send->n_targets; i++) {
        shard = shard_of(owner, send->targets[i].user_id);
        send->targets[i].is_unheard = redis_subs_is_deaf_to(shard->subs, send->targets[i].user_id);
        if (shard->commands.is_ready && stamped != shard->primary) {
            free(bytes);
            bytes = write_message(shard->primary, send, &message);
            stamped = bytes != NULL ? shard->primary : NULL;
        }
        enum err error = ERR_STORE_UNAVAILABLE;
        if (shard->commands.is_ready)
            error = bytes == NULL ? ERR_NO_MEMORY
                                  : redis_answer_error(send_or_hold(shard, send, i, message));
        if (error != ERR_OK) {
            send->targets[i].nodes = 0;
            (void)is_last(send, i, error);
        }
    }
    free(bytes);
    if (--send->request.op == 0)
        redis_commands_refuse(&shard->commands, &send->request);
}
