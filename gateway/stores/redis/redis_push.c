/* A push becomes one call of push.lua, and pushes that come together become one call for up to
 * REDIS_BATCH_MAX of them. The lane hands over what waits in its queue, one request after the
 * other. An append that can be gathered waits in commands->gathered until that is full, until a
 * request comes that has to be sent by itself, or until the queue is empty; so everything is sent
 * in the order in which it was asked. One that has remained alone is sent as a push of its own. A
 * batch is a block of memory until its answer has come, which has an answer for each push.
 *
 * What goes wrong: an error within one push is the answer of that push alone; another answer, or
 * none because the link broke, is that of all. What says that nothing was done is repeated, each
 * push of a batch by itself (redis_repeats.h). */
#include "gateway/stores/redis/redis_push.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_event_alerts.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_replicas.h"
#include "gateway/stores/redis/redis_slots.h"

#include <stdlib.h>

enum { MESSAGE_DATA_MAX_BYTES = 16 << 10 }; /* more does not travel in the message */

enum { UNHEARD_ANSWER = 5 }; /* of push_fast.lua, where Redis would not publish */

/* What push.lua answers in the last place. */
enum push_outcome { PUSH_KEPT, PUSH_REPEATED, PUSH_MISMATCHED };

struct push_answer {
    uint64_t seq, time_ms, expires_ms, nodes, expired, pushed_out, is_lost, replaced, outcome;
    uint64_t has_devices;
    struct epoch epoch;
};

/* Of push_fast.lua: the number, when, and how many nodes. */
static bool take_short_answer(const struct redis_value *reply, uint32_t ttl_s,
                              struct push_answer *answer)
{
    uint64_t numbers[3];
    if (!redis_answer_text(reply, numbers, 3, &answer->epoch))
        return false;
    answer->seq = numbers[0];
    answer->time_ms = numbers[1];
    answer->expires_ms = answer->time_ms + (uint64_t)ttl_s * 1000;
    answer->nodes = numbers[2];
    return true;
}

static bool take_answer(const struct redis_value *reply, uint32_t ttl_s, struct push_answer *answer)
{
    *answer = (struct push_answer){.outcome = PUSH_KEPT};
    if (take_short_answer(reply, ttl_s, answer))
        return true;
    if (!redis_answer_number(reply, 0, &answer->seq) ||
        !redis_answer_epoch(reply, 1, &answer->epoch) ||
        !redis_answer_number(reply, 2, &answer->time_ms) ||
        !redis_answer_number(reply, 3, &answer->expires_ms))
        return false;
    bool is_unheard = redis_value_is(redis_value_item(reply, 4), REDIS_TEXT);
    if (!is_unheard && !redis_answer_number(reply, 4, &answer->nodes))
        return false;
    return reply->n == UNHEARD_ANSWER || (redis_answer_number(reply, 5, &answer->expired) &&
                                          redis_answer_number(reply, 6, &answer->pushed_out) &&
                                          redis_answer_number(reply, 7, &answer->is_lost) &&
                                          redis_answer_number(reply, 8, &answer->replaced) &&
                                          redis_answer_number(reply, 9, &answer->outcome) &&
                                          redis_answer_number(reply, 10, &answer->has_devices));
}

static void count_kept(const struct push_answer *answer)
{
    metrics_count(METRIC_STORE_APPENDED);
    if (answer->expired > 0)
        metrics_add(METRIC_INBOX_EXPIRED, answer->expired);
    if (answer->pushed_out > 0)
        metrics_add(METRIC_INBOX_OVERFLOW, answer->pushed_out);
    if (answer->replaced > 0)
        metrics_count(METRIC_INBOX_COLLAPSED);
    if (answer->is_lost > 0)
        metrics_count(METRIC_STORE_RESYNCS);
}

