/* RFC 9112, 6 and 7.1: the same body however it is split, and the ones that are refused. */
#include "proto/http/http_body.h"
#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct http_field fields[HTTP_HEAD_USUAL_FIELDS];
static struct http_body body;
static const char *detail;

static enum err begin(const char *lines)
{
    char text[300];
    struct http_head head;
    int len = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, fields, HTTP_HEAD_USUAL_FIELDS);
    cr_assert_eq(http_head_parse(&head, text, (size_t)len), HTTP_HEAD_DONE, "%s", lines);
    return http_body_init(&body, &head, text, &detail);
}

/* Reads `text` in pieces of at most `step` bytes, each in front of a guard page, and takes at most
 * `bite` bytes of the body at once. *ret_rest: what follows the body. */
static enum http_body_result read_all(struct span text, size_t step, size_t bite, char *out,
                                      size_t *ret_rest)
{
    size_t at = 0;
    out[0] = '\0';
    while (true) {
        size_t len = text.len - at < step ? text.len - at : step;
        struct span here = guarded((struct span){text.bytes + at, len});
        size_t n_read;
        struct span piece;
        enum http_body_result result = http_body_next(&body, here, &n_read, &piece);
        size_t taken = piece.len < bite ? piece.len : bite;
        if (result == HTTP_BODY_PIECE) {
            cr_assert_eq(piece.bytes, here.bytes + n_read);
            strncat(out, piece.bytes, taken);
            http_body_take(&body, taken);
        }
        at += n_read + taken;
        *ret_rest = text.len - at;
        if (result == HTTP_BODY_DONE || result == HTTP_BODY_BAD)
            return result;
        if (at == text.len && result == HTTP_BODY_MORE)
            return HTTP_BODY_MORE;
    }
}

static void expect_body(const char *lines, const char *text, const char *wanted, size_t rest)
{
    char out[300];
    for (size_t step = 1; step <= strlen(text); step++) {
        for (size_t bite = 1; bite < 8; bite += 3) {
            size_t left;
            cr_assert_eq(begin(lines), ERR_OK);
            cr_assert_eq(read_all(span_of(text), step, bite, out, &left), HTTP_BODY_DONE,
                         "%s by %zu: %s", text, step, body.detail);
            cr_assert_str_eq(out, wanted);
            cr_assert_eq(left, rest, "%zu", left);
        }
    }
}

#define CHUNKED "Transfer-Encoding: chunked\r\n"

Test(http_body, is_as_long_as_its_length_says)
{
    expect_body("Content-Length: 5\r\n", "hellonext", "hello", 4);
    expect_body("", "next", "", 4);
    expect_body("Content-Length: 0\r\n", "next", "", 4);
}

Test(http_body, is_put_together_from_its_chunks)
{
    expect_body(CHUNKED, "5\r\nhello\r\n0\r\n\r\nnext", "hello", 4);
    expect_body("Transfer-Encoding: Chunked\r\n",
                "00a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", 0);
    expect_body(CHUNKED, "0\r\n\r\n", "", 0);
}

Test(http_body, loses_its_extensions_and_trailers)
{
    expect_body(CHUNKED, "2;a=\"b c\";d\r\nhi\r\n0;last\r\nX: y\r\nEmpty:\r\n\r\nnext", "hi", 4);
}

Test(http_body, is_the_same_piece_when_it_is_not_taken)
{
    size_t n_read;
    struct span piece;
    cr_assert_eq(begin(CHUNKED), ERR_OK);
    cr_assert_eq(http_body_next(&body, SPAN_LITERAL("3\r\nabc\r\n"), &n_read, &piece),
                 HTTP_BODY_PIECE);
    cr_assert_eq(n_read, 3);
    cr_assert_eq(http_body_next(&body, SPAN_LITERAL("abc\r\n"), &n_read, &piece), HTTP_BODY_PIECE);
    cr_expect_eq(n_read, 0);
    cr_expect(span_equal(piece, SPAN_LITERAL("abc")));
}

Test(http_body, says_when_the_next_piece_is_its_last)
{
    cr_assert_eq(begin("Content-Length: 5\r\n"), ERR_OK);
    cr_expect_not(http_body_ends_with(&body, 4));
    cr_expect(http_body_ends_with(&body, 5));
    size_t n_read;
    struct span piece;
    cr_assert_eq(begin(CHUNKED), ERR_OK);
    (void)http_body_next(&body, SPAN_LITERAL("5\r\nhello"), &n_read, &piece);
    cr_expect_not(http_body_ends_with(&body, 5), "another chunk may come");
}

Test(http_body, without_a_known_end_is_refused)
{
    static const char *const codings[] = {"gzip", "gzip, chunked", "chunked, chunked", "identity",
                                          ""};
    char lines[100];
    for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++) {
        snprintf(lines, sizeof lines, "Transfer-Encoding: %s\r\n", codings[i]);
        cr_expect_eq(begin(lines), ERR_BAD_HEAD, "%s", lines);
        cr_expect_not_null(detail);
    }
    cr_expect_eq(begin(CHUNKED CHUNKED), ERR_BAD_HEAD);
    cr_expect_eq(begin("Content-Length: 18446744073709551616\r\n"), ERR_BAD_HEAD);
}

Test(http_body, that_a_lenient_parser_would_repair_is_refused)
{
    static const char *const texts[] = {
        "5\nhello\r\n",          "5 \r\nhello\r\n",
        " 5\r\nhello\r\n",       "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",      "\r\nhello\r\n",
        ";a\r\nhello\r\n",       "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n",
        "5;a\nhello\r\n",        "5;a\x01\r\nhello\r\n",
        "5\rXhello\r\n",         "0\r\n\n",
        "0\r\nX y\r\n\r\n",      "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",    "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n\n",       "0\r\nX: \x7f\r\n\r\n",
        "0\r\n: y\r\n\r\n",      "g\r\n",
        "20000000000001\r\n",    "00000000000000005\r\nhello\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t step = 1; step <= strlen(texts[i]); step++) {
            char out[100];
            size_t rest;
            cr_assert_eq(begin(CHUNKED), ERR_OK);
            cr_assert_eq(read_all(span_of(texts[i]), step, 100, out, &rest), HTTP_BODY_BAD, "%s",
                         texts[i]);
            cr_assert_not_null(body.detail);
        }
    }
}

static enum http_body_result read_trailer(size_t len)
{
    static char text[2 * HTTP_BODY_EXTRA_BYTES];
    char out[8];
    size_t rest;
    int at = snprintf(text, sizeof text, "0\r\nX:");
    memset(text + at, 'y', len);
    memcpy(text + (size_t)at + len, "\r\n\r\n", 5);
    cr_assert_eq(begin(CHUNKED), ERR_OK);
    return read_all(span_of(text), sizeof text, 1, out, &rest);
}

Test(http_body, has_a_limit_on_what_is_dropped_of_it)
{
    cr_expect_eq(read_trailer(HTTP_BODY_EXTRA_BYTES - 2), HTTP_BODY_DONE);
    cr_expect_eq(read_trailer(HTTP_BODY_EXTRA_BYTES), HTTP_BODY_BAD);
    char out[8];
    size_t rest;
    static char text[HTTP_BODY_EXTRA_BYTES + 100] = "1;";
    memset(text + 2, 'x', HTTP_BODY_EXTRA_BYTES + 1);
    cr_assert_eq(begin(CHUNKED), ERR_OK);
    cr_expect_eq(read_all(span_of(text), sizeof text, 1, out, &rest), HTTP_BODY_BAD);
}
