/* An answer may be given on any thread, so it is posted to the lane that heard the question. An
 * answer to another node is published from there: behind what that lane has sent before, so what
 * was written for the answer is in Redis when the asker reads on. In a Cluster the user and the
 * asker's reply channel may be at two primaries: then a PING behind what was written for the user
 * is answered first. An answer to this node itself goes on to the first lane without Redis.
 */
#include "gateway/stores/redis/redis_asked.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "gateway/stores/redis/redis_message.h"
#include "gateway/stores/redis/redis_publish.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_slots.h"
#include "proto/bytes/put.h"

#include <stdlib.h>

struct redis_question {
    struct store_user_question user; /* of a broadcast the question alone */
    struct list link;
    struct redis_asked *asked;
    struct epoch name; /* whose */
    uint64_t number;
    char texts[]; /* the userId, the reason */
};

static struct redis_question *question_of(struct store_question *question)
{
    return CONTAINER_OF(question, struct redis_question, user.question);
}

void redis_asked_init(struct redis_asked *asked, struct redis_common *common,
                      struct reactor *reactor, struct redis_gather *gather)
{
    asked->common = common;
    asked->reactor = reactor;
    asked->gather = gather;
    list_init(&asked->heard);
}

void redis_asked_fini(struct redis_asked *asked)
{
    LIST_FOR_EACH_SAFE(link, &asked->heard)
    {
        redis_question_free(&CONTAINER_OF(link, struct redis_question, link)->user.question);
    }
}

/* --- answering --- */

/* "NUMBER:COUNT:text". An answer that cannot be sent is missing at the node that asked, which has a
 * deadline. */
static enum err answer_other(const struct redis_question *question)
{
    const struct redis_asked *asked = question->asked;
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    struct span text = buf_span(&question->user.question.text);
    char *answer = malloc(2 * (PUT_NUMBER_MAX_BYTES + 1) + text.len);
    if (answer == NULL)
        return ERR_NO_MEMORY;
    char *at = put_number(answer, question->number);
    *at++ = ':';
    at = put_number(at, question->user.question.count);
    *at++ = ':';
    at = put_span(at, text);
    redis_gather_name_channel(asked->common, &question->name, channel);
    enum err error = redis_publish(asked->of_channel(asked->owner, span_of(channel)),
                                   REDIS_PUBLISH_FOR_AN_ANSWER, span_of(channel),
                                   (struct span){answer, (size_t)(at - answer)}, NULL, NULL, 0);
    free(answer);
    return error;
}

