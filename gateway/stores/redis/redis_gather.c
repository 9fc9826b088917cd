/* A question is published with a number; the asker keeps a struct redis_ask until it is over: this
 * node has answered, and either all receivers have, or STORE_REPLIES_MS have passed. Redis says in
 * its answer to PUBLISH how many nodes received the question, the asker itself included.
 *
 * A node that is asked makes a struct redis_question and hands it to an event. Its answer may come
 * on any thread, so it is posted to the lane, which publishes it on the asker's reply channel. When
 * Redis is away only this node is asked, and an answer that cannot be sent is dropped.
 */
#include "gateway/stores/redis/redis_gather.h"

#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct redis_question {
    struct store_question question;
    struct list link;
    struct redis_gather *gather;
    struct epoch name; /* whose */
    uint64_t number;
};

static void name_channel(const struct redis_gather *gather, const struct epoch *name,
                         char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES])
{
    snprintf(out, REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES, "%s:reply:%.*s",
             gather->common->channels, EPOCH_LEN, name->text);
}

enum err redis_gather_init(struct redis_gather *gather, struct redis_common *common,
                           struct reactor *reactor)
{
    gather->common = common;
    gather->reactor = reactor;
    gather->last_number = 0;
    list_init(&gather->asked);
    list_init(&gather->heard);
    enum err error = epoch_random(&gather->name);
    if (error != ERR_OK)
        return error;
    snprintf(gather->all, sizeof gather->all, "%s:all", common->channels);
    name_channel(gather, &gather->name, gather->reply);
    return ERR_OK;
}

struct span redis_gather_all_channel(const struct redis_gather *gather)
{
    return span_of(gather->all);
}

struct span redis_gather_reply_channel(const struct redis_gather *gather)
{
    return span_of(gather->reply);
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

static void end_ask(struct redis_ask *ask)
{
    timer_cancel(reactor_timers(ask->gather->reactor), &ask->timer);
    list_remove(&ask->link);
    ask->on_over(ask);
}

static void end_if_over(struct redis_ask *ask)
{
    bool has_all = ask->has_receivers && ask->n_heard >= ask->n_receivers;
    if (ask->is_answered_here && (has_all || ask->is_late))
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
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(owner, reply->bytes);
    struct redis_ask *ask = find_ask(arg, index);
    if (ask == NULL || !redis_value_is(reply, REDIS_INTEGER) || reply->integer < 0)
        return;
    ask->has_receivers = true;
    ask->n_receivers = (unsigned)reply->integer;
    end_if_over(ask);
}

static enum err publish_message(struct redis_gather *gather, struct span channel,
                                struct span message, redis_reply_fn on_reply, uint64_t number)
{
    struct redis_commands *commands = gather->of_channel(gather->owner, channel);
    if (!commands->is_ready)
        return ERR_STORE_UNAVAILABLE;
    struct span args[] = {SPAN_LITERAL("PUBLISH"), channel, message};
    return redis_link_command(commands->link, args, 3, on_reply, gather, number);
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
    if (message != NULL) {
        int len = snprintf(message, REDIS_ASK_MAX_BYTES + 8, "%c:%.*s:%" PRIu64 ":", kind,
                           EPOCH_LEN, gather->name.text, ask->number);
        memcpy(message + len, rest.bytes, rest.len);
        error = publish_message(gather, channel, (struct span){message, (size_t)len + rest.len},
                                on_published, ask->number);
    }
    free(message);
    ask->has_receivers = error != ERR_OK; /* and then there is none */
}

bool redis_gather_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
                       struct span *ret_rest)
{
    enum { NAME_AT = 2, NUMBER_AT = NAME_AT + EPOCH_LEN + 1 };
    int64_t number;
    if (message.len <= NUMBER_AT || message.bytes[1] != ':' ||
        message.bytes[NUMBER_AT - 1] != ':' ||
        !redis_epoch_read((struct span){message.bytes + NAME_AT, EPOCH_LEN}, ret_name))
        return false;
    *ret_rest = (struct span){message.bytes + NUMBER_AT, message.len - NUMBER_AT};
    if (!redis_take_number(ret_rest, &number))
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

bool redis_gather_take_own(struct redis_gather *gather, struct epoch name, uint64_t number)
{
    if (!epoch_equal(name, gather->name))
        return false;
    struct redis_ask *ask = find_ask(gather, number);
    if (ask != NULL) {
        ask->n_heard++;
        end_if_over(ask);
    }
    return true;
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
    end_if_over(ask);
}

/* --- being asked --- */

static void ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

/* An answer that cannot be sent is missing at the node that asked, which has a deadline. */
static void answer_other(const struct redis_question *question)
{
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    char answer[48];
    name_channel(question->gather, &question->name, channel);
    snprintf(answer, sizeof answer, "%" PRIu64 ":%" PRIu64 ":", question->number,
             question->question.count);
    if (publish_message(question->gather, span_of(channel), span_of(answer), ignore_reply, 0) !=
        ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
}

static void answer_here(struct redis_gather *gather, uint64_t number, uint64_t count)
{
    struct redis_ask *ask = find_ask(gather, number);
    if (ask == NULL)
        return;
    ask->is_answered_here = true;
    ask->n_answers++;
    ask->count += count;
    end_if_over(ask);
}

static void deliver_answer(struct letter *letter)
{
    struct store_question *asked = CONTAINER_OF(letter, struct store_question, letter);
    struct redis_question *question = CONTAINER_OF(asked, struct redis_question, question);
    if (epoch_equal(question->name, question->gather->name))
        answer_here(question->gather, question->number, asked->count);
    else
        answer_other(question);
    redis_question_free(asked);
}

/* Any thread. */
static void on_answer(struct store_question *asked)
{
    struct redis_question *question = CONTAINER_OF(asked, struct redis_question, question);
    mailbox_post(reactor_mailbox(question->gather->reactor), &asked->letter);
}

struct store_question *redis_question_new(struct redis_gather *gather, struct epoch name,
                                          uint64_t number)
{
    struct redis_question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return NULL;
    question->question.letter.deliver = deliver_answer;
    question->question.on_answer = on_answer;
    question->gather = gather;
    question->name = name;
    question->number = number;
    list_append(&gather->heard, &question->link);
    return &question->question;
}

void redis_question_free(struct store_question *asked)
{
    struct redis_question *question = CONTAINER_OF(asked, struct redis_question, question);
    list_remove(&question->link);
    free(question);
}

void redis_gather_fini(struct redis_gather *gather)
{
    LIST_FOR_EACH_SAFE(link, &gather->asked)
    {
        end_ask(CONTAINER_OF(link, struct redis_ask, link));
    }
    LIST_FOR_EACH_SAFE(link, &gather->heard)
    {
        struct redis_question *question = CONTAINER_OF(link, struct redis_question, link);
        redis_question_free(&question->question);
    }
}
