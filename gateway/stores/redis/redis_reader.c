/* hiredis finds the borders of replies; what it finds becomes our own values, so that no other file
 * knows hiredis. The values of a reply are laid out one after the other in blocks of the reader's
 * and go all at once: a value costs no allocation. The first block stays; a reply that is larger
 * than it gets more, which are freed with it. Every byte is counted against the ceiling. */
#include "gateway/stores/redis/redis_reader.h"

#include <hiredis/read.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 4096, VALUE_ALIGN = _Alignof(struct redis_value) };

struct block {
    struct block *next; /* the one that was full before it; NULL: it is the first */
    size_t cap;
    size_t len;
    _Alignas(struct redis_value) char bytes[];
};

struct redis_reader {
    redisReader *replies;
    struct block *block; /* where the next value goes */
    size_t n_bytes;      /* of the values of the reply that is being read */
    bool is_given;       /* it was given out: its values go before the next one is read */
    bool is_too_large;
};

static struct block *block_new(size_t size)
{
    size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct block *block = malloc(sizeof *block + cap);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->cap = cap;
    block->len = 0;
    return block;
}

/* All values go, and all blocks but the first. */
static void drop_values(struct redis_reader *reader)
{
    while (reader->block->next != NULL) {
        struct block *full = reader->block;
        reader->block = full->next;
        free(full);
    }
    reader->block->len = 0;
    reader->n_bytes = 0;
}

/* NULL: out of memory, or above the ceiling. */
static void *take_room(struct redis_reader *reader, size_t size)
{
    struct block *block = reader->block;
    size = (size + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
    if (size > REDIS_REPLY_MAX_BYTES - reader->n_bytes) {
        reader->is_too_large = true;
        return NULL;
    }
    if (size > block->cap - block->len) {
        block = block_new(size > 2 * block->cap ? size : 2 * block->cap);
        if (block == NULL)
            return NULL;
        block->next = reader->block;
        reader->block = block;
    }
    void *room = block->bytes + block->len;
    block->len += size;
    reader->n_bytes += size;
    return room;
}

static struct redis_value *value_new(const redisReadTask *task, enum redis_type type, size_t extra)
{
    struct redis_value *value = take_room(task->privdata, sizeof *value + extra);
    if (value == NULL)
        return NULL;
    value->type = type;
    value->n = 0;
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
    copy[len] = '\0';
    value->bytes = copy;
    value->n = len;
    return value;
}

static void *make_array(const redisReadTask *task, int n)
{
    struct redis_reader *reader = task->privdata;
    if (n < 0 || n > REDIS_REPLY_MAX_ELEMENTS) {
        reader->is_too_large = true;
        return NULL;
    }
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

/* It goes with its reply. */
static void leave_object(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions makers = {
    .createString = make_text,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = leave_object,
};

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->block = block_new(0);
    reader->replies = redisReaderCreateWithFunctions(&makers);
    if (reader->block == NULL || reader->replies == NULL) {
        redis_reader_free(reader);
        return NULL;
    }
    reader->replies->privdata = reader;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->replies != NULL)
        redisReaderFree(reader->replies);
    if (reader->block != NULL)
        drop_values(reader);
    free(reader->block);
    free(reader);
}

static enum err reader_error(const struct redis_reader *reader)
{
    bool is_memory = reader->replies->err == REDIS_ERR_OOM && !reader->is_too_large;
    return is_memory ? ERR_NO_MEMORY : ERR_PROTOCOL;
}

enum err redis_reader_feed(struct redis_reader *reader, const char *bytes, size_t len)
{
    if (reader->replies->len - reader->replies->pos > REDIS_REPLY_MAX_BYTES)
        return ERR_PROTOCOL;
    return redisReaderFeed(reader->replies, bytes, len) == REDIS_OK ? ERR_OK : reader_error(reader);
}

enum err redis_reader_next(struct redis_reader *reader, const struct redis_value **ret_value)
{
    void *value = NULL;
    if (reader->is_given)
        drop_values(reader);
    reader->is_given = false;
    if (redisReaderGetReply(reader->replies, &value) != REDIS_OK)
        return reader_error(reader);
    reader->is_given = value != NULL;
    *ret_value = value;
    return ERR_OK;
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
