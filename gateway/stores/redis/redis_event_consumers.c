#include "gateway/stores/redis/redis_event_consumers.h"

static enum err send_action(struct redis_commands *commands, struct span user, struct span action,
                            struct span key, bool from_now, const struct redis_call *call)
{
    struct redis_keys keys;
    struct redis_number most;
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    if (error != ERR_OK)
        return error;
    redis_event_keys(commands->common, user, &keys);
    struct span args[] = {
        keys.inbox,
        keys.meta,
        keys.channel,
        action,
        key,
        from_now ? SPAN_LITERAL("1") : SPAN_LITERAL("0"),
        redis_number_write(&most, STORE_MAX_CONSUMERS),
        redis_epoch_text(&fresh),
    };
    return redis_commands_eval(commands, call, SCRIPT_EVENT_CONSUME, args,
                               sizeof args / sizeof args[0], 3);
}

enum err redis_consumers_send(struct redis_commands *commands, struct store_request *request,
                              const struct redis_call *call)
{
    static const char actions[] = {
        [CONSUMERS_LIST] = 'l', [CONSUMERS_ADD] = 'a', [CONSUMERS_REMOVE] = 'r'};
    const struct store_consumers *consumers = (const struct store_consumers *)(void *)request;
    struct span key = consumers->action == CONSUMERS_LIST ? SPAN_LITERAL("") : consumers->key;
    return send_action(commands, redis_event_user(request),
                       (struct span){&actions[consumers->action], 1}, key, consumers->from_now,
                       call);
}

/* What event_consume.lua says of the partition. */
enum { OUTCOME, UNREAD, EPOCH, HEAD, COUNT, BYTES, OLDEST, EXPIRED, ACKED, CONSUMERS };
enum { CONSUMER_PARTS = 5, OUTCOME_TOO_MANY = 2 };

static bool take_partition(const struct redis_value *reply, struct store_consumers *consumers)
{
    uint64_t outcome, oldest, expired;
    if (!redis_answer_number(reply, OUTCOME, &outcome) ||
        !redis_answer_number(reply, UNREAD, &consumers->unread) ||
        !redis_answer_epoch(reply, EPOCH, &consumers->epoch) ||
        !redis_answer_number(reply, HEAD, &consumers->head) ||
        !redis_answer_number(reply, COUNT, &consumers->count) ||
        !redis_answer_number(reply, BYTES, &consumers->bytes) ||
        !redis_answer_number(reply, OLDEST, &oldest) ||
        !redis_answer_number(reply, EXPIRED, &expired))
        return false;
    consumers->is_changed = outcome == 1;
    consumers->oldest_ms = (int64_t)oldest;
    redis_event_count_left(0, expired);
    return true;
}

static bool take_consumer(const struct redis_value *reply, size_t at,
                          struct store_consumer *consumer)
{
    struct span key;
    uint64_t oldest, seen;
    if (!redis_value_text(redis_value_item(reply, at), &key) || key.len == 0 ||
        key.len > sizeof consumer->key ||
        !redis_answer_number(reply, at + 1, &consumer->position) ||
        !redis_answer_number(reply, at + 2, &consumer->lag) ||
        !redis_answer_number(reply, at + 3, &oldest) || !redis_answer_number(reply, at + 4, &seen))
        return false;
    memcpy(consumer->key, key.bytes, key.len);
    consumer->key_len = (uint8_t)key.len;
    consumer->oldest_ms = (int64_t)oldest;
    consumer->seen_ms = (int64_t)seen;
    return true;
}

enum err redis_consumers_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_consumers *consumers = (struct store_consumers *)(void *)request;
    uint64_t outcome;
    if (!take_partition(reply, consumers) || !redis_answer_number(reply, OUTCOME, &outcome) ||
        (reply->n - CONSUMERS) % CONSUMER_PARTS != 0)
        return ERR_STORE_UNAVAILABLE;
    for (size_t at = CONSUMERS; at < reply->n && consumers->n < STORE_MAX_CONSUMERS;
         at += CONSUMER_PARTS)
        if (!take_consumer(reply, at, &consumers->list[consumers->n++]))
            return ERR_STORE_UNAVAILABLE;
    return outcome == OUTCOME_TOO_MANY ? ERR_CONFLICT : ERR_OK;
}

/* --- peeks --- */

enum err redis_event_peek_send(struct redis_commands *commands, const struct store_peek *peek,
                               const struct redis_call *call)
{
    return send_action(commands, peek->user_id, SPAN_LITERAL("l"), SPAN_LITERAL(""), false, call);
}

enum err redis_event_peek_read(const struct redis_value *reply, struct store_peek *peek)
{
    struct store_consumers seen = {.n = 0};
    if (!take_partition(reply, &seen) || !redis_answer_number(reply, ACKED, &peek->acked))
        return ERR_STORE_UNAVAILABLE;
    peek->epoch = seen.epoch;
    peek->head = seen.head;
    peek->pending = seen.count;
    peek->oldest_time_ms = seen.oldest_ms;
    peek->blocked_until_ms = 0;
    return ERR_OK;
}
