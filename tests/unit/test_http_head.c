/* The parser of request heads: whole, one byte at a time and in front of a guard page; limits, and
 * what smuggles requests. */
#include "tests/unit/http_head_calls.h"

static const char browser[] =
    "GET /ws?userId=42&after=k3f9a2qd-118 HTTP/1.1\r\n"
    "Host: push.example.com:8080\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Upgrade: websocket\r\n"
    "Origin: https://example.com\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "\r\n";

Test(http_head, understands_a_browser)
{
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(browser)), HTTP_HEAD_DONE);
    cr_assert_eq(head.len, sizeof browser - 1);
    cr_assert_eq(head.n_fields, 10);
    cr_assert(part_is(browser, head.method, "GET"));
    cr_assert(part_is(browser, head.target, "/ws?userId=42&after=k3f9a2qd-118"));
    cr_assert(part_is(browser, head.path, "/ws"));
    cr_assert(part_is(browser, head.host, "push.example.com:8080"));
    cr_assert(part_is(browser, head.query, "userId=42&after=k3f9a2qd-118"));
    cr_assert(field_is(&head, browser, "host", "push.example.com:8080"));
    cr_assert(field_is(&head, browser, "SEC-WEBSOCKET-KEY", "dGhlIHNhbXBsZSBub25jZQ=="));
    cr_assert(http_head_has_token(&head, browser, "Connection", "upgrade"));
}

Test(http_head, waits_for_more_at_every_byte_but_the_last)
{
    for (size_t len = 0; len < sizeof browser - 1; len++) {
        struct http_head head;
        begin_head(&head, false);
        cr_assert_eq(http_head_parse(&head, guarded((struct span){browser, len}).bytes, len),
                     HTTP_HEAD_MORE, "%zu", len);
    }
}

Test(http_head, ends_where_the_empty_line_ends)
{
    static const char text[] = BEGIN "\r\n\x81\x80garbage\0\n";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert_eq(head.len, sizeof(BEGIN "\r\n") - 1);
    cr_assert_eq(http_head_parse(&head, text, sizeof text - 1), HTTP_HEAD_DONE);
}

Test(http_head, splits_the_target_at_the_first_question_mark)
{
    static const char text[] = "GET /a?b?c HTTP/1.1\r\n" HOST "\r\n";
    static const char bare[] = "GET /a HTTP/1.1\r\n" HOST "\r\n";
    static const char empty[] = "GET /? HTTP/1.1\r\n" HOST "\r\n";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert(part_is(text, head.path, "/a"));
    cr_assert(part_is(text, head.query, "b?c"));
    cr_assert_eq(parse(&head, SPAN_LITERAL(bare)), HTTP_HEAD_DONE);
    cr_assert(part_is(bare, head.path, "/a"));
    cr_assert_eq(head.query.len, 0);
    cr_assert_eq(parse(&head, SPAN_LITERAL(empty)), HTTP_HEAD_DONE);
    cr_assert(part_is(empty, head.path, "/"));
    cr_assert_eq(head.query.len, 0);
}