static enum err read_push(struct redis_commands *commands, const struct redis_value *reply,
                          uint32_t ttl_s, struct store_target *target)
{
    struct push_answer answer;
    if (!take_answer(reply, ttl_s, &answer))
        return ERR_STORE_UNAVAILABLE;
    if (answer.outcome == PUSH_MISMATCHED) {
        metrics_count(METRIC_MISMATCHES);
        return ERR_IDEMPOTENCY_MISMATCH;
    }
    if (answer.outcome > PUSH_MISMATCHED || answer.seq == 0 || epoch_is_none(answer.epoch))
        return ERR_STORE_UNAVAILABLE;
    redis_answer_unheard(commands, redis_value_item(reply, 4));
    target->is_duplicate = answer.outcome == PUSH_REPEATED;
    if (target->is_duplicate)
        metrics_count(METRIC_DUPLICATES);
    else
        count_kept(&answer);
    target->seq = answer.seq;
    target->epoch = answer.epoch;
    target->nodes = (unsigned)answer.nodes;
    target->has_devices = answer.has_devices > 0;
    target->time_ms = (int64_t)answer.time_ms;
    target->expires_ms = (int64_t)answer.expires_ms;
    return ERR_OK;
}

/* --- sending --- */

/* What push_fast.lua unpacks. */
enum { PACKED_BYTES = 8 * REDIS_PACKED_BYTES + REDIS_PACKED_TIME_BYTES };

static enum err pack_target(const struct redis_common *common, const struct redis_push *push,
                            char packed[PACKED_BYTES])
{
    const struct store_target *target = &push->append->targets[push->index];
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    if (error != ERR_OK)
        return error;
    char *at = redis_pack_number(packed, (uint64_t)push->append->ttl_s * 1000);
    at = redis_pack_number(at, target->known_head);
    at = redis_pack_number(at, target->known_acked);
    at = redis_pack_number(at, common->inbox_max);
    at = redis_pack_number(at, common->inbox_max_bytes);
    at = redis_pack_number(at, MESSAGE_DATA_MAX_BYTES);
    at = redis_pack_time(at, target->known_time);
    at = redis_pack_epoch(at, &target->known_epoch);
    redis_pack_epoch(at, &fresh);
    return ERR_OK;
}

/* The keys of a push without an idempotency key. */
static void write_keys(const struct redis_common *common, const struct redis_push *push,
                       struct redis_keys *keys, struct span args[REDIS_PUSH_KEYS])
{
    redis_keys_write(keys, common->prefix, push->append->targets[push->index].user_id);
    redis_keys_write_channel(keys, common->channels);
    args[0] = keys->inbox;
    args[1] = keys->meta;
    args[2] = keys->numbers;
    args[3] = keys->times;
    args[4] = keys->channel;
}

