#include "gateway/stores/redis/redis_broadcast.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "gateway/stores/redis/redis_message.h"
#include "gateway/stores/redis/redis_ops.h"

#include <stdlib.h>

struct broadcast_ask {
    struct redis_ask ask;
    struct store_broadcast *broadcast;
};

static void on_over(struct redis_ask *asked)
{
    struct broadcast_ask *ask = CONTAINER_OF(asked, struct broadcast_ask, ask);
    struct store_broadcast *broadcast = ask->broadcast;
    broadcast->online = asked->count;
    broadcast->nodes = asked->n_answers;
    free(ask);
    broadcast->request.on_done(&broadcast->request);
}

/* Of the primary that broadcasts go through. */
static int64_t now_ms(const struct redis_asked *asked)
{
    struct span all = redis_gather_all_channel(asked->gather);
    const struct redis_commands *commands = asked->of_channel(asked->owner, all);
    return redis_clock_now_ms(commands->primary != NULL ? commands->primary->clock
                                                        : &asked->common->clock);
}

static enum err offer_here(struct redis_asked *asked, struct payload *payload, struct epoch name,
                           uint64_t number)
{
    struct store_question *question = redis_question_new(asked, name, number);
    if (question == NULL)
        return ERR_NO_MEMORY;
    enum err error = store_offer_broadcast(&asked->common->events, asked->common->owner, payload,
                                           now_ms(asked), question);
    if (error != ERR_OK)
        redis_question_free(question);
    return error;
}

/* This node first: a broadcast that cannot be handed to this node is sent to no other. This node's
 * answer comes by letter, later in the turn or after it, so it finds the ask that is published
 * here.
 */
void redis_broadcast_run(struct redis_asked *asked, struct store_broadcast *broadcast)
{
    struct redis_gather *gather = asked->gather;
    struct broadcast_ask *ask = calloc(1, sizeof *ask);
    enum err error = ERR_NO_MEMORY;
    if (ask != NULL)
        error = offer_here(asked, broadcast->payload, atomic_load(&gather->name),
                           gather->last_number + 1);
    if (error != ERR_OK) {
        free(ask);
        redis_ops_refuse(gather->of_channel(gather->owner, redis_gather_all_channel(gather)),
                         &broadcast->request, error);
        return;
    }
    metrics_count(METRIC_QUESTIONS_BROADCAST);
    ask->broadcast = broadcast;
    ask->ask.on_over = on_over;
    ask->ask.waits_here = true;
    redis_gather_publish(gather, &ask->ask, redis_gather_all_channel(gather), 'B',
                         payload_data(broadcast->payload));
}

static void take_broadcast(struct redis_asked *asked, struct epoch name, uint64_t number,
                           struct span data)
{
    struct payload *payload = payload_new(data);
    enum err error = payload == NULL ? ERR_NO_MEMORY : offer_here(asked, payload, name, number);
    static struct log_limit drops = LOG_LIMIT(1000);
    if (error != ERR_OK)
        log_limited(&drops, span_of("any"), LOG_WARN, "a broadcast of another node was dropped",
                    LOG_TEXT("why", error_title(error)));
    payload_unref(payload);
}

void redis_broadcast_take(struct redis_asked *asked, struct span message)
{
    struct epoch name;
    uint64_t number;
    struct span data;
    if (message.len == 0 || message.bytes[0] != 'B')
        return;
    if (!redis_asker_read(message, &name, &number, &data) || data.len == 0)
        log_event(LOG_DEBUG, "a message to all nodes is malformed",
                  LOG_INT("bytes", (int64_t)message.len));
    else if (!redis_gather_take_own(asked->gather, name, number))
        take_broadcast(asked, name, number, data);
}
