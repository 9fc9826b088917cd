/* RESP2 as Redis writes it, in whatever pieces it comes, and what is none. */
#include "gateway/stores/redis/redis_reader.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct redis_reader *reader;

static void set_up(void)
{
    reader = redis_reader_new();
    cr_assert_not_null(reader);
}

static void tear_down(void)
{
    redis_reader_free(reader);
}

/* In a block of its own that goes at once, so that the address sanitizer sees what is read beyond
 * it, and what is read of it later. */
static enum err feed(const char *bytes, size_t len)
{
    char *block = malloc(len + 1);
    cr_assert_not_null(block);
    memcpy(block + 1, bytes, len); /* its end is the end of the block */
    enum err error = redis_reader_feed(reader, block + 1, len);
    free(block);
    return error;
}

static const struct redis_value *next(void)
{
    const struct redis_value *value;
    cr_assert_eq(redis_reader_next(reader, &value), ERR_OK);
    return value;
}

static void expect_text(const struct redis_value *value, enum redis_type type, const char *text)
{
    cr_assert(redis_value_is(value, type));
    cr_assert_eq(value->n, strlen(text));
    cr_assert_str_eq(value->bytes, text);
}

static void expect_integer(const struct redis_value *value, int64_t wanted)
{
    int64_t integer;
    cr_assert(redis_value_integer(value, &integer));
    cr_assert_eq(integer, wanted);
}

TestSuite(redis_reader, .init = set_up, .fini = tear_down);

#define EVERY_KIND                                                                                 \
    "*8\r\n+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n*0\r\n:"       \
    "9223372036854775807\r\n"

static void expect_every_kind(const struct redis_value *value)
{
    cr_assert(redis_value_is(value, REDIS_ARRAY));
    cr_assert_eq(value->n, 8);
    expect_text(redis_value_item(value, 0), REDIS_STATUS, "OK");
    expect_text(redis_value_item(value, 1), REDIS_ERROR, "ERR no");
    expect_integer(redis_value_item(value, 2), -42);
    expect_text(redis_value_item(value, 3), REDIS_TEXT, "a\r\nbc");
    expect_text(redis_value_item(value, 4), REDIS_TEXT, "");
    cr_assert(redis_value_is(redis_value_item(value, 5), REDIS_NIL));
    cr_assert(redis_value_is(redis_value_item(value, 6), REDIS_NIL));
    const struct redis_value *inner = redis_value_item(value, 7);
    cr_assert(redis_value_is(inner, REDIS_ARRAY));
    cr_assert_eq(redis_value_item(inner, 0)->n, 0);
    expect_integer(redis_value_item(inner, 1), INT64_MAX);
    cr_assert_null(redis_value_item(value, 8));
}

Test(redis_reader, reads_every_kind_of_reply)
{
    cr_assert_eq(feed(EVERY_KIND, strlen(EVERY_KIND)), ERR_OK);
    expect_every_kind(next());
    cr_assert_null(next());
}

Test(redis_reader, reads_replies_in_whatever_pieces_they_come)
{
    const char text[] = EVERY_KIND EVERY_KIND ":1\r\n";
    size_t len = strlen(text);
    for (size_t split = 1; split < len; split++)
        for (size_t piece = 1; piece <= 3; piece++) {
            unsigned n = 0;
            for (size_t at = 0; at < len;) {
                size_t end = at < split && at + piece * 20 > split ? split : at + piece * 20;
                end = end > len ? len : end;
                cr_assert_eq(feed(text + at, end - at), ERR_OK);
                at = end;
                for (const struct redis_value *value; (value = next()) != NULL; n++)
                    if (n < 2)
                        expect_every_kind(value);
                    else
                        expect_integer(value, 1);
            }
            cr_assert_eq(n, 3);
        }
}

Test(redis_reader, reads_one_byte_at_a_time)
{
    unsigned n = 0;
    for (const char *at = EVERY_KIND; *at != '\0'; at++) {
        cr_assert_eq(feed(at, 1), ERR_OK);
        const struct redis_value *value = next();
        n += value != NULL;
        if (value != NULL)
            expect_every_kind(value);
    }
    cr_assert_eq(n, 1);
    cr_assert_null(next());
    cr_assert_null(next(), "and asking again changes nothing");
}

/* A large reply is looked through once, not again for each piece of it. */
Test(redis_reader, reads_a_large_array_in_small_pieces)
{
    enum { ITEMS = 20000 };
    static const char item[] = "$3\r\nabc\r\n";
    cr_assert_eq(feed("*20000\r\n", 8), ERR_OK);
    for (int i = 0; i < ITEMS; i++) {
        cr_assert_null(next());
        cr_assert_eq(feed(item, sizeof item - 1), ERR_OK);
    }
    const struct redis_value *value = next();
    cr_assert_not_null(value);
    cr_assert_eq(value->n, ITEMS);
    expect_text(redis_value_item(value, ITEMS - 1), REDIS_TEXT, "abc");
}

static void expect_malformed(const char *bytes)
{
    const struct redis_value *value;
    redis_reader_free(reader);
    reader = redis_reader_new();
    cr_assert_not_null(reader);
    cr_assert_eq(feed(bytes, strlen(bytes)), ERR_OK);
    cr_expect_eq(redis_reader_next(reader, &value), ERR_PROTOCOL, "%s", bytes);
}

