/* This node hears its own question on a user's channel like the others, if it has sessions of
 * his. If it has not heard it when all that did have answered, because Redis is away, or because
 * the user's subscription is refused or not there yet, it is asked without Redis. That adds nothing
 * for a node where nobody is: it is counted only if it has something to say, or was asked alone.
 * What is asked of one node is that node's to answer, and no other's.
 */
#include "gateway/stores/redis/redis_user_ask.h"

#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "gateway/stores/redis/redis_ops.h"
#include "proto/bytes/put.h"
#include "proto/note/connection_id.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct user_ask {
    struct redis_ask ask;
    struct store_ask *request;
    struct store_user_question here; /* to this node without Redis */
};

enum { REST_MAX_BYTES = PUT_NUMBER_MAX_BYTES + 4 + STORE_REASON_MAX_BYTES + EPOCH_LEN };

static void finish_ask(struct user_ask *ask)
{
    struct store_ask *request = ask->request;
    request->count += ask->ask.count;
    request->n_asked = ask->ask.n_receivers + request->n_answered; /* those, and this node */
    request->n_answered += ask->ask.n_answers;
    if (request->n_asked < request->n_answered)
        request->n_asked = request->n_answered;
    if (!ask->ask.has_receivers)
        request->n_asked = request->n_answered + 1; /* or more: Redis has not said */
    free(ask);
    request->request.on_done(&request->request);
}

/* --- this node, without Redis --- */

static void deliver_here(struct letter *letter)
{
    struct store_question *here = CONTAINER_OF(letter, struct store_question, letter);
    struct user_ask *ask = CONTAINER_OF(here, struct user_ask, here.question);
    struct store_ask *request = ask->request;
    request->count += here->count;
    request->n_answered += here->count > 0 || request->is_alone;
    store_ask_add_text(request, buf_span(&here->text));
    buf_fini(&here->text);
    finish_ask(ask);
}

/* Any thread. */
static void on_answered_here(struct store_question *here)
{
    struct redis_gather *gather = CONTAINER_OF(here, struct user_ask, here.question)->ask.gather;
    here->letter.deliver = deliver_here;
    mailbox_post(reactor_mailbox(gather->reactor), &here->letter);
}

static void ask_here(struct user_ask *ask)
{
    const struct redis_common *common = ask->ask.gather->common;
    ask->here.question.on_answer = on_answered_here;
    ask->here.user_id = ask->request->user_id;
    ask->here.asked = ask->request->asked;
    store_offer_question(&common->events, common->owner, &ask->here);
}

/* --- all of them --- */

static void on_text(struct redis_ask *asked, struct span text)
{
    store_ask_add_text(CONTAINER_OF(asked, struct user_ask, ask)->request, text);
}

static void on_over(struct redis_ask *asked)
{
    struct user_ask *ask = CONTAINER_OF(asked, struct user_ask, ask);
    if (asked->gather->is_closing)
        ask->request->error = ERR_STORE_UNAVAILABLE;
    bool is_of_one_node = ask->request->asked.kind == STORE_ASK_CLIENTS;
    if (is_of_one_node || asked->is_answered_here || asked->gather->is_closing)
        finish_ask(ask);
    else
        ask_here(ask);
}

/* What follows NAME and NUMBER; answers the letter before them. */
static char write_question(const struct store_asked *asked, char rest[REST_MAX_BYTES],
                           size_t *ret_len)
{
    char kind = 'Q';
    char *at = rest;
    switch (asked->kind) {
    case STORE_ASK_KICK:
        assert(asked->reason.len <= STORE_REASON_MAX_BYTES);
        kind = 'K';
        at = put_number(at, (uint64_t)asked->until_ms);
        at = PUT_LITERAL(at, ":");
        at = put_span(at, asked->reason);
        break;
    case STORE_ASK_DESCRIBE:
        at = PUT_LITERAL(at, "c");
        break;
    case STORE_ASK_WRITTEN:
        at = PUT_LITERAL(at, "w:");
        at = put_number(at, asked->seq);
        at = PUT_LITERAL(at, ":");
        if (!epoch_is_none(asked->epoch))
            at = put_span(at, (struct span){asked->epoch.text, EPOCH_LEN});
        break;
    case STORE_ASK_CONNECTION:
        at = PUT_LITERAL(at, "h:");
        at += connection_id_write(asked->connection, at);
        break;
    case STORE_ASK_CLIENTS:
        kind = 'L';
        at += snprintf(at, REST_MAX_BYTES, "%016" PRIx64 ":%" PRIu32, asked->after, asked->limit);
        break;
    case STORE_ASK_KINDS:
        break;
    }
    *ret_len = (size_t)(at - rest);
    return kind;
}

static void count_question(enum store_ask_kind kind)
{
    static const enum metric metrics[STORE_ASK_KINDS] = {
        [STORE_ASK_KICK] = METRIC_QUESTIONS_KICK,
        [STORE_ASK_DESCRIBE] = METRIC_QUESTIONS_DESCRIBE,
        [STORE_ASK_WRITTEN] = METRIC_QUESTIONS_WRITTEN,
        [STORE_ASK_CONNECTION] = METRIC_QUESTIONS_CONNECTION,
        [STORE_ASK_CLIENTS] = METRIC_QUESTIONS_CLIENTS,
    };
    metrics_count(metrics[kind]);
}

static void refuse_request(struct redis_gather *gather, struct store_ask *request, enum err error)
{
    redis_ops_refuse(gather->of_channel(gather->owner, redis_gather_all_channel(gather)),
                     &request->request, error);
}

/* Nobody gets it: Redis is away. */
static void end_unsent(struct user_ask *ask)
{
    struct redis_gather *gather = ask->ask.gather;
    struct store_ask *request = ask->request;
    request->is_alone = true;
    redis_gather_end(&ask->ask);
    if (request->asked.kind != STORE_ASK_CLIENTS) {
        ask_here(ask);
        return;
    }
    free(ask);
    refuse_request(gather, request, ERR_STORE_UNAVAILABLE);
}

static void publish_question(struct redis_gather *gather, struct user_ask *ask)
{
    const struct store_ask *request = ask->request;
    char node[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    struct redis_keys keys;
    char rest[REST_MAX_BYTES];
    size_t rest_len;
    char kind = write_question(&request->asked, rest, &rest_len);
    struct span channel;
    if (request->asked.kind == STORE_ASK_CLIENTS) {
        redis_gather_name_node(gather->common, &request->asked.node, node);
        channel = span_of(node);
    } else {
        redis_keys_write(&keys, gather->common->prefix, request->user_id);
        redis_keys_write_channel(&keys, gather->common->channels);
        channel = keys.channel;
    }
    redis_gather_publish(gather, &ask->ask, channel, kind, (struct span){rest, rest_len});
}

void redis_user_ask_run(struct redis_gather *gather, struct store_ask *request)
{
    struct user_ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        refuse_request(gather, request, ERR_NO_MEMORY);
        return;
    }
    count_question(request->asked.kind);
    ask->request = request;
    ask->ask.on_text = on_text;
    ask->ask.on_over = on_over;
    publish_question(gather, ask);
    if (!ask->ask.is_sent)
        end_unsent(ask);
}
