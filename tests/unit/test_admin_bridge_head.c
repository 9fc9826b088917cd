/* The heads between the door and the library (admin/bridge_head.h). */
#include "admin/bridge_head.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void expect_written(const char *head_text, size_t body_len, const char *expected)
{
    struct http_head head;
    struct http_field fields[16];
    struct buf out;
    buf_init(&out, 4096);
    http_head_init(&head, 4096, fields, 16);
    cr_assert_eq(http_head_parse(&head, head_text, strlen(head_text)), HTTP_HEAD_DONE);
    cr_assert_eq(bridge_head_write(&out, &head, head_text, body_len), ERR_OK);
    cr_expect(span_equal(buf_span(&out), span_of(expected)), "%.*s", (int)out.len, out.bytes);
    buf_fini(&out);
}

/* The library is lenient, so nothing that a client has written reaches it but the path. */
Test(bridge_head, passes_on_the_path_and_nothing_else_of_a_request)
{
    expect_written("GET /users/a%2Fb/inbox?after=7&limit=2 HTTP/1.1\r\nHost: a.example\r\n"
                   "Cookie: c\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                   0, "GET /users/a%2Fb/inbox HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

Test(bridge_head, says_how_long_the_body_is)
{
    expect_written("POST /online HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 3,
                   "POST /online HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n");
}

Test(bridge_head, writes_an_absolute_target_of_1_0_in_origin_form)
{
    expect_written("HEAD http://h:1/stats HTTP/1.0\r\n\r\n", 0,
                   "HEAD /stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static const char answer_text[] = "HTTP/1.1 405 Method Not Allowed\r\n"
                                  "Connection: Keep-Alive\r\n"
                                  "Content-Length: 12\r\n"
                                  "Content-Type: application/problem+json\r\n"
                                  "Allow: GET, HEAD\r\n"
                                  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                  "\r\n";

Test(bridge_head, reads_an_answer_when_its_head_is_complete_and_not_before)
{
    struct bridge_answer answer;
    size_t len;
    size_t whole = sizeof answer_text - 1;
    for (size_t n = 0; n < whole; n++) {
        cr_assert_eq(bridge_head_read((struct span){answer_text, n}, &answer, &len), ERR_OK);
        cr_assert_eq(len, 0, "%zu bytes", n);
    }
    cr_assert_eq(bridge_head_read((struct span){answer_text, whole}, &answer, &len), ERR_OK);
    cr_expect_eq(len, whole);
    cr_expect_eq(answer.status, 405);
    cr_expect_eq(answer.body_len, 12);
    cr_expect_str_eq(answer.content_type, "application/problem+json");
    cr_expect_str_eq(answer.fields, "Allow: GET, HEAD\r\n", "the rest is of the connection");
}

Test(bridge_head, refuses_what_is_no_answer_of_the_library)
{
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct bridge_answer answer;
        size_t len;
        cr_expect_eq(bridge_head_read(span_of(heads[i]), &answer, &len), ERR_BAD_HEAD, "%s",
                     heads[i]);
        cr_expect_eq(len, 0);
    }
}

Test(bridge_head, refuses_an_answer_whose_head_is_too_long)
{
    static char text[BRIDGE_ANSWER_MAX_BYTES + 2];
    struct bridge_answer answer;
    size_t len;
    memset(text, 'x', sizeof text);
    cr_expect_eq(bridge_head_read((struct span){text, BRIDGE_ANSWER_MAX_BYTES}, &answer, &len),
                 ERR_OK);
    cr_expect_eq(bridge_head_read((struct span){text, sizeof text}, &answer, &len), ERR_BAD_HEAD);
    int at = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: ");
    memset(text + at, 'x', BRIDGE_TYPE_MAX_BYTES);
    snprintf(text + at + BRIDGE_TYPE_MAX_BYTES, 8, "\r\n\r\n");
    cr_expect_eq(bridge_head_read(span_of(text), &answer, &len), ERR_BAD_HEAD);
}