Test(redis_reader, refuses_what_is_no_resp)
{
    static const char *const texts[] = {
        "hello\r\n",
        "\r\n",
        ":\r\n",
        ":-\r\n",
        ":1x\r\n",
        ":+1\r\n",
        "$x\r\n",
        "$-2\r\n",
        "$\r\n",
        "*-2\r\n",
        "*x\r\n",
        "*1048577\r\n",
        "_",
        "#t\r\n",
        "%1\r\n",
        "*1\r\n?\r\n",
        ":9999999999999999999\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_malformed(texts[i]);
}

Test(redis_reader, takes_arrays_eight_deep)
{
    const char text[] = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n";
    cr_assert_eq(feed(text, strlen(text)), ERR_OK);
    const struct redis_value *value = next();
    for (int depth = 0; depth < 8; depth++)
        value = redis_value_item(value, 0);
    expect_integer(value, 1);
}

/* A large reply is not copied into one block: what is above the first goes when the next reply is
 * read. In all it is more than one reply may have, so values that stay are found. */
Test(redis_reader, reads_small_replies_after_a_large_one)
{
    enum { LEN = 1 << 20, ROUNDS = REDIS_REPLY_MAX_BYTES / LEN + 2 };
    static char text[LEN + 32];
    const struct redis_value *first = NULL;
    int head = snprintf(text, sizeof text, "*2\r\n$%d\r\n", LEN);
    memset(text + head, 'x', LEN);
    int tail = snprintf(text + head + LEN, sizeof text - (size_t)head - LEN, "\r\n:7\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        cr_assert_eq(feed(text, (size_t)head + LEN + (size_t)tail), ERR_OK);
        const struct redis_value *value = next();
        cr_assert_eq(redis_value_item(value, 0)->n, LEN);
        cr_assert_eq(redis_value_item(value, 0)->bytes[LEN - 1], 'x');
        expect_integer(redis_value_item(value, 1), 7);
        cr_assert_eq(feed("+OK\r\n", 5), ERR_OK);
        value = next();
        expect_text(value, REDIS_STATUS, "OK");
        first = first == NULL ? value : first;
        cr_assert_eq(value, first, "each small reply lies where the first one lay");
        cr_assert_null(next());
    }
}

/* Feeds mebibytes of a text of which that length was announced. Answers how many were taken before
 * the reader gave up, at most one more than a reply may have. */
static unsigned feed_text_of(const char *announced)
{
    enum { MIB = 1 << 20, MOST = REDIS_REPLY_MAX_BYTES / MIB + 1 };
    static char piece[MIB];
    unsigned n_taken = 0;
    enum err error = ERR_OK;
    const struct redis_value *value;
    redis_reader_free(reader);
    reader = redis_reader_new();
    cr_assert_not_null(reader);
    error = feed(announced, strlen(announced));
    for (; error == ERR_OK && n_taken <= MOST; n_taken++) {
        error = redis_reader_next(reader, &value);
        cr_assert(error != ERR_OK || value == NULL);
        if (error == ERR_OK)
            error = feed(piece, sizeof piece);
    }
    cr_assert_eq(error, ERR_PROTOCOL, "%s", announced);
    return n_taken;
}

/* Whatever size is announced, no more is kept than a reply may have. */
Test(redis_reader, gives_up_on_a_text_that_is_announced_above_the_ceiling)
{
    static const char *const texts[] = {
        "$68157441\r\n",               /* 65 MiB and one byte */
        "*2\r\n:1\r\n$1073741824\r\n", /* 1 GiB */
        "$9223372036854775807\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_leq(feed_text_of(texts[i]), REDIS_REPLY_MAX_BYTES / (1 << 20) + 2, "%s",
                      texts[i]);
}

/* One that comes whole is refused all the same, and one below the ceiling is read. */
Test(redis_reader, reads_a_text_up_to_the_ceiling)
{
    enum { BELOW = REDIS_REPLY_MAX_BYTES - 4096 };
    char *text = calloc(1, REDIS_REPLY_MAX_BYTES + 64);
    const struct redis_value *value;
    cr_assert_not_null(text);
    int head = snprintf(text, 64, "$%d\r\n", BELOW);
    memcpy(text + head + BELOW, "\r\n", 2);
    cr_assert_eq(feed(text, (size_t)head + BELOW + 2), ERR_OK);
    cr_assert_eq(next()->n, BELOW);
    head = snprintf(text, 64, "$%d\r\n", REDIS_REPLY_MAX_BYTES);
    memcpy(text + head + REDIS_REPLY_MAX_BYTES, "\r\n", 2);
    cr_assert_eq(feed(text, (size_t)head + REDIS_REPLY_MAX_BYTES + 2), ERR_OK);
    cr_assert_eq(redis_reader_next(reader, &value), ERR_PROTOCOL);
    free(text);
}

/* Many small arrays: their values would take more memory than a reply may. */
Test(redis_reader, refuses_a_reply_whose_values_are_too_many)
{
    enum { OUTER = 64, INNER = 40000 };
    const struct redis_value *value = NULL;
    enum err error = feed("*64\r\n", 5);
    static char inner[8 + 4 * INNER];
    size_t len = (size_t)snprintf(inner, sizeof inner, "*%d\r\n", INNER);
    for (int i = 0; i < INNER; i++)
        memcpy(inner + len + 4 * (size_t)i, "*0\r\n", 4);
    for (int i = 0; i < OUTER && error == ERR_OK; i++) {
        error = redis_reader_next(reader, &value);
        if (error == ERR_OK)
            error = feed(inner, len + (size_t)4 * INNER);
    }
    if (error == ERR_OK)
        error = redis_reader_next(reader, &value);
    cr_assert_eq(error, ERR_PROTOCOL);
}
