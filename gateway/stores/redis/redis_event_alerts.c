/* A push that is kept hands its alert over, which is put into the batch of its partition. At the
 * end of the turn each batch becomes one call, to the primary that has the partition, which need
 * not be the push's. Its answer says of each alert whether it is kept, and so each push is
 * answered.
 *
 * A batch is a block of memory until its answer has come. Where Redis did nothing the whole batch
 * is sent again (redis_repeats.h); where the link broke all its pushes fail. Their repeats, by
 * idempotency key, bring the alerts again, and an alert that is there already is there once. */
#include "gateway/stores/redis/redis_event_alerts.h"

#include "gateway/stores/redis/redis_event_serve.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_replicas.h"
#include "gateway/stores/redis/redis_slots.h"

#include <stdlib.h>

enum { BATCH_MAX = 50 };

struct waiting_alert {
    struct redis_commands *commands; /* of the push */
    const struct store_append *append;
    size_t index;
    redis_alert_done_fn *done;
};

struct redis_alerts_batch {
    unsigned partition;
    size_t n;
    struct waiting_alert alerts[BATCH_MAX];
};

/* --- one call --- */

static struct span write_due(const struct waiting_alert *waiting, struct redis_number *due)
{
    const struct store_target *target = &waiting->append->targets[waiting->index];
    return redis_number_write(due, (uint64_t)target->time_ms +
                                       (uint64_t)waiting->append->alert_after_s * 1000);
}

static struct span write_alert(const struct waiting_alert *waiting, char out[REDIS_ALERT_MAX_BYTES])
{
    const struct store_target *target = &waiting->append->targets[waiting->index];
    struct store_alert alert = {.user_id_len = (uint8_t)target->user_id.len,
                                .epoch = target->epoch,
                                .seq = target->seq,
                                .pushed_ms = target->time_ms};
    memcpy(alert.user_id, target->user_id.bytes, target->user_id.len);
    return redis_alert_write(&alert, out);
}

static enum err send_batch(struct redis_commands *commands, const struct redis_alerts_batch *batch,
                           const struct redis_call *call)
{
    enum { KEYS = 4, PACKED_BYTES = 4 * REDIS_PACKED_BYTES };
    const struct redis_common *common = commands->common;
    struct redis_keys keys;
    struct redis_event_keys more;
    char packed[PACKED_BYTES];
    char texts[BATCH_MAX][REDIS_ALERT_MAX_BYTES];
    struct redis_number dues[BATCH_MAX];
    struct span args[KEYS + 1 + 2 * BATCH_MAX];
    redis_event_keys(common, store_partition_user(batch->partition), &keys);
    redis_event_keys_more(&keys, &more);
    char *at = redis_pack_number(packed, common->events_max);
    at = redis_pack_number(at, common->events_max_bytes);
    at = redis_pack_number(at, common->alerts_max);
    redis_pack_number(at, (uint64_t)common->idempotency_window_s * 1000);
    args[0] = keys.inbox;
    args[1] = keys.meta;
    args[2] = keys.channel;
    args[3] = more.alerts.text;
    args[KEYS] = (struct span){packed, sizeof packed};
    size_t n = KEYS + 1;
    for (size_t i = 0; i < batch->n; i++) {
        args[n++] = write_due(&batch->alerts[i], &dues[i]);
        args[n++] = write_alert(&batch->alerts[i], texts[i]);
    }
    return redis_commands_eval(commands, call, SCRIPT_EVENT_ALERTS, args, n, KEYS);
}

/* --- answers --- */

static void answer_alert(struct redis_alerts_batch *batch, size_t index, enum err error)
{
    const struct waiting_alert *waiting = &batch->alerts[index];
    waiting->done(waiting->commands, (void *)waiting->append, waiting->index, error);
}

static void answer_all(struct redis_alerts_batch *batch, enum err error)
{
    for (size_t i = 0; i < batch->n; i++)
        answer_alert(batch, i, error);
    free(batch);
}

static void answer_batch(void *arg, size_t index, enum err error)
{
    (void)index;
    answer_all(arg, error);
}

