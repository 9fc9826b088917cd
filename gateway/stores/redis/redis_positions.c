#include "gateway/stores/redis/redis_positions.h"

#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_event_consumers.h"
#include "gateway/stores/redis/redis_event_log.h"

/* --- acknowledgements --- */

enum err redis_ack_send(struct redis_commands *commands, struct store_request *request,
                        const struct redis_call *call)
{
    struct store_ack *ack = (struct store_ack *)request;
    if (redis_is_reserved(ack->user_id))
        return redis_event_ack_send(commands, ack, call);
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, ack->user_id);
    struct redis_number seq, written;
    struct span args[] = {
        keys.inbox,
        keys.meta,
        keys.numbers,
        keys.times,
        redis_epoch_text(&ack->epoch),
        redis_number_write(&seq, ack->seq),
        ack->device,
        ack->is_held ? SPAN_LITERAL("1") : SPAN_LITERAL("0"),
        redis_number_write(&written, ack->written),
    };
    return redis_commands_eval(commands, call, SCRIPT_ACK, args, sizeof args / sizeof args[0], 4);
}

enum err redis_ack_read(const struct redis_value *reply, struct store_request *request)
{
    uint64_t is_stale, expired;
    int64_t short_answer; /* of ack_fast.lua */
    if (redis_is_reserved(((const struct store_ack *)request)->user_id))
        return redis_event_ack_read(reply);
    if (redis_value_integer(reply, &short_answer) && short_answer == 0)
        return ERR_OK;
    if (!redis_answer_number(reply, 0, &is_stale) || !redis_answer_number(reply, 1, &expired))
        return ERR_STORE_UNAVAILABLE;
    redis_answer_count_expired(expired);
    return is_stale != 0 ? ERR_STALE_EPOCH : ERR_OK;
}

/* --- peeks --- */

enum err redis_peek_send(struct redis_commands *commands, struct store_request *request,
                         const struct redis_call *call)
{
    struct store_peek *peek = (struct store_peek *)request;
    if (redis_is_reserved(peek->user_id))
        return redis_event_peek_send(commands, peek, call);
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, peek->user_id);
    redis_keys_write_block(&keys);
    struct span args[] = {keys.inbox, keys.meta, keys.numbers, keys.times, keys.block};
    return redis_commands_eval(commands, call, SCRIPT_PEEK, args, 5, 5);
}

enum err redis_peek_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_peek *peek = (struct store_peek *)request;
    uint64_t oldest, expired, blocked_until;
    if (redis_is_reserved(peek->user_id))
        return redis_event_peek_read(reply, peek);
    if (!redis_answer_epoch(reply, 0, &peek->epoch) ||
        !redis_answer_number(reply, 1, &peek->head) ||
        !redis_answer_number(reply, 2, &peek->acked) ||
        !redis_answer_number(reply, 3, &peek->pending) || !redis_answer_number(reply, 4, &oldest) ||
        !redis_answer_number(reply, 5, &expired) || !redis_answer_number(reply, 6, &blocked_until))
        return ERR_STORE_UNAVAILABLE;
    peek->oldest_time_ms = (int64_t)oldest;
    peek->blocked_until_ms = (int64_t)blocked_until;
    redis_answer_count_expired(expired);
    return ERR_OK;
}
