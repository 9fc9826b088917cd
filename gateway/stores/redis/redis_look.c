#include "gateway/stores/redis/redis_look.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"

/* --- what became of a number --- */

static bool take_cause(const struct redis_value *reply, enum gap_cause *ret_cause)
{
    struct span text;
    if (!redis_value_text(reply, &text) || text.len > 1)
        return false;
    enum gap_cause cause = text.len == 0 ? GAP_UNKNOWN : (enum gap_cause)text.bytes[0];
    if (!gap_cause_is_recorded(cause))
        return false;
    *ret_cause = cause;
    return true;
}

/* Both scripts answer it in their first four parts, and in the fifth what has expired. */
static enum err read_found(const struct redis_value *reply, struct store_found *ret_found)
{
    static const enum store_fate fates[] = {FATE_PENDING, FATE_DELIVERED, FATE_GONE};
    uint64_t is_unknown, fate, is_written, expired;
    if (!redis_answer_number(reply, 0, &is_unknown) || !redis_answer_number(reply, 1, &fate) ||
        fate >= sizeof fates / sizeof fates[0] ||
        !take_cause(redis_value_item(reply, 2), &ret_found->cause) ||
        !redis_answer_number(reply, 3, &is_written) || !redis_answer_number(reply, 4, &expired))
        return ERR_STORE_UNAVAILABLE;
    ret_found->fate = fates[fate];
    ret_found->is_written = is_written != 0;
    redis_answer_count_expired(expired);
    return is_unknown != 0 ? ERR_NOT_FOUND : ERR_OK;
}

/* --- looks --- */

enum err redis_look_send(struct redis_commands *commands, struct store_request *request,
                         const struct redis_call *call)
{
    struct store_look *look = (struct store_look *)request;
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, look->user_id);
    struct redis_number seq;
    struct span args[] = {
        keys.inbox,
        keys.meta,
        keys.numbers,
        keys.times,
        redis_epoch_text(&look->epoch),
        redis_number_write(&seq, look->seq),
    };
    return redis_commands_eval(commands, call, SCRIPT_LOOK, args, sizeof args / sizeof args[0], 4);
}

enum err redis_look_read(const struct redis_value *reply, struct store_request *request)
{
    return read_found(reply, &((struct store_look *)request)->found);
}

/* --- withdrawals --- */

enum err redis_withdraw_send(struct redis_commands *commands, struct store_request *request,
                             const struct redis_call *call)
{
    struct store_withdraw *withdraw = (struct store_withdraw *)request;
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, withdraw->user_id);
    redis_keys_write_channel(&keys, commands->common->channels);
    struct redis_number seq;
    struct span args[] = {
        keys.inbox,
        keys.meta,
        keys.numbers,
        keys.times,
        keys.channel,
        redis_epoch_text(&withdraw->epoch),
        redis_number_write(&seq, withdraw->seq),
        withdraw->is_all ? SPAN_LITERAL("a") : SPAN_LITERAL(""),
    };
    return redis_commands_eval(commands, call, SCRIPT_WITHDRAW, args, sizeof args / sizeof args[0],
                               5);
}

enum err redis_withdraw_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_withdraw *withdraw = (struct store_withdraw *)request;
    uint64_t n_removed;
    if (!redis_answer_number(reply, 5, &n_removed))
        return ERR_STORE_UNAVAILABLE;
    enum err error = read_found(reply, &withdraw->found);
    if (error == ERR_STORE_UNAVAILABLE)
        return error;
    withdraw->n_removed = n_removed;
    if (n_removed > 0)
        metrics_add(METRIC_INBOX_CANCELLED, n_removed);
    return error;
}
