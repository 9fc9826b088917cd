/* A reply is read in two passes. The first looks through what has come of it, element by element,
 * and remembers where it is when more is needed; so it finds the end of the reply and the number of
 * its values, and refuses what is no RESP2. The second makes the values, all in one block that the
 * next reply uses again; their texts stay where they are, in the bytes that came.
 *
 * Replies that come whole are read from the caller's bytes. What is left at the end, the beginning
 * of a reply, is kept in `rest`, and read from there when more of it has come. */
#include "gateway/stores/redis/redis_reader.h"

#include "proto/bytes/buf.h"
#include "proto/bytes/decimal.h"

#include <stdlib.h>

enum {
    DEPTH_MAX = 7,            /* arrays within arrays */
    LINE_MAX_BYTES = 1 << 16, /* of a status, an error, a number */
    NUMBER_MAX_DIGITS = 19,
    KEEP_MAX_BYTES = 1 << 20, /* a larger block or buffer is given back once it is read */
    FEED_MAX_BYTES = 1 << 20,
};

enum progress { TAKEN, NEEDS_MORE, MALFORMED };

/* How far a reply has been looked through. */
struct scan {
    size_t at; /* bytes of it that are whole elements */
    size_t n_values;
    size_t wanted; /* bytes of it that must have come before it is worth to go on */
    unsigned depth;
    size_t awaited[DEPTH_MAX + 1]; /* elements at each depth that are still to come */
};

struct redis_reader {
    struct buf rest;
    char *bytes; /* what is read, from the beginning of a reply on: the caller's, or in `rest` */
    size_t len;
    bool is_rest;
    size_t read; /* bytes of the reply that was given out last; they go with the next call */
    struct scan scan;
    void *block; /* the values of one reply, then the pointers of its arrays */
    size_t block_bytes;
};

/* One element: for a text or an array what its line says, else the whole of it. */
struct element {
    enum redis_type type;
    struct span line; /* without the type's byte and the CRLF */
    size_t n;         /* of a text or an array: bytes or items */
    int64_t integer;
    size_t len; /* in bytes; of an array: of its line alone */
};

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    buf_init(&reader->rest, REDIS_REPLY_MAX_BYTES + FEED_MAX_BYTES);
    reader->scan.awaited[0] = 1;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (reader == NULL)
        return;
    buf_fini(&reader->rest);
    free(reader->block);
    free(reader);
}

/* ---- elements ---- */

/* An optional minus, and digits. */
static bool read_number(struct span line, bool *ret_is_negative, uint64_t *ret_number)
{
    *ret_is_negative = line.len > 0 && line.bytes[0] == '-';
    if (*ret_is_negative)
        line = (struct span){line.bytes + 1, line.len - 1};
    if (line.len > NUMBER_MAX_DIGITS)
        return false;
    return decimal_read(line, INT64_MAX, ret_number);
}

/* NEEDS_MORE: it has not come whole; element->len is how many bytes that takes at least. */
static enum progress find_line(struct span bytes, struct element *element)
{
    size_t most = bytes.len < LINE_MAX_BYTES ? bytes.len : LINE_MAX_BYTES;
    const char *cr = most > 1 ? memchr(bytes.bytes + 1, '\r', most - 1) : NULL;
    element->len = bytes.len + 1;
    if (cr == NULL)
        return most == LINE_MAX_BYTES ? MALFORMED : NEEDS_MORE;
    size_t len = (size_t)(cr - bytes.bytes);
    if (len + 1 == bytes.len)
        return NEEDS_MORE;
    element->line = (struct span){bytes.bytes + 1, len - 1};
    element->len = len + 2;
    return cr[1] == '\n' ? TAKEN : MALFORMED;
}

/* `$-1` and `*-1` are nil. */
static enum progress read_length(struct element *element, size_t max)
{
    bool is_negative;
    uint64_t n;
    if (!read_number(element->line, &is_negative, &n) || (is_negative ? n != 1 : n > max))
        return MALFORMED;
    element->n = is_negative ? 0 : (size_t)n;
    if (is_negative)
        element->type = REDIS_NIL;
    return TAKEN;
}

static enum progress read_text(struct span bytes, struct element *element)
{
    size_t line_len = element->len;
    element->type = REDIS_TEXT;
    enum progress progress = read_length(element, REDIS_REPLY_MAX_BYTES);
    if (progress != TAKEN || element->type == REDIS_NIL)
        return progress;
    element->len = line_len + element->n + 2;
    if (element->len > bytes.len)
        return NEEDS_MORE;
    element->line = (struct span){bytes.bytes + line_len, element->n};
    return memcmp(bytes.bytes + element->len - 2, "\r\n", 2) == 0 ? TAKEN : MALFORMED;
}

static enum progress read_integer(struct element *element)
{
    bool is_negative;
    uint64_t number;
    if (!read_number(element->line, &is_negative, &number))
        return MALFORMED;
    element->type = REDIS_INTEGER;
    element->integer = is_negative ? -(int64_t)number : (int64_t)number;
    return TAKEN;
}

/* The element at the front of the bytes. */
static enum progress read_element(struct span bytes, struct element *element)
{
    enum progress progress =
        memchr("$:*+-", bytes.bytes[0], 5) != NULL ? find_line(bytes, element) : MALFORMED;
    if (progress != TAKEN)
        return progress;
    switch (bytes.bytes[0]) {
    case '$':
        return read_text(bytes, element);
    case ':':
        return read_integer(element);
    case '*':
        element->type = REDIS_ARRAY;
        return read_length(element, REDIS_REPLY_MAX_ELEMENTS);
    default:
        element->type = bytes.bytes[0] == '+' ? REDIS_STATUS : REDIS_ERROR;
        element->n = element->line.len;
        return TAKEN;
    }
}

