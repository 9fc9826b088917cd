/* The opening handshake (RFC 6455, 4.2): which requests become a WebSocket, and what each of the
 * others is answered. */
#include "proto/ws/handshake.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define OFFER(x) "Sec-WebSocket-Protocol: " x "\r\n"

struct verdict {
    enum err error;
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    const char *detail;
};

static struct verdict check(const char *fields)
{
    static char text[4096];
    struct verdict verdict = {.level = LEVEL_PLAIN};
    struct http_head head;
    struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    int len =
        snprintf(text, sizeof text, "GET /ws HTTP/1.1\r\nHost: example.com\r\n%s\r\n", fields);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    cr_assert_eq(http_head_parse(&head, text, (size_t)len), HTTP_HEAD_DONE, "%s", fields);
    verdict.error = handshake_check(&head, text, &verdict.level, verdict.accept, &verdict.detail);
    return verdict;
}

static void expect_refusal(const char *fields, enum err error)
{
    struct verdict verdict = check(fields);
    cr_assert_eq(verdict.error, error, "%s: %s", fields, verdict.detail);
    cr_assert_not_null(verdict.detail, "%s", fields);
}

static void expect_level(const char *fields, enum handshake_level level)
{
    struct verdict verdict = check(fields);
    cr_assert_eq(verdict.error, ERR_OK, "%s: %s", fields, verdict.detail);
    cr_assert_eq(verdict.level, level, "%s", fields);
}