static enum err send_push_as(struct redis_commands *commands, const struct redis_push *push,
                             const struct redis_call *call)
{
    const struct redis_common *common = commands->common;
    const struct store_append *append = push->append;
    struct span key = payload_key(append->payload);
    bool has_idem = append->idempotency_key.len > 0;
    struct redis_keys keys;
    struct redis_number window;
    char packed[PACKED_BYTES];
    enum err error = pack_target(common, push, packed);
    if (error != ERR_OK)
        return error;
    struct span args[REDIS_PUSH_ARGS + 4];
    size_t n_keys = REDIS_PUSH_KEYS;
    write_keys(common, push, &keys, args);
    if (has_idem) {
        redis_keys_write_idem(&keys, append->idempotency_key);
        args[n_keys++] = keys.idem;
    }
    size_t n = n_keys;
    args[n++] = payload_data(append->payload);
    args[n++] = (struct span){packed, sizeof packed};
    if (has_idem || key.len > 0) {
        args[n++] = key;
        args[n++] = (struct span){(const char *)append->print.bytes, sizeof append->print.bytes};
        args[n++] = redis_number_write(&window, (uint64_t)common->idempotency_window_s * 1000);
    }
    return redis_commands_eval(commands, call, SCRIPT_PUSH, args, n, n_keys);
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_push(struct redis_commands *commands, const struct redis_push *push)
{
    struct redis_call call = {.on_reply = on_push_reply, .arg = push->append, .index = push->index};
    return send_push_as(commands, push, &call);
}

static void on_batch_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_batch(struct redis_commands *commands, struct redis_batch *batch)
{
    struct redis_keys keys[REDIS_BATCH_MAX];
    char packed[REDIS_BATCH_MAX][PACKED_BYTES];
    struct span args[REDIS_BATCH_MAX * REDIS_PUSH_ARGS];
    size_t n_keys = 0;
    for (; n_keys < batch->n * REDIS_PUSH_KEYS; n_keys += REDIS_PUSH_KEYS)
        write_keys(commands->common, &batch->pushes[n_keys / REDIS_PUSH_KEYS],
                   &keys[n_keys / REDIS_PUSH_KEYS], args + n_keys);
    size_t n = n_keys;
    for (size_t i = 0; i < batch->n; i++) {
        enum err error = pack_target(commands->common, &batch->pushes[i], packed[i]);
        if (error != ERR_OK)
            return error;
        args[n++] = payload_data(batch->pushes[i].append->payload);
        args[n++] = (struct span){packed[i], PACKED_BYTES};
    }
    struct redis_call call = {.on_reply = on_batch_reply, .arg = batch};
    return redis_commands_eval(commands, &call, SCRIPT_PUSHES, args, n, n_keys);
}

/* --- answers --- */

/* true: it was the last of its append's targets. */
static bool push_done(const struct redis_push *push, enum err error)
{
    push->append->targets[push->index].error = error;
    if (error == ERR_STORE_UNAVAILABLE || error == ERR_NO_MEMORY)
        metrics_count(METRIC_STORE_ERRORS);
    return --push->append->request.op == 0;
}

/* Not inside the calls of redis_push.h. */
static void answer_push(const struct redis_commands *commands, const struct redis_push *push,
                        enum err error)
{
    if (!push_done(push, error))
        return;
    redis_answer_observe(commands, &push->append->request, STORE_OP_APPEND);
    push->append->request.on_done(&push->append->request);
}

/* Inside them: the answer waits for the end of the turn. */
static void refuse_push(struct redis_commands *commands, const struct redis_push *push,
                        enum err error)
{
    if (push_done(push, redis_answer_error(error)))
        redis_commands_refuse(commands, &push->append->request);
}

/* --- as what is repeated --- */

static uint16_t slot_of_push(const struct redis_common *common, void *arg, size_t index)
{
    (void)common;
    const struct store_append *append = arg;
    return redis_slot_of_user(append->targets[index].user_id);
}

static enum err send_push_again(struct redis_commands *commands, void *arg, size_t index,
                                const struct redis_call *call)
{
    struct redis_push push = {arg, index};
    return send_push_as(commands, &push, call);
}

static void answer_target(void *arg, size_t index, enum err error)
{
    struct redis_push push = {arg, index};
    if (push_done(&push, error))
        push.append->request.on_done(&push.append->request);
}

static void answer_alerted(void *owner, void *arg, size_t index, enum err error)
{
    struct redis_push push = {arg, index};
    answer_push(owner, &push, error);
}

static void answer_kept(void *owner, void *arg, size_t index, enum err error)
{
    struct redis_commands *commands = owner;
    struct redis_push push = {arg, index};
    if (error == ERR_OK && push.append->alert_after_s > 0)
        redis_alerts_add(commands->alerts, commands, push.append, index, answer_alerted);
    else
        answer_push(commands, &push, error);
}

static const struct redis_repeat_kind push_kind = {slot_of_push, send_push_again, on_push_reply,
                                                   answer_target, REDIS_REPEAT_MS};

/* reply: NULL: the link broke. */
static void take_push_reply(struct redis_commands *commands, const struct redis_push *push,
                            const struct redis_value *reply)
{
    enum err error = ERR_STORE_UNAVAILABLE;
    if (redis_repeats_take(commands, &push_kind, push->append, push->index, reply))
        return;
    if (reply != NULL) {
        error =
            read_push(commands, reply, push->append->ttl_s, &push->append->targets[push->index]);
        if (error == ERR_STORE_UNAVAILABLE)
            redis_answer_refused(commands, reply);
    }
    if (error == ERR_OK && redis_replicas_are_wanted(commands->replicas))
        redis_replicas_hold(commands->replicas, answer_kept, push->append, push->index);
    else
        answer_kept(commands, push->append, push->index, error);
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_commands *commands = owner;
    struct redis_push push = {arg, index};
    take_push_reply(commands, &push, reply);
}

/* Of an answer that is no list, an error for instance, each push gets the whole. */
static void on_batch_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct redis_batch *batch = arg;
    for (size_t i = 0; i < batch->n; i++) {
        const struct redis_value *item = redis_value_item(reply, i);
        take_push_reply(commands, &batch->pushes[i], item != NULL ? item : reply);
    }
    free(batch);
}

