/* A question is published with a number; the asker keeps a struct redis_ask until it is over. Redis
 * says in its answer to SPUBLISH how many nodes received the question, the asker itself included.
 * Answers come as messages of the reply channel, this node's own by a call.
 */
#include "gateway/stores/redis/redis_gather.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void redis_gather_name_channel(const struct redis_common *common, const struct epoch *name,
                               char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES])
{
    snprintf(out, REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES, "%s:reply:%.*s",
             common->channels, EPOCH_LEN, name->text);
}

void redis_gather_name_node(const struct redis_common *common, const struct epoch *name,
                            char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES])
{
    snprintf(out, REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES, "%s:node:%.*s",
             common->channels, EPOCH_LEN, name->text);
}

enum err redis_gather_init(struct redis_gather *gather, struct redis_common *common,
                           struct reactor *reactor)
{
    gather->common = common;
    gather->reactor = reactor;
    gather->last_number = 0;
    list_init(&gather->asked);
    struct epoch name;
    enum err error = epoch_random(&name);
    if (error != ERR_OK)
        return error;
    snprintf(gather->all, sizeof gather->all, "%s:all", common->channels);
    atomic_store(&gather->name, name);
    redis_gather_rename(gather, name);
    redis_gather_name_node(common, &common->name, gather->node);
    return ERR_OK;
}

void redis_gather_rename(struct redis_gather *gather, struct epoch name)
{
    atomic_store(&gather->former, atomic_load(&gather->name));
    atomic_store(&gather->name, name);
    redis_gather_name_channel(gather->common, &name, gather->reply);
}

bool redis_gather_is_own(const struct redis_gather *gather, struct epoch name)
{
    return epoch_equal(name, atomic_load(&gather->name)) ||
           epoch_equal(name, atomic_load(&gather->former));
}

struct span redis_gather_all_channel(const struct redis_gather *gather)
{
    return span_of(gather->all);
}

struct span redis_gather_reply_channel(const struct redis_gather *gather)
{
    return span_of(gather->reply);
}

struct span redis_gather_node_channel(const struct redis_gather *gather)
{
    return span_of(gather->node);
}

/* --- asking --- */

static struct redis_ask *find_ask(struct redis_gather *gather, uint64_t number)
{
    LIST_FOR_EACH(link, &gather->asked)
    {
        struct redis_ask *ask = CONTAINER_OF(link, struct redis_ask, link);
        if (ask->number == number)
            return ask;
    }
    return NULL;
}

void redis_gather_end(struct redis_ask *ask)
{
    timer_cancel(reactor_timers(ask->gather->reactor), &ask->timer);
    list_remove(&ask->link);
}

static void end_ask(struct redis_ask *ask)
{
    redis_gather_end(ask);
    ask->on_over(ask);
}

static void end_if_over(struct redis_ask *ask)
{
    bool has_all = ask->has_receivers && ask->n_heard >= ask->n_receivers;
    if ((ask->is_answered_here || !ask->waits_here) && (has_all || ask->is_late))
        end_ask(ask);
}

static void on_late(struct timer *timer)
{
    struct redis_ask *ask = CONTAINER_OF(timer, struct redis_ask, timer);
    ask->is_late = true;
    if (ask->has_receivers && ask->n_heard < ask->n_receivers)
        metrics_add(METRIC_NODES_SILENT, ask->n_receivers - ask->n_heard);
    end_if_over(ask);
}

/* NULL or an error: it is not known how many nodes received it, so the time decides. */
static void on_published(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    struct redis_ask *ask = find_ask(arg, index);
    if (ask == NULL || !redis_value_is(reply, REDIS_INTEGER) || reply->integer < 0)
        return;
    ask->has_receivers = true;
    ask->n_receivers = (unsigned)reply->integer;
    end_if_over(ask);
}

void redis_gather_publish(struct redis_gather *gather, struct redis_ask *ask, struct span channel,
                          char kind, struct span rest)
{
    ask->gather = gather;
    ask->number = ++gather->last_number;
    list_append(&gather->asked, &ask->link);
    timer_init(&ask->timer, on_late);
    timer_set(reactor_timers(gather->reactor), &ask->timer,
              reactor_now_ms(gather->reactor) + STORE_REPLIES_MS);

    enum err error = ERR_NO_MEMORY;
    char *message = malloc(REDIS_ASK_MAX_BYTES + 8 + rest.len);
    struct epoch name = atomic_load(&gather->name);
    if (message != NULL) {
        int len = snprintf(message, REDIS_ASK_MAX_BYTES + 8, "%c:%.*s:%" PRIu64 ":", kind,
                           EPOCH_LEN, name.text, ask->number);
        memcpy(message + len, rest.bytes, rest.len);
        error = redis_publish(
            gather->of_channel(gather->owner, channel), REDIS_PUBLISH_FOR_AN_ANSWER, channel,
            (struct span){message, (size_t)len + rest.len}, on_published, gather, ask->number);
    }
    free(message);
    ask->is_sent = error == ERR_OK;
    ask->has_receivers = !ask->is_sent; /* and then there is none */
}

bool redis_gather_take_own(struct redis_gather *gather, struct epoch name, uint64_t number)
{
    if (!redis_gather_is_own(gather, name))
        return false;
    struct redis_ask *ask = find_ask(gather, number);
    if (ask != NULL) {
        ask->n_heard++;
        end_if_over(ask);
    }
    return true;
}

static void take_text(struct redis_ask *ask, struct span text)
{
    if (text.len > 0 && ask->on_text != NULL)
        ask->on_text(ask, text);
}

void redis_gather_take_answer(struct redis_gather *gather, struct span message)
{
    int64_t number, count;
    if (!redis_take_number(&message, &number) || !redis_take_number(&message, &count))
        return;
    struct redis_ask *ask = find_ask(gather, (uint64_t)number);
    if (ask == NULL)
        return; /* too late */
    ask->n_heard++;
    ask->n_answers++;
    ask->count += (uint64_t)count;
    take_text(ask, message);
    end_if_over(ask);
}

void redis_gather_answer_here(struct redis_gather *gather, uint64_t number, uint64_t count,
                              struct span text)
{
    struct redis_ask *ask = find_ask(gather, number);
    if (ask == NULL || ask->is_answered_here)
        return;
    ask->is_answered_here = true;
    ask->n_heard += !ask->waits_here;
    ask->n_answers++;
    ask->count += count;
    take_text(ask, text);
    end_if_over(ask);
}

void redis_gather_fini(struct redis_gather *gather)
{
    gather->is_closing = true;
    LIST_FOR_EACH_SAFE(link, &gather->asked)
    {
        end_ask(CONTAINER_OF(link, struct redis_ask, link));
    }
}
