/* Replies of a Redis, read piece by piece (RESP2). What comes in is never trusted: a reply above
 * REDIS_REPLY_MAX_BYTES, with an array of more elements than REDIS_REPLY_MAX_ELEMENTS, or with
 * arrays more than 8 deep ends the connection. One thread at a time. */
#ifndef HERALD_STORE_REDIS_READER_H
#define HERALD_STORE_REDIS_READER_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { REDIS_REPLY_MAX_BYTES = 64 << 20, REDIS_REPLY_MAX_ELEMENTS = 1 << 20 };

enum redis_type { REDIS_TEXT, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_NIL, REDIS_ARRAY };

struct redis_value {
    enum redis_type type;
    size_t n; /* bytes or items */
    union {
        int64_t integer;            /* REDIS_INTEGER */
        const char *bytes;          /* REDIS_TEXT, REDIS_STATUS, REDIS_ERROR; a NUL follows */
        struct redis_value **items; /* REDIS_ARRAY */
    };
};

struct redis_reader;

struct redis_reader *redis_reader_new(void); /* NULL: out of memory */
void redis_reader_free(struct redis_reader *reader);

/* Bytes that have come; they are copied. ERR_PROTOCOL, ERR_NO_MEMORY: the connection is of no more
 * use. */
MUST_CHECK enum err redis_reader_feed(struct redis_reader *reader, const char *bytes, size_t len);

/* *ret_value is the next whole reply, which is there until the next call, or NULL when more bytes
 * are needed. Errors as above. */
MUST_CHECK enum err redis_reader_next(struct redis_reader *reader,
                                      const struct redis_value **ret_value);

/* These take any value, NULL included, so that a reply is taken apart without a check at each step.
 */
const struct redis_value *redis_value_item(const struct redis_value *value,
                                           size_t at);                         /* or NULL */
bool redis_value_text(const struct redis_value *value, struct span *ret_text); /* TEXT, STATUS */
bool redis_value_integer(const struct redis_value *value, int64_t *ret_integer);
static inline bool redis_value_is(const struct redis_value *value, enum redis_type type)
{
    return value != NULL && value->type == type;
}

/* An error or status that begins with this word. */
bool redis_value_starts(const struct redis_value *value, const char *word);

#endif
