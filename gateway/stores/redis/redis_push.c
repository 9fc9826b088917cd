#include "gateway/stores/redis/redis_push.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"

enum { MESSAGE_DATA_MAX_BYTES = 16 << 10 }; /* more does not travel in the message */

enum { UNHEARD_ANSWER = 5 }; /* of push_fast.lua, where Redis would not publish */

/* What push.lua answers in the last place. */
enum push_outcome { PUSH_KEPT, PUSH_REPEATED, PUSH_MISMATCHED };

struct push_answer {
    uint64_t seq, time_ms, expires_ms, nodes, expired, pushed_out, is_lost, replaced, outcome;
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
                                          redis_answer_number(reply, 9, &answer->outcome));
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
    target->time_ms = (int64_t)answer.time_ms;
    target->expires_ms = (int64_t)answer.expires_ms;
    return ERR_OK;
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

/* What push_fast.lua unpacks. */
enum { PACKED_BYTES = 8 * REDIS_PACKED_BYTES };

static enum err pack_target(const struct redis_common *common, const struct store_append *append,
                            const struct store_target *target, char packed[PACKED_BYTES])
{
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    if (error != ERR_OK)
        return error;
    char *at = redis_pack_number(packed, (uint64_t)append->ttl_s * 1000);
    at = redis_pack_number(at, target->known_head);
    at = redis_pack_number(at, target->known_acked);
    at = redis_pack_number(at, common->inbox_max);
    at = redis_pack_number(at, common->inbox_max_bytes);
    at = redis_pack_number(at, MESSAGE_DATA_MAX_BYTES);
    at = redis_pack_epoch(at, &target->known_epoch);
    redis_pack_epoch(at, &fresh);
    return ERR_OK;
}

static enum err send_push(struct redis_commands *commands, struct store_append *append,
                          size_t index, bool with_text)
{
    const struct redis_common *common = commands->common;
    const struct store_target *target = &append->targets[index];
    struct span key = payload_key(append->payload);
    bool has_idem = append->idempotency_key.len > 0;
    struct redis_keys keys;
    struct redis_number window;
    char packed[PACKED_BYTES];
    enum err error = pack_target(common, append, target, packed);
    if (error != ERR_OK)
        return error;
    redis_keys_write(&keys, common->prefix, target->user_id);
    redis_keys_write_channel(&keys, common->channels);
    struct span args[11] = {keys.inbox, keys.meta, keys.numbers, keys.times, keys.channel};
    size_t n_keys = 5;
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
    struct redis_call call = {on_push_reply, append, index, with_text};
    return redis_commands_eval(commands, &call, SCRIPT_PUSH, args, n, n_keys);
}

/* One more target has its answer; true: it was the last. */
static bool target_done(struct store_append *append, size_t index, enum err error)
{
    append->targets[index].error = error;
    if (error == ERR_STORE_UNAVAILABLE || error == ERR_NO_MEMORY)
        metrics_count(METRIC_STORE_ERRORS);
    return --append->request.op == 0;
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_commands *commands = owner;
    struct store_append *append = arg;
    enum err error = ERR_STORE_UNAVAILABLE;
    if (redis_answer_has_lost_script(reply)) {
        error = redis_answer_error(send_push(commands, append, index, true));
        if (error == ERR_OK)
            return;
    } else if (reply != NULL) {
        error = read_push(commands, reply, append->ttl_s, &append->targets[index]);
        if (error == ERR_STORE_UNAVAILABLE)
            redis_answer_refused(commands, reply);
    }
    if (target_done(append, index, error))
        append->request.on_done(&append->request);
}

void redis_push_run(struct redis_commands *commands, struct store_append *append)
{
    append->request.op = (int)append->n_targets + 1; /* one for ourselves, until all are sent */
    for (size_t i = 0; i < append->n_targets; i++) {
        append->targets[i].is_duplicate = false;
        enum err error = send_push(commands, append, i, false);
        if (error != ERR_OK)
            target_done(append, i, redis_answer_error(error));
    }
    if (--append->request.op == 0)
        redis_commands_refuse(commands, &append->request);
}
