/* Replies of a Redis, whole and split at a place of two bytes' choice. */
#include "gateway/stores/redis/redis_reader.h"
#include "tests/fuzz/fuzz.h"

static void note_value(struct buf *log, const struct redis_value *value)
{
    struct span text;
    int64_t integer = 0;
    FUZZ_CHECK(value != NULL);
    FUZZ_NOTE(log, value->type);
    FUZZ_NOTE(log, value->n);
    switch (value->type) {
    case REDIS_TEXT:
    case REDIS_STATUS:
        FUZZ_CHECK(redis_value_text(value, &text) && text.bytes[text.len] == '\0');
        fuzz_note(log, text.bytes, text.len);
        break;
    case REDIS_ERROR:
        FUZZ_CHECK(value->bytes[value->n] == '\0');
        fuzz_note(log, value->bytes, value->n);
        break;
    case REDIS_INTEGER:
        FUZZ_CHECK(redis_value_integer(value, &integer));
        FUZZ_NOTE(log, integer);
        break;
    case REDIS_NIL:
        break;
    case REDIS_ARRAY:
        FUZZ_CHECK(redis_value_item(value, value->n) == NULL);
        for (size_t i = 0; i < value->n; i++)
            note_value(log, redis_value_item(value, i));
        break;
    }
    bool may_start = value->type == REDIS_ERROR || value->type == REDIS_STATUS;
    FUZZ_CHECK(!redis_value_starts(value, "NOSCRIPT") || (may_start && value->n >= 8));
}

/* false: the connection is of no more use. */
static bool feed(struct redis_reader *reader, struct span bytes, struct buf *log)
{
    char *copy = fuzz_copy(bytes);
    const struct redis_value *value = NULL;
    enum err error = redis_reader_feed(reader, copy, bytes.len);
    free(copy); /* a reader that keeps what it was given is found */
    while (error == ERR_OK) {
        error = redis_reader_next(reader, &value);
        if (error != ERR_OK || value == NULL)
            break;
        note_value(log, value);
    }
    if (error == ERR_OK)
        return true;
    FUZZ_CHECK(error == ERR_PROTOCOL || error == ERR_NO_MEMORY);
    FUZZ_NOTE(log, error);
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    size_t split = fuzz_split(&input);
    struct span text = fuzz_rest(&input);
    struct buf whole, pieces;
    fuzz_log_init(&whole);
    fuzz_log_init(&pieces);

    struct redis_reader *reader = redis_reader_new();
    FUZZ_CHECK(reader != NULL);
    feed(reader, text, &whole);
    redis_reader_free(reader);

    reader = redis_reader_new();
    FUZZ_CHECK(reader != NULL);
    if (feed(reader, (struct span){text.bytes, split}, &pieces))
        feed(reader, (struct span){text.bytes + split, text.len - split}, &pieces);
    redis_reader_free(reader);

    fuzz_same_logs(&whole, &pieces);
    return 0;
}