/* RFC 6455, 1.3 and 4.2.2. */
Test(handshake, answers_the_sample_key_of_the_rfc)
{
    struct verdict verdict = check(UPGRADE VERSION KEY);
    cr_assert_eq(verdict.error, ERR_OK, "%s", verdict.detail);
    cr_assert_eq(verdict.level, LEVEL_PLAIN);
    cr_assert_arr_eq(verdict.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", HANDSHAKE_ACCEPT_LEN);
}

Test(handshake, takes_tokens_in_any_case_and_among_others)
{
    expect_level("upgrade: h2c, WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n" VERSION KEY,
                 LEVEL_PLAIN);
    expect_level(
        "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n" VERSION KEY,
        LEVEL_PLAIN);
}

Test(handshake, asks_for_an_upgrade_where_there_is_none)
{
    expect_refusal("", ERR_UPGRADE_REQUIRED);
    expect_refusal(VERSION KEY, ERR_UPGRADE_REQUIRED);
    expect_refusal("Connection: Upgrade\r\n" VERSION KEY, ERR_UPGRADE_REQUIRED);
    expect_refusal("Upgrade: websocket\r\n" VERSION KEY, ERR_UPGRADE_REQUIRED);
    expect_refusal("Upgrade: h2c\r\nConnection: Upgrade\r\n" VERSION KEY, ERR_UPGRADE_REQUIRED);
    expect_refusal("Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION KEY,
                   ERR_UPGRADE_REQUIRED);
    expect_refusal("Upgrade: websocket\r\nConnection: close\r\n" VERSION KEY, ERR_UPGRADE_REQUIRED);
}

Test(handshake, asks_for_version_13)
{
    expect_refusal(UPGRADE KEY, ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY "Sec-WebSocket-Version: 12\r\n", ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY "Sec-WebSocket-Version:\r\n", ERR_UPGRADE_REQUIRED);
    expect_refusal(UPGRADE KEY VERSION VERSION, ERR_BAD_HANDSHAKE);
}

Test(handshake, wants_a_key_of_16_bytes_in_base64)
{
    static const char *const bad[] = {
        "",
        "c2hvcnQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZWE=", /* 17 bytes */
        "dGhlIHNhbXBsZSBub25jZWFi", /* 18 bytes */
        "dGhlIHNhbXBsZSBub25j",     /* 15 bytes */
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j=Q==",
        "dGhlIHNhbXBsZSBub25j Q==",
        "dGhlIHNhbXBsZSBub25j-_==",
        "!!!!!!!!!!!!!!!!!!!!!!==",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char fields[512];
        snprintf(fields, sizeof fields, UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n", bad[i]);
        expect_refusal(fields, ERR_BAD_HANDSHAKE);
    }
    expect_refusal(UPGRADE VERSION, ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY KEY, ERR_BAD_HANDSHAKE);
    expect_level(UPGRADE VERSION "Sec-WebSocket-Key:  +/+/AAAAAAAAAAAAAAAAAA==  \r\n", LEVEL_PLAIN);
}

Test(handshake, takes_no_body)
{
    expect_refusal(UPGRADE VERSION KEY "Content-Length: 3\r\n", ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY "Content-Length: 18446744073709551616\r\n",
                   ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY "Transfer-Encoding: chunked\r\n", ERR_BAD_HANDSHAKE);
    expect_level(UPGRADE VERSION KEY "Content-Length: 0\r\n", LEVEL_PLAIN);
    expect_level(UPGRADE VERSION KEY "Content-Length: 000\r\n", LEVEL_PLAIN);
}

Test(handshake, tells_a_client_that_offers_a_token_alone_what_to_offer_with_it)
{
    static const char *const offers[] = {
        "bearer.a.b.c",
        "chat, bearer.a.b.c",
        "bearer.",
    };
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        char fields[512];
        snprintf(fields, sizeof fields, UPGRADE VERSION KEY "Sec-WebSocket-Protocol: %s\r\n",
                 offers[i]);
        struct verdict verdict = check(fields);
        cr_assert_eq(verdict.error, ERR_BAD_HANDSHAKE, "%s", offers[i]);
        cr_expect_not_null(strstr(verdict.detail, "beside bearer.TOKEN"), "%s", verdict.detail);
    }
    struct verdict other =
        check(UPGRADE VERSION KEY "Sec-WebSocket-Protocol: chat, Bearer.a.b.c\r\n");
    cr_expect_null(strstr(other.detail, "TOKEN"), "%s", other.detail);
}

/* CONTRACT 2: the offer chooses the level. */
Test(handshake, finds_herald_plain_in_an_offer)
{
    expect_level(UPGRADE VERSION KEY OFFER("herald.plain"), LEVEL_PLAIN_NAMED);
    expect_level(UPGRADE VERSION KEY OFFER("chat, herald.plain"), LEVEL_PLAIN_NAMED);
    expect_level(UPGRADE VERSION KEY OFFER("chat") OFFER("herald.plain"), LEVEL_PLAIN_NAMED);
    expect_level(UPGRADE VERSION KEY OFFER("bearer.abc,\therald.plain"), LEVEL_PLAIN_NAMED);
}

Test(handshake, finds_herald_v1_in_an_offer)
{
    expect_level(UPGRADE VERSION KEY OFFER("herald.v1"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("chat,herald.v1"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("herald.v1, bearer.abc"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("bearer.herald.plain") OFFER("herald.v1"), LEVEL_V1);
}

/* RFC 6455, 4.1: the names are in the client's order of preference. */
Test(handshake, takes_the_first_known_name_of_an_offer)
{
    expect_level(UPGRADE VERSION KEY OFFER("herald.v1, herald.plain"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("herald.plain, herald.v1"), LEVEL_PLAIN_NAMED);
    expect_level(UPGRADE VERSION KEY OFFER("chat, herald.v2, herald.v1, herald.plain"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("herald.v1") OFFER("herald.plain"), LEVEL_V1);
    expect_level(UPGRADE VERSION KEY OFFER("herald.plain") OFFER("herald.v1"), LEVEL_PLAIN_NAMED);
    expect_level(
        UPGRADE VERSION KEY OFFER(
            "chat, bearer.abc") "sec-websocket-protocol: , herald.v1 ,\r\n" OFFER("herald.plain"),
        LEVEL_V1);
}

/* CONTRACT 2: a browser would drop an answer without a name that it offered. */
Test(handshake, refuses_an_offer_without_a_known_name)
{
    expect_refusal(UPGRADE VERSION KEY OFFER("chat"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("bearer.abc"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("bearer.herald.v1"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("bearer.abc") OFFER("chat, bearer.d"),
                   ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("herald.v1x"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("herald.v"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("HERALD.V1"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("herald.v1 herald.plain"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("plain, sse"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("herald.plainer"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER("Herald.Plain"), ERR_BAD_HANDSHAKE);
    expect_refusal(UPGRADE VERSION KEY OFFER(""), ERR_BAD_HANDSHAKE);
}

/* They are chosen apart from the handshake (extensions.h). */
Test(handshake, leaves_extensions_alone)
{
    expect_level(UPGRADE VERSION KEY "Sec-WebSocket-Extensions: permessage-deflate\r\n",
                 LEVEL_PLAIN);
}

static void expect_accept(enum handshake_level level, const char *expected)
{
    struct buf out;
    buf_init(&out, 512);
    cr_assert_eq(handshake_accept(&out, level, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", ""), ERR_OK);
    cr_assert(span_equal(buf_span(&out), span_of(expected)));
    buf_fini(&out);
}

Test(handshake, writes_the_101)
{
    expect_accept(LEVEL_PLAIN, "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "\r\n");
}

Test(handshake, echoes_herald_plain)
{
    expect_accept(LEVEL_PLAIN_NAMED, "HTTP/1.1 101 Switching Protocols\r\n"
                                     "Upgrade: websocket\r\n"
                                     "Connection: Upgrade\r\n"
                                     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                     "Sec-WebSocket-Protocol: herald.plain\r\n"
                                     "\r\n");
}

Test(handshake, names_herald_v1_in_the_101)
{
    expect_accept(LEVEL_V1, "HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                            "Sec-WebSocket-Protocol: herald.v1\r\n"
                            "\r\n");
}

Test(handshake, names_the_extensions_in_the_101)
{
    struct buf out;
    buf_init(&out, 512);
    cr_assert_eq(
        handshake_accept(&out, LEVEL_V1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "x; y=1", "Date: d\r\n"),
        ERR_OK);
    cr_assert(span_equal(buf_span(&out), SPAN_LITERAL("HTTP/1.1 101 Switching Protocols\r\n"
                                                      "Upgrade: websocket\r\n"
                                                      "Connection: Upgrade\r\n"
                                                      "Sec-WebSocket-Accept: "
                                                      "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                                      "Date: d\r\n"
                                                      "Sec-WebSocket-Protocol: herald.v1\r\n"
                                                      "Sec-WebSocket-Extensions: x; y=1\r\n"
                                                      "\r\n")));
    buf_fini(&out);
}

/* CONTRACT 3: what GET /users/ID calls each. */
Test(handshake, has_a_word_for_each_level)
{
    cr_expect_str_eq(handshake_level_word(LEVEL_PLAIN), "plain");
    cr_expect_str_eq(handshake_level_word(LEVEL_PLAIN_NAMED), "plain");
    cr_expect_str_eq(handshake_level_word(LEVEL_V1), "herald.v1");
    cr_expect_str_eq(handshake_level_word(LEVEL_SSE), "sse");
}

Test(handshake, does_not_write_half_a_101)
{
    struct buf out;
    buf_init(&out, 64);
    cr_assert_eq(handshake_accept(&out, LEVEL_PLAIN, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", ""),
                 ERR_FULL);
    cr_assert_eq(out.len, 0);
    buf_fini(&out);
}
