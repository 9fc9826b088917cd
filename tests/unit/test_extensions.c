#include "proto/ws/extensions.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define LINE "Sec-WebSocket-Extensions: "

static const char *detail;

/* The header lines of a request, as they stand. */
static enum err choose(const char *lines, struct deflate_terms *terms)
{
    static char bytes[HTTP_HEAD_MAX_BYTES];
    static struct http_head head;
    static struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    int len = snprintf(bytes, sizeof bytes, "GET /ws HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    cr_assert_eq(http_head_parse(&head, bytes, (size_t)len), HTTP_HEAD_DONE, "%s", lines);
    detail = NULL;
    return extensions_choose(&head, bytes, terms, &detail);
}

/* `expected` is the answer; empty: nothing is agreed. */
static void expect_lines(const char *lines, const char *expected)
{
    struct deflate_terms terms;
    char answer[EXTENSIONS_ANSWER_MAX_BYTES];
    cr_assert_eq(choose(lines, &terms), ERR_OK, "%s", lines);
    cr_expect_str_eq(extensions_answer(terms, answer), expected, "%s", lines);
}

static void expect(const char *value, const char *expected)
{
    char lines[1024];
    snprintf(lines, sizeof lines, LINE "%s\r\n", value);
    expect_lines(lines, expected);
}

#define NOTHING  ""
#define DEFLATE  "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define BITS(n)  DEFLATE "; server_max_window_bits=" #n
#define OFFER(p) "permessage-deflate; " p

Test(extensions, answers_nothing_where_nothing_is_offered)
{
    expect_lines("", NOTHING);
    expect("x-webkit-deflate-frame", NOTHING);
    expect("permessage-bzip2; level=3, mux", NOTHING);
}

/* RFC 7692, 5.1 and 7.1: no context is taken over, and the answer says so unasked. */
Test(extensions, answers_each_parameter)
{
    expect("permessage-deflate", DEFLATE);
    expect(OFFER("server_no_context_takeover"), DEFLATE);
    expect(OFFER("client_no_context_takeover"), DEFLATE);
    expect(OFFER("client_max_window_bits"), DEFLATE);
    expect(OFFER("client_max_window_bits=8"), DEFLATE);
    expect(OFFER("client_max_window_bits=15"), DEFLATE);
    expect(OFFER("server_max_window_bits=15"), BITS(15));
    expect(OFFER("server_max_window_bits=9"), BITS(9));
    expect(OFFER("server_max_window_bits=8"), BITS(8));
    expect(OFFER("server_no_context_takeover; client_no_context_takeover; "
                 "server_max_window_bits=10; client_max_window_bits=11"),
           BITS(10));
}

/* 7.1.2: an offer with one of these is declined. */
Test(extensions, passes_over_an_illegal_offer)
{
    static const char *const illegal[] = {
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"x\"",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=15",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=0",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=100",
        "server_max_window_bits=-8",
        "server_max_window_bits=+8",
        "server_max_window_bits=8.0",
        "server_max_window_bits=0x8",
        "server_max_window_bits=a",
        "server_max_window_bits=\"7\"",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=09",
        "client_max_window_bits=\"09\"",
        "Server_Max_Window_Bits=10",
    };
    for (size_t i = 0; i < sizeof illegal / sizeof illegal[0]; i++) {
        char value[300];
        snprintf(value, sizeof value, "permessage-deflate; %s", illegal[i]);
        expect(value, NOTHING);
        snprintf(value, sizeof value, "permessage-deflate; %s, permessage-deflate", illegal[i]);
        expect(value, DEFLATE);
    }
}

Test(extensions, takes_the_first_acceptable_offer)
{
    expect(OFFER("server_max_window_bits=9") ", permessage-deflate", BITS(9));
    expect("permessage-deflate, " OFFER("server_max_window_bits=9"), DEFLATE);
    expect("mux; max=3, permessage-deflate; what, " OFFER("server_max_window_bits=12") ", x",
           BITS(12));
    expect_lines(LINE "mux\r\n" LINE OFFER(
                     "what") "\r\n"
                             "Origin: http://x\r\n"
                             "sec-websocket-extensions: " OFFER(
                                 "server_max_window_bits=11") "\r\n" LINE "permessage-deflate\r\n",
                 BITS(11));
}

Test(extensions, unquotes_values)
{
    expect(OFFER("server_max_window_bits=\"10\""), BITS(10));
    expect(OFFER("server_max_window_bits=\"1\\0\""), BITS(10));
    expect(OFFER("client_max_window_bits=\"8\""), DEFLATE);
}

Test(extensions, takes_white_space_and_empty_elements)
{
    expect(" ,, permessage-deflate ;\tserver_max_window_bits = 10 , ,", BITS(10));
    expect("permessage-deflate;server_no_context_takeover;server_max_window_bits=10", BITS(10));
}

/* RFC 6455, 9.1: what is not of the grammar fails the handshake, wherever it stands. */
Test(extensions, refuses_lines_that_are_malformed)
{
    static const char *const malformed[] = {
        "",
        ",",
        ";",
        "permessage-deflate;",
        "permessage-deflate; ",
        "permessage-deflate;; server_no_context_takeover",
        "permessage-deflate x",
        "permessage-deflate=1",
        "permessage-deflate; =10",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=, mux",
        "permessage-deflate; server_max_window_bits=\"",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"10\\",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=\"10\"x",
        "permessage-deflate; a=b=c",
        "permessage-deflate, (comment)",
        "permessage-deflate; x=\"\xc3\xa9\"",
        "\"permessage-deflate\"",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char lines[300];
        struct deflate_terms terms;
        snprintf(lines, sizeof lines, LINE "permessage-deflate\r\n" LINE "%s\r\n", malformed[i]);
        cr_expect_eq(choose(lines, &terms), ERR_BAD_HANDSHAKE, "%s", malformed[i]);
        cr_expect_str_eq(detail, "Sec-WebSocket-Extensions is malformed");
    }
}
