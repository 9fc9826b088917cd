#include "gateway/stores/local/consumers.h"

#include "gateway/stores/local/record_bytes.h"

#include <assert.h>
#include <stdlib.h>

enum { CONSUMER_HEAD = 8 + 8 + 1 };

static enum err reserve_one(struct consumers **consumers)
{
    uint8_t n = consumers_count(*consumers);
    if (n == STORE_MAX_CONSUMERS)
        return ERR_CONFLICT;
    if (*consumers != NULL && n < (*consumers)->cap)
        return ERR_OK;
    struct consumers *more = realloc(*consumers, sizeof *more + (n + 1u) * sizeof more->list[0]);
    if (more == NULL)
        return ERR_NO_MEMORY;
    more->n = n;
    more->cap = (uint8_t)(n + 1);
    *consumers = more;
    return ERR_OK;
}

enum err consumers_add(struct consumers **consumers, struct span key, uint64_t position,
                       int64_t seen_ms)
{
    assert(key.len > 0 && key.len <= STORE_CONSUMER_KEY_MAX_BYTES);
    enum err error = reserve_one(consumers);
    if (error != ERR_OK)
        return error;
    struct consumer *added = &(*consumers)->list[(*consumers)->n++];
    *added =
        (struct consumer){.position = position, .seen_ms = seen_ms, .key_len = (uint8_t)key.len};
    memcpy(added->key, key.bytes, key.len);
    return ERR_OK;
}

struct consumer *consumers_find(struct consumers *consumers, struct span key)
{
    for (uint8_t i = 0; consumers != NULL && i < consumers->n; i++) {
        struct consumer *consumer = &consumers->list[i];
        if (span_equal((struct span){consumer->key, consumer->key_len}, key))
            return consumer;
    }
    return NULL;
}

void consumers_remove(struct consumers *consumers, struct consumer *consumer)
{
    *consumer = consumers->list[--consumers->n];
}

uint64_t consumers_lowest(const struct consumers *consumers)
{
    uint64_t lowest = UINT64_MAX;
    for (uint8_t i = 0; i < consumers_count(consumers); i++)
        if (consumers->list[i].position < lowest)
            lowest = consumers->list[i].position;
    return lowest;
}

/* ---- as bytes ---- */

size_t consumers_size(const struct consumers *consumers)
{
    size_t size = 0;
    for (uint8_t i = 0; i < consumers_count(consumers); i++)
        size += CONSUMER_HEAD + consumers->list[i].key_len;
    return size;
}

void consumers_write(const struct consumers *consumers, char *out)
{
    for (uint8_t i = 0; i < consumers_count(consumers); i++) {
        const struct consumer *consumer = &consumers->list[i];
        out = put_number(out, consumer->position, 8);
        out = put_number(out, (uint64_t)consumer->seen_ms, 8);
        out = put_number(out, consumer->key_len, 1);
        out = put_bytes(out, consumer->key, consumer->key_len);
    }
}

/* The next consumer, whose key lies in the bytes; false: these are none of ours. */
static bool take_consumer(struct span *rest, struct consumer *ret_consumer, struct span *ret_key)
{
    if (rest->len < CONSUMER_HEAD)
        return false;
    const char *at = rest->bytes;
    ret_consumer->position = take_number(&at, 8);
    ret_consumer->seen_ms = (int64_t)take_number(&at, 8);
    size_t key_len = (size_t)take_number(&at, 1);
    if (key_len == 0 || key_len > STORE_CONSUMER_KEY_MAX_BYTES ||
        rest->len - CONSUMER_HEAD < key_len)
        return false;
    *ret_key = (struct span){at, key_len};
    *rest = (struct span){at + key_len, rest->len - CONSUMER_HEAD - key_len};
    return true;
}

bool consumers_are_sound(struct span bytes, uint64_t head)
{
    bool is_sound = true;
    for (int n = 0; is_sound && bytes.len > 0; n++) {
        struct consumer consumer;
        struct span key;
        is_sound = n < STORE_MAX_CONSUMERS && take_consumer(&bytes, &consumer, &key) &&
                   consumer.position <= head && consumer.seen_ms >= 0;
    }
    return is_sound;
}

enum err consumers_read(struct span bytes, struct consumers **ret_consumers)
{
    struct consumers *consumers = NULL;
    struct consumer consumer;
    struct span key;
    while (bytes.len > 0 && take_consumer(&bytes, &consumer, &key)) {
        if (consumers_add(&consumers, key, consumer.position, consumer.seen_ms) != ERR_OK) {
            free(consumers);
            return ERR_NO_MEMORY;
        }
    }
    *ret_consumers = consumers;
    return ERR_OK;
}
