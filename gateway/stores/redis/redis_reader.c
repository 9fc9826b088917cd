/* hiredis finds the borders of replies; what it finds becomes our own values, one block each, so
 * that no other file knows hiredis, and every allocation is counted against the ceiling. */
#include "gateway/stores/redis/redis_reader.h"

#include <hiredis/read.h>
#include <stdlib.h>

struct redis_reader {
    redisReader *replies;
    size_t n_bytes; /* of the values of the reply that is being read */
};

static struct redis_value *value_new(const redisReadTask *task, enum redis_type type, size_t extra)
{
    struct redis_reader *reader = task->privdata;
    size_t size = sizeof(struct redis_value) + extra;
    if (size > REDIS_REPLY_MAX_BYTES - reader->n_bytes)
        return NULL;
    struct redis_value *value = calloc(1, size);
    if (value == NULL)
        return NULL;
    reader->n_bytes += size;
    value->type = type;
    if (task->parent != NULL) {
        struct redis_value *parent = task->parent->obj;
        parent->items[task->idx] = value;
    }
    return value;
}

static void *make_text(const redisReadTask *task, char *bytes, size_t len)
{
    enum redis_type type = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                              : REDIS_TEXT;
    struct redis_value *value = value_new(task, type, len + 1);
    if (value == NULL)
        return NULL;
    char *copy = (char *)(value + 1);
    memcpy(copy, bytes, len);
    value->bytes = copy;
    value->n = len;
    return value;
}

static void *make_array(const redisReadTask *task, int n)
{
    if (n < 0 || n > REDIS_REPLY_MAX_ELEMENTS)
        return NULL;
    struct redis_value *value = value_new(task, REDIS_ARRAY, (size_t)n * sizeof(void *));
    if (value == NULL)
        return NULL;
    value->items = (struct redis_value **)(void *)(value + 1);
    value->n = (size_t)n;
    return value;
}

static void *make_integer(const redisReadTask *task, long long integer)
{
    struct redis_value *value = value_new(task, REDIS_INTEGER, 0);
    if (value != NULL)
        value->integer = integer;
    return value;
}

static void *make_nil(const redisReadTask *task)
{
    return value_new(task, REDIS_NIL, 0);
}

static void free_object(void *object)
{
    redis_value_free(object);
}

static redisReplyObjectFunctions makers = {
    .createString = make_text,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_object,
};

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->replies = redisReaderCreateWithFunctions(&makers);
    if (reader->replies == NULL) {
        free(reader);
        return NULL;
    }
    reader->replies->privdata = reader;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (reader == NULL)
        return;
    redisReaderFree(reader->replies);
    free(reader);
}

static enum err reader_error(const struct redis_reader *reader)
{
    return reader->replies->err == REDIS_ERR_OOM ? ERR_NO_MEMORY : ERR_PROTOCOL;
}

enum err redis_reader_feed(struct redis_reader *reader, const char *bytes, size_t len)
{
    if (reader->replies->len - reader->replies->pos > REDIS_REPLY_MAX_BYTES)
        return ERR_PROTOCOL;
    return redisReaderFeed(reader->replies, bytes, len) == REDIS_OK ? ERR_OK : reader_error(reader);
}

enum err redis_reader_next(struct redis_reader *reader, struct redis_value **ret_value)
{
    void *value = NULL;
    if (redisReaderGetReply(reader->replies, &value) != REDIS_OK)
        return reader_error(reader);
    if (value != NULL)
        reader->n_bytes = 0;
    *ret_value = value;
    return ERR_OK;
}

/* At most 7 levels deep: the reader refuses more. */
void redis_value_free(struct redis_value *value) /* NOLINT(misc-no-recursion) */
{
    if (value == NULL)
        return;
    if (value->type == REDIS_ARRAY)
        for (size_t i = 0; i < value->n; i++)
            redis_value_free(value->items[i]);
    free(value);
}

const struct redis_value *redis_value_item(const struct redis_value *value, size_t at)
{
    if (!redis_value_is(value, REDIS_ARRAY) || at >= value->n)
        return NULL;
    return value->items[at];
}

bool redis_value_text(const struct redis_value *value, struct span *ret_text)
{
    if (!redis_value_is(value, REDIS_TEXT) && !redis_value_is(value, REDIS_STATUS))
        return false;
    *ret_text = (struct span){value->bytes, value->n};
    return true;
}

bool redis_value_integer(const struct redis_value *value, int64_t *ret_integer)
{
    if (!redis_value_is(value, REDIS_INTEGER))
        return false;
    *ret_integer = value->integer;
    return true;
}

bool redis_value_starts(const struct redis_value *value, const char *word)
{
    size_t len = strlen(word);
    return (redis_value_is(value, REDIS_ERROR) || redis_value_is(value, REDIS_STATUS)) &&
           value->n >= len && memcmp(value->bytes, word, len) == 0;
}