/* ---- the first pass ---- */

static enum progress take_element(struct scan *scan, const struct element *element)
{
    scan->at += element->len;
    scan->n_values++;
    scan->awaited[scan->depth]--;
    if (element->type == REDIS_ARRAY && element->n > 0) {
        if (scan->depth == DEPTH_MAX)
            return MALFORMED;
        scan->awaited[++scan->depth] = element->n;
    }
    while (scan->depth > 0 && scan->awaited[scan->depth] == 0)
        scan->depth--;
    size_t block_bytes = scan->n_values * (sizeof(struct redis_value) + sizeof(void *));
    return block_bytes > REDIS_REPLY_MAX_BYTES || scan->at > REDIS_REPLY_MAX_BYTES ? MALFORMED
                                                                                   : TAKEN;
}

static enum progress scan_reply(struct scan *scan, struct span bytes)
{
    while (scan->awaited[0] > 0 || scan->depth > 0) {
        struct element element = {0};
        struct span ahead = {bytes.bytes + scan->at, bytes.len - scan->at};
        enum progress progress = ahead.len > 0 ? read_element(ahead, &element) : NEEDS_MORE;
        if (progress == TAKEN)
            progress = take_element(scan, &element);
        if (progress == NEEDS_MORE)
            scan->wanted = scan->at + (ahead.len > 0 ? element.len : 1);
        if (progress != TAKEN)
            return progress;
    }
    return TAKEN;
}

/* ---- the second pass ---- */

static enum err make_block(struct redis_reader *reader, size_t n_values)
{
    size_t bytes = n_values * (sizeof(struct redis_value) + sizeof(void *));
    bool is_too_large = reader->block_bytes > KEEP_MAX_BYTES;
    if (bytes <= reader->block_bytes && !is_too_large)
        return ERR_OK;
    free(reader->block);
    reader->block = malloc(bytes);
    reader->block_bytes = reader->block != NULL ? bytes : 0;
    return reader->block != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* Over the CRLF after a text goes the NUL that readers of the text may count on. */
static void fill_value(struct redis_value *value, const struct element *element,
                       struct redis_value **items)
{
    *value = (struct redis_value){.type = element->type, .n = element->n};
    if (element->type == REDIS_INTEGER) {
        value->integer = element->integer;
    } else if (element->type == REDIS_ARRAY) {
        value->items = items;
    } else if (element->type != REDIS_NIL) {
        value->bytes = element->line.bytes;
        ((char *)element->line.bytes)[element->n] = '\0';
    }
}

static struct redis_value *build_reply(struct redis_reader *reader)
{
    struct redis_value *values = reader->block;
    struct redis_value **items = (struct redis_value **)(void *)(values + reader->scan.n_values);
    struct redis_value *root;
    struct level {
        struct redis_value **next;
        size_t left;
    } levels[DEPTH_MAX + 1] = {{&root, 1}};
    unsigned depth = 0;
    size_t at = 0;
    for (size_t i = 0; i < reader->scan.n_values; i++) {
        struct element element = {0};
        if (read_element((struct span){reader->bytes + at, reader->len - at}, &element) != TAKEN)
            return NULL; /* but the first pass has read it */
        at += element.len;
        fill_value(&values[i], &element, items);
        *levels[depth].next++ = &values[i];
        levels[depth].left--;
        if (element.type == REDIS_ARRAY && element.n > 0) {
            levels[++depth] = (struct level){items, element.n};
            items += element.n;
        }
        while (depth > 0 && levels[depth].left == 0)
            depth--;
    }
    return root;
}

/* ---- bytes ---- */

enum err redis_reader_feed(struct redis_reader *reader, char *bytes, size_t len)
{
    reader->is_rest = reader->rest.len > 0;
    if (!reader->is_rest) {
        reader->bytes = bytes;
        reader->len = len;
        return ERR_OK;
    }
    enum err error = buf_append(&reader->rest, bytes, len);
    reader->bytes = reader->rest.bytes;
    reader->len = reader->rest.len;
    return error == ERR_FULL ? ERR_PROTOCOL : error;
}

/* The reply that was given out is done with. */
static void drop_read(struct redis_reader *reader)
{
    if (reader->read == 0)
        return;
    reader->bytes += reader->read;
    reader->len -= reader->read;
    reader->read = 0;
    reader->scan = (struct scan){.awaited = {1}};
}

/* Until more comes. */
static enum err keep_rest(struct redis_reader *reader)
{
    enum err error = ERR_OK;
    if (reader->is_rest)
        buf_consume(&reader->rest, reader->rest.len - reader->len);
    else if (reader->len > 0)
        error = buf_append(&reader->rest, reader->bytes, reader->len);
    if (reader->rest.len == 0 && reader->rest.cap > KEEP_MAX_BYTES)
        buf_clear(&reader->rest);
    reader->is_rest = false;
    reader->bytes = NULL;
    reader->len = 0;
    return error;
}

enum err redis_reader_next(struct redis_reader *reader, const struct redis_value **ret_value)
{
    *ret_value = NULL;
    drop_read(reader);
    struct span bytes = {reader->bytes, reader->len};
    enum progress progress =
        bytes.len < reader->scan.wanted ? NEEDS_MORE : scan_reply(&reader->scan, bytes);
    if (progress == NEEDS_MORE)
        return keep_rest(reader);
    if (progress == MALFORMED)
        return ERR_PROTOCOL;
    enum err error = make_block(reader, reader->scan.n_values);
    if (error != ERR_OK)
        return error;
    reader->read = reader->scan.at;
    *ret_value = build_reply(reader);
    return ERR_OK;
}

/* ---- values ---- */

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