/* --- gathering --- */

/* Larger data is where the time goes, and a batch shall keep Redis from others for no longer than
 * what one link sends in a turn of Redis anyway. */
static bool can_be_gathered(const struct store_append *append)
{
    enum { GATHERED_DATA_MAX_BYTES = 2 << 10 };
    return append->idempotency_key.len == 0 && payload_key(append->payload).len == 0 &&
           payload_data(append->payload).len <= GATHERED_DATA_MAX_BYTES;
}

static void send_each(struct redis_commands *commands, const struct redis_batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        enum err error = send_push(commands, &batch->pushes[i]);
        if (error != ERR_OK)
            refuse_push(commands, &batch->pushes[i], error);
    }
}

void redis_push_flush(struct redis_commands *commands)
{
    struct redis_batch *gathered = &commands->gathered;
    struct redis_batch *batch = gathered->n > 1 ? malloc(sizeof *batch) : NULL;
    if (batch == NULL) {
        send_each(commands, gathered);
        gathered->n = 0;
        return;
    }
    *batch = *gathered;
    gathered->n = 0;
    enum err error = send_batch(commands, batch);
    if (error == ERR_OK)
        return;
    for (size_t i = 0; i < batch->n; i++)
        refuse_push(commands, &batch->pushes[i], error);
    free(batch);
}

/* A call may only name the keys of one slot. */
static void gather_push(struct redis_commands *commands, const struct redis_push *push,
                        uint16_t slot)
{
    struct redis_batch *gathered = &commands->gathered;
    if (gathered->n > 0 && commands->gathered_slot != slot)
        redis_push_flush(commands);
    commands->gathered_slot = slot;
    gathered->pushes[gathered->n++] = *push;
    if (gathered->n == REDIS_BATCH_MAX)
        redis_push_flush(commands);
}

/* What was asked first is sent first. */
static enum err send_in_order(struct redis_commands *commands, const struct redis_push *push)
{
    redis_push_flush(commands);
    return send_push(commands, push);
}

void redis_push_run(const struct redis_route *route, struct store_append *append)
{
    bool is_gathered = can_be_gathered(append);
    uint16_t first;
    struct redis_commands *commands =
        route->of_user(route->owner, append->targets[0].user_id, &first);
    redis_answer_begin(commands, &append->request);
    append->request.op = (int)append->n_targets + 1; /* one for ourselves, until all are sent */
    for (size_t i = 0; i < append->n_targets; i++) {
        struct redis_push push = {append, i};
        uint16_t slot;
        commands = route->of_user(route->owner, append->targets[i].user_id, &slot);
        append->targets[i].is_duplicate = false;
        enum err error = ERR_OK;
        bool is_held = redis_repeats_hold(commands, &push_kind, append, i, &error);
        if (!is_held && is_gathered)
            gather_push(commands, &push, slot);
        else if (!is_held)
            error = send_in_order(commands, &push);
        if (error != ERR_OK)
            refuse_push(commands, &push, error);
    }
    if (--append->request.op == 0)
        redis_commands_refuse(commands, &append->request);
}