static void answer_held(void *owner, void *arg, size_t index, enum err error)
{
    (void)owner;
    struct redis_alerts_batch *batch = arg;
    if (error != ERR_OK) {
        answer_batch(batch, index, error);
        return;
    }
    for (size_t i = 0; i < batch->n; i++) {
        const struct waiting_alert *waiting = &batch->alerts[i];
        answer_alert(batch, i, waiting->append->targets[waiting->index].error);
    }
    free(batch);
}

static bool take_answers(const struct redis_value *reply, struct redis_alerts_batch *batch)
{
    uint64_t expired;
    if (!redis_answer_number(reply, batch->n, &expired))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        const struct waiting_alert *waiting = &batch->alerts[i];
        uint64_t is_refused;
        if (!redis_answer_number(reply, i, &is_refused))
            return false;
        waiting->append->targets[waiting->index].error = is_refused != 0 ? ERR_FULL : ERR_OK;
    }
    redis_event_count_left(0, expired);
    return true;
}

static void on_batch_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static uint16_t slot_of_batch(const struct redis_common *common, void *arg, size_t index)
{
    (void)common;
    (void)index;
    return redis_slot_of_user(
        store_partition_user(((const struct redis_alerts_batch *)arg)->partition));
}

static enum err send_again(struct redis_commands *commands, void *arg, size_t index,
                           const struct redis_call *call)
{
    (void)index;
    return send_batch(commands, arg, call);
}

static const struct redis_repeat_kind batch_kind = {slot_of_batch, send_again, on_batch_reply,
                                                    answer_batch, REDIS_REPEAT_MS};

static void on_batch_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_commands *commands = owner;
    struct redis_alerts_batch *batch = arg;
    if (redis_repeats_take(commands, &batch_kind, batch, index, reply))
        return;
    if (reply == NULL || !take_answers(reply, batch)) {
        redis_answer_refused(commands, reply);
        answer_all(batch, ERR_STORE_UNAVAILABLE);
    } else if (redis_replicas_are_wanted(commands->replicas)) {
        redis_replicas_hold(commands->replicas, answer_held, batch, 0);
    } else {
        answer_held(commands, batch, 0, ERR_OK);
    }
}

/* --- gathering --- */

static void send_gathered(struct redis_alerts *alerts, unsigned partition)
{
    struct redis_alerts_batch *batch = alerts->gathered[partition];
    uint16_t slot;
    enum err error = ERR_OK;
    if (batch == NULL)
        return;
    alerts->gathered[partition] = NULL;
    struct redis_commands *commands =
        alerts->route.of_user(alerts->route.owner, store_partition_user(partition), &slot);
    struct redis_call call = {.on_reply = on_batch_reply, .arg = batch};
    if (!redis_repeats_hold(commands, &batch_kind, batch, 0, &error))
        error = send_batch(commands, batch, &call);
    if (error != ERR_OK)
        answer_all(batch, redis_answer_error(error));
}

static void run_task(struct reactor_task *task)
{
    struct redis_alerts *alerts = CONTAINER_OF(task, struct redis_alerts, task);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        send_gathered(alerts, i);
}

void redis_alerts_add(struct redis_alerts *alerts, struct redis_commands *commands,
                      const struct store_append *append, size_t index, redis_alert_done_fn *done)
{
    unsigned partition = store_partition_of(append->targets[index].user_id);
    struct redis_alerts_batch **gathered = &alerts->gathered[partition];
    if (*gathered != NULL && (*gathered)->n == BATCH_MAX)
        send_gathered(alerts, partition);
    if (*gathered == NULL)
        *gathered = calloc(1, sizeof **gathered);
    if (*gathered == NULL) {
        done(commands, (void *)append, index, ERR_NO_MEMORY);
        return;
    }
    (*gathered)->partition = partition;
    (*gathered)->alerts[(*gathered)->n++] = (struct waiting_alert){commands, append, index, done};
    reactor_at_turn_end(alerts->reactor, &alerts->task);
}

void redis_alerts_init(struct redis_alerts *alerts, struct reactor *reactor)
{
    alerts->reactor = reactor;
    list_init(&alerts->task.link);
    alerts->task.run = run_task;
}

void redis_alerts_fini(struct redis_alerts *alerts)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (alerts->gathered[i] != NULL)
            answer_all(alerts->gathered[i], ERR_STORE_UNAVAILABLE);
        alerts->gathered[i] = NULL;
    }
    reactor_task_cancel(&alerts->task);
}
