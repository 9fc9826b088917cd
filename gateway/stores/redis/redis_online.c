/* Users are asked about in batches, all at once: a command for many thousands of channels would
 * keep Redis from others. The users of a batch are those of one shard. */
#include "gateway/stores/redis/redis_online.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"

#include <stdlib.h>

enum { USERS_A_COMMAND = 500, WORDS = 2 };

struct batch {
    struct store_online *online;
    size_t n;
    uint32_t users[USERS_A_COMMAND]; /* their indexes in the request */
};

/* Until it is answered the request's op counts what is still to come. */
static bool is_last(struct store_online *online, enum err error)
{
    if (error != ERR_OK) {
        online->error = error;
        metrics_count(METRIC_STORE_ERRORS);
    }
    return --online->request.op == 0;
}

/* A channel and a number for each, in the order of the command. */
static enum err take_counts(const struct batch *batch, const struct redis_value *reply)
{
    int64_t nodes;
    if (!redis_value_is(reply, REDIS_ARRAY) || reply->n != 2 * batch->n)
        return ERR_STORE_UNAVAILABLE;
    for (size_t i = 0; i < batch->n; i++) {
        if (!redis_value_integer(redis_value_item(reply, 2 * i + 1), &nodes))
            return ERR_STORE_UNAVAILABLE;
        if (nodes > 0)
            batch->online->is_online[batch->users[i]] = true;
    }
    return ERR_OK;
}

static void on_counted(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct batch *batch = arg;
    struct store_online *online = batch->online;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(owner, reply->bytes);
    bool is_over = is_last(online, take_counts(batch, reply));
    free(batch);
    if (is_over)
        online->request.on_done(&online->request);
}

static enum err send_batch(struct redis_commands *commands, struct batch *batch)
{
    struct redis_call call = {.on_reply = on_counted, .arg = batch};
    struct span args[WORDS + USERS_A_COMMAND] = {SPAN_LITERAL("PUBSUB"),
                                                 SPAN_LITERAL("SHARDNUMSUB")};
    char *block = malloc(batch->n * sizeof((struct redis_keys){0}.channel_bytes));
    char *at = block;
    if (block == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < batch->n; i++) {
        struct redis_keys keys;
        redis_keys_write(&keys, commands->common->prefix, batch->online->users[batch->users[i]]);
        redis_keys_write_channel(&keys, commands->common->channels);
        args[WORDS + i] = (struct span){at, keys.channel.len};
        at = put_span(at, keys.channel);
    }
    enum err error = redis_commands_send(commands, &call, args, WORDS + batch->n);
    free(block);
    return redis_answer_error(error);
}

/* Takes the users of the first shard in `shards` out of it, as many as a command has room for. */
static struct redis_shard *fill_batch(struct redis_shard **shards, size_t first,
                                      struct batch *batch)
{
    struct redis_shard *shard = shards[first];
    for (size_t i = first; i < batch->online->n_users && batch->n < USERS_A_COMMAND; i++) {
        if (shards[i] != shard)
            continue;
        batch->users[batch->n++] = (uint32_t)i;
        shards[i] = NULL;
    }
    return shard;
}

static void ask_batch(struct redis_shard **shards, size_t first, struct store_online *online)
{
    struct batch *batch = calloc(1, sizeof *batch);
    enum err error = ERR_NO_MEMORY;
    if (batch != NULL) {
        batch->online = online;
        struct redis_shard *shard = fill_batch(shards, first, batch);
        online->request.op++;
        error = send_batch(&shard->commands, batch);
    }
    if (error == ERR_OK)
        return;
    online->error = error;
    metrics_count(METRIC_STORE_ERRORS);
    if (batch != NULL)
        online->request.op--;
    else
        shards[first] = NULL;
    free(batch);
}

void redis_online_run(void *owner,
                      struct redis_shard *(*shard_of)(void *owner, struct span user_id),
                      struct store_online *online)
{
    struct redis_shard *any = shard_of(owner, online->users[0]);
    struct redis_shard **shards = malloc(online->n_users * sizeof(struct redis_shard *));
    online->error = shards == NULL ? ERR_NO_MEMORY : ERR_OK;
    online->request.op = 1; /* one for ourselves, until all are sent */
    for (size_t i = 0; shards != NULL && i < online->n_users; i++)
        shards[i] = shard_of(owner, online->users[i]);
    for (size_t i = 0; shards != NULL && i < online->n_users; i++)
        while (shards[i] != NULL)
            ask_batch(shards, i, online);
    free(shards);
    if (--online->request.op == 0)
        redis_commands_refuse(&any->commands, &online->request);
}