static void send_answer(struct redis_question *question)
{
    if (answer_other(question) != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
    redis_question_free(&question->user.question);
}

/* --- behind what was written for it --- */

/* Without a pong it is not known whether that was done: the answer is missing. */
static void on_pong(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    struct redis_question *question = arg;
    if (reply != NULL) {
        send_answer(question);
        return;
    }
    metrics_count(METRIC_STORE_ERRORS);
    redis_question_free(&question->user.question);
}

static uint16_t slot_of_question(const struct redis_common *common, void *arg, size_t index)
{
    (void)common;
    (void)index;
    return redis_slot_of_user(((const struct redis_question *)arg)->user.user_id);
}

static enum err send_ping(struct redis_commands *commands, void *arg, size_t index,
                          const struct redis_call *call)
{
    struct span ping[] = {SPAN_LITERAL("PING")};
    (void)arg;
    (void)index;
    return redis_commands_send(commands, call, ping, 1);
}

static void give_up_answer(void *arg, size_t index, enum err error)
{
    (void)error;
    on_pong(NULL, arg, index, NULL);
}

static const struct redis_repeat_kind ping_kind = {slot_of_question, send_ping, on_pong,
                                                   give_up_answer, STORE_REPLIES_MS};

/* It is nobody's but the link's, or that of what waits there, until it is sent or given up. */
static void send_answer_behind(struct redis_question *question)
{
    const struct redis_asked *asked = question->asked;
    struct redis_call call = {.on_reply = on_pong, .arg = question};
    uint16_t slot;
    struct redis_commands *commands = asked->of_user(asked->owner, question->user.user_id, &slot);
    enum err error = ERR_OK;
    list_remove(&question->link);
    list_init(&question->link);
    if (!redis_repeats_hold(commands, &ping_kind, question, 0, &error))
        error = send_ping(commands, question, 0, &call);
    if (error != ERR_OK)
        give_up_answer(question, 0, error);
}

/* --- an answer was given --- */

static void deliver_own_answer(struct letter *letter)
{
    struct store_question *answered = CONTAINER_OF(letter, struct store_question, letter);
    struct redis_question *question = question_of(answered);
    redis_gather_answer_here(question->asked->gather, question->number, answered->count,
                             buf_span(&answered->text));
    redis_question_free(answered);
}

static void deliver_answer(struct letter *letter)
{
    struct store_question *answered = CONTAINER_OF(letter, struct store_question, letter);
    struct redis_question *question = question_of(answered);
    struct redis_asked *asked = question->asked;
    if (redis_gather_is_own(asked->gather, question->name)) {
        list_remove(&question->link);
        list_init(&question->link);
        letter->deliver = deliver_own_answer;
        if (asked->gather->reactor == asked->reactor)
            deliver_own_answer(letter);
        else
            mailbox_post(reactor_mailbox(asked->gather->reactor), letter);
        return;
    }
    if (answered->is_unanswered) {
        redis_question_free(answered);
        return;
    }
    if (asked->common->cluster != NULL && question->user.asked.kind == STORE_ASK_DESCRIBE &&
        question->user.user_id.len > 0)
        send_answer_behind(question);
    else
        send_answer(question);
}

/* Any thread. */
static void on_answer(struct store_question *answered)
{
    answered->letter.deliver = deliver_answer;
    mailbox_post(reactor_mailbox(question_of(answered)->asked->reactor), &answered->letter);
}

static struct redis_question *question_new(struct redis_asked *asked, struct epoch name,
                                           uint64_t number, size_t n_text_bytes)
{
    struct redis_question *question = calloc(1, sizeof *question + n_text_bytes);
    if (question == NULL)
        return NULL;
    question->user.question.on_answer = on_answer;
    question->asked = asked;
    question->name = name;
    question->number = number;
    list_append(&asked->heard, &question->link);
    return question;
}

struct store_question *redis_question_new(struct redis_asked *asked, struct epoch name,
                                          uint64_t number)
{
    struct redis_question *question = question_new(asked, name, number, 0);
    return question == NULL ? NULL : &question->user.question;
}

void redis_question_free(struct store_question *question)
{
    list_remove(&question_of(question)->link);
    buf_fini(&question->text);
    free(question_of(question));
}

/* --- hearing --- */

/* NULL: out of memory. */
static struct redis_question *user_question_new(struct redis_asked *asked, struct epoch name,
                                                uint64_t number, struct span user_id,
                                                const struct store_asked *about)
{
    struct redis_question *question =
        question_new(asked, name, number, user_id.len + about->reason.len);
    if (question == NULL)
        return NULL;
    char *reason = put_span(question->texts, user_id);
    put_span(reason, about->reason);
    question->user.user_id = (struct span){question->texts, user_id.len};
    question->user.asked = *about;
    question->user.asked.reason = (struct span){reason, about->reason.len};
    return question;
}

void redis_asked_take(struct redis_asked *asked, struct span user_id, struct span message)
{
    struct epoch name;
    uint64_t number;
    struct store_asked about;
    enum err error = redis_question_read(message, &name, &number, &about);
    if (error == ERR_NOT_FOUND ||
        (error == ERR_OK && (about.kind == STORE_ASK_CLIENTS) != (user_id.len == 0)))
        return;
    struct redis_question *question = NULL;
    if (error == ERR_OK)
        question = user_question_new(asked, name, number, user_id, &about);
    if (question == NULL)
        log_event(LOG_DEBUG, "a question of a node is not answered", LOG_SPAN("user", user_id),
                  LOG_TEXT("why", error == ERR_OK ? "out of memory" : "it is malformed"));
    else
        store_offer_question(&asked->common->events, asked->common->owner, &question->user);
}
