#include "gateway/stores/redis/redis_asks.h"

#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct redis_question {
    struct store_question question;
    struct list link;
    struct redis_asks *asks;
    struct epoch name; /* whose */
    uint64_t number;
};

static void name_channel(const struct redis_asks *asks, const struct epoch *name,
                         char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES])
{
    snprintf(out, REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES, "%s:reply:%.*s",
             asks->common->channels, EPOCH_LEN, name->text);
}

enum err redis_asks_init(struct redis_asks *asks, struct redis_common *common,
                         struct reactor *reactor, struct redis_commands *commands)
{
    asks->common = common;
    asks->reactor = reactor;
    asks->commands = commands;
    asks->last_number = 0;
    list_init(&asks->asked);
    list_init(&asks->heard);
    enum err error = epoch_random(&asks->name);
    if (error != ERR_OK)
        return error;
    snprintf(asks->all, sizeof asks->all, "%s:all", common->channels);
    name_channel(asks, &asks->name, asks->reply);
    return ERR_OK;
}

struct span redis_asks_all_channel(const struct redis_asks *asks)
{
    return span_of(asks->all);
}

struct span redis_asks_reply_channel(const struct redis_asks *asks)
{
    return span_of(asks->reply);
}

/* --- asking --- */

static struct redis_ask *find_ask(struct redis_asks *asks, uint64_t number)
{
    LIST_FOR_EACH(link, &asks->asked)
    {
        struct redis_ask *ask = CONTAINER_OF(link, struct redis_ask, link);
        if (ask->number == number)
            return ask;
    }
    return NULL;
}

static void end_ask(struct redis_ask *ask)
{
    timer_cancel(reactor_timers(ask->asks->reactor), &ask->timer);
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

/* NULL or an error: nobody knows who got it, so the time decides. */
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

static enum err publish(struct redis_asks *asks, struct span channel, struct span message,
                        redis_reply_fn on_reply, uint64_t number)
{
    if (!asks->commands->is_ready)
        return ERR_STORE_UNAVAILABLE;
    struct span args[] = {SPAN_LITERAL("PUBLISH"), channel, message};
    return redis_link_command(asks->commands->link, args, 3, on_reply, asks, number);
}

void redis_asks_publish(struct redis_asks *asks, struct redis_ask *ask, struct span channel,
                        char kind, struct span rest)
{
    ask->asks = asks;
    ask->number = ++asks->last_number;
    list_append(&asks->asked, &ask->link);
    timer_init(&ask->timer, on_late);
    timer_set(reactor_timers(asks->reactor), &ask->timer,
              reactor_now_ms(asks->reactor) + STORE_REPLIES_MS);

    enum err error = ERR_NO_MEMORY;
    char *message = malloc(REDIS_ASK_MAX_BYTES + 8 + rest.len);
    if (message != NULL) {
        int len = snprintf(message, REDIS_ASK_MAX_BYTES + 8, "%c:%.*s:%" PRIu64 ":", kind,
                           EPOCH_LEN, asks->name.text, ask->number);
        memcpy(message + len, rest.bytes, rest.len);
        error = publish(asks, channel, (struct span){message, (size_t)len + rest.len}, on_published,
                        ask->number);
    }
    free(message);
    ask->has_receivers = error != ERR_OK; /* and then there is none */
}

bool redis_ask_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
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

bool redis_asks_take_own(struct redis_asks *asks, struct epoch name, uint64_t number)
{
    if (!epoch_equal(name, asks->name))
        return false;
    struct redis_ask *ask = find_ask(asks, number);
    if (ask != NULL) {
        ask->n_heard++;
        end_if_over(ask);
    }
    return true;
}

void redis_asks_take_answer(struct redis_asks *asks, struct span message)
{
    int64_t number, count;
    if (!redis_take_number(&message, &number) || !redis_take_number(&message, &count))
        return;
    struct redis_ask *ask = find_ask(asks, (uint64_t)number);
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

/* An answer that cannot be sent is missed by the one who asked, which has a deadline. */
static void answer_other(const struct redis_question *question)
{
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    char answer[48];
    name_channel(question->asks, &question->name, channel);
    snprintf(answer, sizeof answer, "%" PRIu64 ":%" PRIu64 ":", question->number,
             question->question.count);
    if (publish(question->asks, span_of(channel), span_of(answer), ignore_reply, 0) != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
}

static void answer_here(struct redis_asks *asks, uint64_t number, uint64_t count)
{
    struct redis_ask *ask = find_ask(asks, number);
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
    if (epoch_equal(question->name, question->asks->name))
        answer_here(question->asks, question->number, asked->count);
    else
        answer_other(question);
    redis_question_free(asked);
}

/* Any thread. */
static void on_answer(struct store_question *asked)
{
    struct redis_question *question = CONTAINER_OF(asked, struct redis_question, question);
    mailbox_post(reactor_mailbox(question->asks->reactor), &asked->letter);
}

struct store_question *redis_question_new(struct redis_asks *asks, struct epoch name,
                                          uint64_t number)
{
    struct redis_question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return NULL;
    question->question.letter.deliver = deliver_answer;
    question->question.on_answer = on_answer;
    question->asks = asks;
    question->name = name;
    question->number = number;
    list_append(&asks->heard, &question->link);
    return &question->question;
}

void redis_question_free(struct store_question *asked)
{
    struct redis_question *question = CONTAINER_OF(asked, struct redis_question, question);
    list_remove(&question->link);
    free(question);
}

void redis_asks_fini(struct redis_asks *asks)
{
    LIST_FOR_EACH_SAFE(link, &asks->asked)
    {
        end_ask(CONTAINER_OF(link, struct redis_ask, link));
    }
    LIST_FOR_EACH_SAFE(link, &asks->heard)
    {
        struct redis_question *question = CONTAINER_OF(link, struct redis_question, link);
        redis_question_free(&question->question);
    }
}