/* RFC 9112, 3.2.2: a server must take it, and its host is the one that counts. */
Test(http_head, takes_targets_in_absolute_form_and_their_host_for_the_host)
{
    static const struct {
        const char *target, *host, *path, *query;
    } rows[] = {
        {"http://a.example:81/ws?userId=42", "a.example:81", "/ws", "userId=42"},
        {"HTTPS://a.example/ws", "a.example", "/ws", ""},
        {"http://[::1]:8080/a?b?c/d", "[::1]:8080", "/a", "b?c/d"},
        {"http://a.example", "a.example", "", ""},
        {"http://a.example?x=1/2", "a.example", "", "x=1/2"},
        {"http://a.example/http://b.example/", "a.example", "/http://b.example/", ""},
        {"/http://b.example/", "example.com", "/http://b.example/", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        struct http_head head;
        int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n", rows[i].target);
        cr_assert_eq(parse(&head, (struct span){text, (size_t)len}), HTTP_HEAD_DONE, "%s", text);
        cr_assert(part_is(text, head.target, rows[i].target), "%s", text);
        cr_assert(part_is(text, head.host, rows[i].host), "%s", text);
        cr_assert(part_is(text, head.path, rows[i].path), "%s", text);
        cr_assert(part_is(text, head.query, rows[i].query), "%s", text);
    }
}

Test(http_head, refuses_absolute_targets_that_name_no_host_or_another_scheme)
{
    BAD("GET http:///ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://?userId=1 HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http:// HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http:/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http:ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://user@a.example/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://a.example\\@b.example/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://a.example,b.example/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://a.example/ws#x HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET ftp://a.example/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET ws://a.example/ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET http://a.example/ws HTTP/1.1\r\n\r\n");
    BAD("GET http://a.example/ws HTTP/1.1\r\nHost: a b\r\n\r\n");
    BAD("GET http://a.example/ws HTTP/1.1\r\n" HOST HOST "\r\n");
}

Test(http_head, refuses_targets_in_other_forms)
{
    BAD("GET ws HTTP/1.1\r\n" HOST "\r\n");
    BAD("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    BAD("CONNECT example.com:443 HTTP/1.1\r\n" HOST "\r\n");
}

Test(http_head, takes_only_visible_ascii_in_targets)
{
    DONE("GET /a?x|y^z{}[]`'\\\"<> HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a#b HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a\tb HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a\0b HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a\x7f HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /\xc3\xbc HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a\r\n" HOST "\r\n");
}

Test(http_head, takes_any_token_for_a_method)
{
    static const char text[] = "get /a HTTP/1.1\r\n" HOST "\r\n";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert(part_is(text, head.method, "get"));
    DONE("X-!#$%&'*+.^_`|~9 /a HTTP/1.1\r\n" HOST "\r\n");
    BAD(" /a HTTP/1.1\r\n" HOST "\r\n");
    BAD(" GET /a HTTP/1.1\r\n" HOST "\r\n");
    BAD("G(T /a HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET\t/a HTTP/1.1\r\n" HOST "\r\n");
    BAD("\x16\x03\x01\x02"); /* TLS on the plain port */
}

Test(http_head, takes_single_spaces_only_in_the_request_line)
{
    BAD("GET  /a HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a  HTTP/1.1\r\n" HOST "\r\n");
    BAD("GET /a HTTP/1.1 \r\n" HOST "\r\n");
    BAD("GET /a b HTTP/1.1\r\n" HOST "\r\n");
}

static bool is_1_0(const char *text)
{
    struct http_head head;
    cr_assert_eq(parse(&head, span_of(text)), HTTP_HEAD_DONE, "%s", text);
    return head.is_1_0;
}

/* What nginx speaks to its upstreams by default, and haproxy in its checks. */
Test(http_head, reads_http_1_0_which_may_have_no_host)
{
    cr_expect(is_1_0("GET /a HTTP/1.0\r\n" HOST "\r\n"));
    cr_expect(is_1_0("GET /a HTTP/1.0\r\n\r\n"));
    cr_expect(!is_1_0("GET /a HTTP/1.1\r\n" HOST "\r\n"));
    BAD("GET /a HTTP/1.0\r\n" HOST HOST "\r\n");
    BAD("GET /a HTTP/1.0\r\nHost: a b\r\n\r\n");
    BAD("POST /a HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    BAD("POST /a HTTP/1.0\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n");
}

Test(http_head, has_no_host_where_none_is_named)
{
    struct http_head head;
    static const char none[] = "GET /a HTTP/1.0\r\n\r\n";
    static const char absolute[] = "GET http://h/a HTTP/1.0\r\n\r\n";
    cr_assert_eq(parse(&head, SPAN_LITERAL(none)), HTTP_HEAD_DONE);
    cr_expect_eq(head.host.len, 0);
    cr_assert_eq(parse(&head, SPAN_LITERAL(absolute)), HTTP_HEAD_DONE);
    cr_expect(part_is(absolute, head.host, "h"));
}

Test(http_head, speaks_no_version_but_1_1_and_1_0)
{
    NO_VERSION("GET /a HTTP/1.2\r\n" HOST "\r\n");
    NO_VERSION("GET /a HTTP/0.0\r\n" HOST "\r\n");
    NO_VERSION("GET /a HTTP/2.0\r\n" HOST "\r\n");
    NO_VERSION("GET /a HTTP/0.9\r\n" HOST "\r\n");
    NO_VERSION("GET /a HTTP/3.1\r\n" HOST "\r\n");
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    BAD("GET /a http/1.1\r\n" HOST "\r\n");
    BAD("GET /a HTTP/1.10\r\n" HOST "\r\n");
    BAD("GET /a HTTP/11.1\r\n" HOST "\r\n");
    BAD("GET /a HTTP/1\r\n" HOST "\r\n");
    BAD("GET /a HTTP/1,1\r\n" HOST "\r\n");
    BAD("GET /a HTTPS/1.1\r\n" HOST "\r\n");
}

/* RFC 9112, 2.2: a recipient may take a bare LF; Herald does not. */
Test(http_head, refuses_a_bare_lf_or_cr)
{
    BAD("GET /a HTTP/1.1\n" HOST "\r\n");
    BAD(LINE "Host: example.com\n\r\n");
    BAD(BEGIN "\n");
    BAD(LINE "Host: exa\rmple.com\r\n\r\n");
    BAD(BEGIN "\rX");
    BAD(BEGIN "X: a\r\r\n\r\n");
    BAD(BEGIN "X: a\nY: b\r\n\r\n");
}

/* RFC 9112, 5.2. */
Test(http_head, refuses_a_folded_line)
{
    BAD(BEGIN "X: a\r\n b\r\n\r\n");
    BAD(BEGIN "X: a\r\n\tb\r\n\r\n");
    BAD(LINE " Host: example.com\r\n\r\n");
}

/* RFC 9112, 5.1. */
Test(http_head, refuses_a_space_before_the_colon)
{
    BAD(BEGIN "X : a\r\n\r\n");
    BAD(BEGIN "X\t: a\r\n\r\n");
}

Test(http_head, refuses_a_field_without_name_or_colon)
{
    BAD(BEGIN ": a\r\n\r\n");
    BAD(BEGIN "X\r\n\r\n");
    BAD(BEGIN "X(y): a\r\n\r\n");
    BAD(BEGIN "X\xc3\xbc: a\r\n\r\n");
    BAD(BEGIN "X\0: a\r\n\r\n");
}

Test(http_head, refuses_control_characters_in_values)
{
    for (unsigned c = 0; c < 256; c++) {
        char text[] = BEGIN "X: a?b\r\n\r\n";
        *strrchr(text, '?') = (char)c;
        struct span span = {text, sizeof text - 1};
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            expect_bad(span, ERR_BAD_HEAD);
        else
            expect_done(span);
    }
}

Test(http_head, gives_values_without_the_white_space_around_them)
{
    static const char text[] = BEGIN "A: \t x y \t \r\nB:z\r\nC:\r\nD: \t \r\n\r\n";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert(field_is(&head, text, "A", "x y"));
    cr_assert(field_is(&head, text, "B", "z"));
    cr_assert(field_is(&head, text, "C", ""));
    cr_assert(field_is(&head, text, "D", ""));
}

/* RFC 9112, 2.2: in front of the request line, and nowhere else. */
Test(http_head, passes_over_empty_lines_in_front_of_the_request_line)
{
    static const char text[] = "\r\n\r\n" BEGIN "\r\nbehind";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_expect_eq(head.len, sizeof text - sizeof "behind");
    cr_expect(part_is(text, head.method, "GET"));
    cr_expect(part_is(text, head.host, "example.com"));
    BAD("\n" BEGIN "\r\n");
    BAD("\r" BEGIN "\r\n");
    BAD("\r\r\n" BEGIN "\r\n");
    BAD(" \r\n" BEGIN "\r\n");
    BAD("GET\r\n /a HTTP/1.1\r\n" HOST "\r\n");
}

Test(http_head, counts_empty_lines_among_the_bytes_of_a_head)
{
    static char text[HTTP_HEAD_USUAL_BYTES];
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "\r\n", 2);
    struct http_head head;
    cr_expect_eq(parse(&head, (struct span){text, sizeof text - 2}), HTTP_HEAD_MORE);
    cr_expect_eq(parse(&head, (struct span){text, sizeof text}), HTTP_HEAD_BAD);
    cr_expect_eq(head.error, ERR_HEAD_TOO_LARGE);
}

static bool is_a(struct span path)
{
    return span_equal(path, SPAN_LITERAL("/a"));
}

static enum http_head_result parse_open(struct http_head *head, const char *text)
{
    begin_head(head, false);
    head->is_open_path = is_a;
    return http_head_parse(head, text, strlen(text));
}

Test(http_head, takes_a_malformed_host_for_none_where_the_path_is_open)
{
    static const char *const hosts[] = {"", "a b", "user@example.com", "example.com/x", "a, b"};
    struct http_head head;
    char text[200];
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        snprintf(text, sizeof text, "GET /a?b HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        cr_expect_eq(parse_open(&head, text), HTTP_HEAD_DONE, "%s", hosts[i]);
        cr_expect_eq(head.host.len, 0, "%s", hosts[i]);
        snprintf(text, sizeof text, "GET /b HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        cr_expect_eq(parse_open(&head, text), HTTP_HEAD_BAD, "%s", hosts[i]);
    }
    cr_expect_eq(parse_open(&head, "GET /a HTTP/1.1\r\n\r\n"), HTTP_HEAD_BAD);
    cr_expect_eq(parse_open(&head, "GET /a HTTP/1.1\r\n" HOST HOST "\r\n"), HTTP_HEAD_BAD);
    cr_expect_eq(parse_open(&head, "GET /a HTTP/1.1\r\nHost: /\r\nContent-Length: x\r\n\r\n"),
                 HTTP_HEAD_BAD);
}

/* RFC 9112, 3.2. */
Test(http_head, wants_exactly_one_host)
{
    BAD(LINE "\r\n");
    BAD(BEGIN HOST "\r\n");
    BAD(BEGIN "host: other.example\r\n\r\n");
    BAD(LINE "Host:\r\n\r\n");
    BAD(LINE "Host: a b\r\n\r\n");
    BAD(LINE "Host: a, b\r\n\r\n");
    BAD(LINE "Host: user@example.com\r\n\r\n");
    BAD(LINE "Host: example.com/x\r\n\r\n");
    BAD(LINE "Host: ex\xc3\xa4mple.com\r\n\r\n");
    DONE(LINE "Host: [::1]:8080\r\n\r\n");
    DONE(LINE "hOST:127.0.0.1\r\n\r\n");
}

/* RFC 9112, 6.3: the roots of request smuggling. */
Test(http_head, refuses_a_body_length_that_can_be_understood_in_two_ways)
{
    BAD(BEGIN "Content-Length: 3\r\nContent-Length: 3\r\n\r\n");
    BAD(BEGIN "Content-Length: 3\r\nContent-Length: 4\r\n\r\n");
    BAD(BEGIN "Content-Length: 3, 3\r\n\r\n");
    BAD(BEGIN "Content-Length: +3\r\n\r\n");
    BAD(BEGIN "Content-Length: -3\r\n\r\n");
    BAD(BEGIN "Content-Length: 0x3\r\n\r\n");
    BAD(BEGIN "Content-Length:\r\n\r\n");
    BAD(BEGIN "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    BAD(BEGIN "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n");
    DONE(BEGIN "Content-Length: 0\r\n\r\n");
    DONE(BEGIN "Transfer-Encoding: chunked\r\n\r\n");
}
