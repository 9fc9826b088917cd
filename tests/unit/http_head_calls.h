/* How the tests of HTTP heads parse: whole, a byte at a time, and against a guard page, which must
 * all come to the same. */
#ifndef HERALD_TESTS_HTTP_HEAD_CALLS_H
#define HERALD_TESTS_HTTP_HEAD_CALLS_H

#include "proto/http/http_head.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE  "GET /ws?userId=42 HTTP/1.1\r\n"
#define HOST  "Host: example.com\r\n"
#define BEGIN LINE HOST

static inline bool is_same_part(struct http_part a, struct http_part b)
{
    return a.at == b.at && a.len == b.len;
}

static inline void expect_same(const struct http_head *a, const struct http_head *b, size_t cut)
{
    cr_assert_eq(a->error, b->error, "cut at %zu", cut);
    cr_assert_eq(a->detail, b->detail, "cut at %zu: %s, %s", cut, a->detail, b->detail);
    cr_assert_eq(a->len, b->len, "cut at %zu", cut);
    cr_assert_eq(a->n_fields, b->n_fields, "cut at %zu", cut);
    cr_assert(is_same_part(a->method, b->method), "cut at %zu", cut);
    cr_assert(is_same_part(a->target, b->target), "cut at %zu", cut);
    cr_assert(is_same_part(a->path, b->path), "cut at %zu", cut);
    cr_assert(is_same_part(a->query, b->query), "cut at %zu", cut);
    cr_assert(is_same_part(a->host, b->host), "cut at %zu", cut);
    for (size_t i = 0; i < a->n_fields; i++) {
        cr_assert(is_same_part(a->fields[i].name, b->fields[i].name), "cut at %zu", cut);
        cr_assert(is_same_part(a->fields[i].value, b->fields[i].value), "cut at %zu", cut);
    }
}

/* As the server begins one with its usual limits; `is_other` for one that is compared with another.
 */
static inline void begin_head(struct http_head *head, bool is_other)
{
    static struct http_field rooms[2][HTTP_HEAD_USUAL_FIELDS];
    http_head_init(head, HTTP_HEAD_USUAL_BYTES, rooms[is_other], HTTP_HEAD_USUAL_FIELDS);
}

static inline enum http_head_result parse_stepwise(struct http_head *head, struct span text,
                                                   size_t first, size_t step)
{
    enum http_head_result result = HTTP_HEAD_MORE;
    begin_head(head, true);
    for (size_t len = first; result == HTTP_HEAD_MORE; len += step) {
        size_t have = len < text.len ? len : text.len;
        result = http_head_parse(head, guarded((struct span){text.bytes, have}).bytes, have);
        if (have == text.len)
            break;
    }
    return result;
}

/* Whole; split at every byte; one byte at a time. All must give the same result. */
static inline enum http_head_result parse(struct http_head *head, struct span text)
{
    struct http_head other;
    begin_head(head, false);
    enum http_head_result result = http_head_parse(head, guarded(text).bytes, text.len);
    size_t stride = text.len < 1000 ? 1 : 97;
    for (size_t cut = 0; cut < text.len; cut += stride) {
        cr_assert_eq(parse_stepwise(&other, text, cut, text.len), result, "cut at %zu", cut);
        expect_same(head, &other, cut);
    }
    cr_assert_eq(parse_stepwise(&other, text, 1, 1), result);
    expect_same(head, &other, 0);
    return result;
}

static inline void expect_done(struct span text)
{
    struct http_head head;
    enum http_head_result result = parse(&head, text);
    cr_assert_eq(result, HTTP_HEAD_DONE, "%.60s: %s", text.bytes, head.detail);
    cr_assert_eq(head.len, text.len);
}

static inline void expect_bad(struct span text, enum err error)
{
    struct http_head head;
    cr_assert_eq(parse(&head, text), HTTP_HEAD_BAD, "%.80s", text.bytes);
    cr_assert_eq(head.error, error, "%.80s: %s", text.bytes, head.detail);
    cr_assert_not_null(head.detail);
    cr_assert_eq(http_head_parse(&head, text.bytes, text.len), HTTP_HEAD_BAD);
}

#define DONE(text)       expect_done(SPAN_LITERAL(text))
#define BAD(text)        expect_bad(SPAN_LITERAL(text), ERR_BAD_HEAD)
#define NO_VERSION(text) expect_bad(SPAN_LITERAL(text), ERR_HTTP_VERSION)

static inline bool part_is(const char *bytes, struct http_part part, const char *text)
{
    return span_equal(http_part_span(bytes, part), span_of(text));
}

static inline bool field_is(const struct http_head *head, const char *bytes, const char *name,
                            const char *value)
{
    struct span found;
    return http_head_find(head, bytes, name, &found) && span_equal(found, span_of(value));
}

#endif
