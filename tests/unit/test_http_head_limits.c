/* How large a head may be, and what is found in one. */
#include "tests/unit/http_head_calls.h"

static struct span head_of_bytes(char *text, size_t len)
{
    static const char begin[] = BEGIN "X: ";
    memset(text, 'a', len);
    memcpy(text, begin, sizeof begin - 1);
    memcpy(text + len - 4, "\r\n\r\n", 4);
    return (struct span){text, len};
}

Test(http_head_limits, takes_8_kib_and_not_a_byte_more)
{
    static char text[HTTP_HEAD_USUAL_BYTES + 100];
    expect_done(head_of_bytes(text, HTTP_HEAD_USUAL_BYTES));
    expect_bad(head_of_bytes(text, HTTP_HEAD_USUAL_BYTES + 1), ERR_HEAD_TOO_LARGE);
    expect_bad(head_of_bytes(text, HTTP_HEAD_USUAL_BYTES + 100), ERR_HEAD_TOO_LARGE);
}

Test(http_head_limits, is_too_large_as_soon_as_8_kib_are_there_without_an_end)
{
    static char text[HTTP_HEAD_USUAL_BYTES];
    struct http_head head;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    begin_head(&head, false);
    cr_assert_eq(http_head_parse(&head, text, sizeof text - 1), HTTP_HEAD_MORE);
    cr_assert_eq(http_head_parse(&head, text, sizeof text), HTTP_HEAD_BAD);
    cr_assert_eq(head.error, ERR_HEAD_TOO_LARGE);
}

Test(http_head_limits, does_not_count_what_follows_the_head)
{
    static char text[3 * HTTP_HEAD_USUAL_BYTES];
    static const char begin[] = BEGIN "\r\n";
    struct http_head head;
    memset(text, '\n', sizeof text);
    memcpy(text, begin, sizeof begin - 1);
    begin_head(&head, false);
    cr_assert_eq(http_head_parse(&head, text, sizeof text), HTTP_HEAD_DONE);
    cr_assert_eq(head.len, sizeof begin - 1);
}

static struct span head_of_fields(char *text, size_t cap, unsigned n_fields)
{
    size_t len = (size_t)snprintf(text, cap, "%s", BEGIN);
    for (unsigned i = 1; i < n_fields; i++)
        len += (size_t)snprintf(text + len, cap - len, "X-%u: %u\r\n", i, i);
    len += (size_t)snprintf(text + len, cap - len, "\r\n");
    return (struct span){text, len};
}

Test(http_head_limits, takes_64_fields_and_not_one_more)
{
    static char text[4096];
    expect_done(head_of_fields(text, sizeof text, 64));
    expect_bad(head_of_fields(text, sizeof text, 65), ERR_HEAD_TOO_LARGE);
}

Test(http_head_limits, finds_the_first_field_of_a_name_and_counts_all)
{
    static const char text[] = BEGIN "A: 1\r\na: 2\r\nAB: 3\r\n\r\n";
    struct http_head head;
    struct span value;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert(field_is(&head, text, "a", "1"));
    cr_assert_eq(http_head_count(&head, text, "A"), 2);
    cr_assert_eq(http_head_count(&head, text, "ab"), 1);
    cr_assert_eq(http_head_count(&head, text, "b"), 0);
    cr_assert_not(http_head_find(&head, text, "b", &value));
}

Test(http_head_limits, finds_tokens_in_lists_over_all_fields_of_the_name)
{
    static const char text[] = BEGIN "A: x,\ty z ,,Upgrade\r\nB: token\r\na:\r\nA: last\r\n\r\n";
    struct http_head head;
    cr_assert_eq(parse(&head, SPAN_LITERAL(text)), HTTP_HEAD_DONE);
    cr_assert(http_head_has_token(&head, text, "A", "x"));
    cr_assert(http_head_has_token(&head, text, "a", "upgrade"));
    cr_assert(http_head_has_token(&head, text, "a", "LAST"));
    cr_assert_not(http_head_has_token(&head, text, "a", "y"));
    cr_assert_not(http_head_has_token(&head, text, "a", "up"));
    cr_assert_not(http_head_has_token(&head, text, "a", "token"));
    cr_assert_not(http_head_has_token(&head, text, "c", "x"));
}

static bool is_json(const char *fields)
{
    static char text[400];
    struct http_head head;
    snprintf(text, sizeof text, BEGIN "%s\r\n", fields);
    cr_assert_eq(parse(&head, span_of(text)), HTTP_HEAD_DONE);
    return http_head_is_json(&head, text);
}

Test(http_head_limits, knows_a_body_of_json_by_its_one_media_type)
{
    cr_expect(is_json("Content-Type: application/json\r\n"));
    cr_expect(is_json("content-type: Application/JSON ; charset=utf-8\r\n"));
    cr_expect_not(is_json(""));
    cr_expect_not(is_json("Content-Type:\r\n"));
    cr_expect_not(is_json("Content-Type: text/plain\r\n"));
    cr_expect_not(is_json("Content-Type: application/json-seq\r\n"));
    cr_expect_not(is_json("Content-Type: application/json\r\nContent-Type: text/plain\r\n"));
}

Test(http_head_limits, takes_as_much_as_it_is_asked_to)
{
    static char text[HTTP_HEAD_MAX_BYTES + 1];
    static struct http_field fields[100];
    static const struct {
        size_t max_bytes, len;
        enum http_head_result result;
    } rows[] = {
        {4096, 4096, HTTP_HEAD_DONE},
        {4096, 4097, HTTP_HEAD_BAD},
        {HTTP_HEAD_MAX_BYTES, HTTP_HEAD_MAX_BYTES, HTTP_HEAD_DONE},
        {HTTP_HEAD_MAX_BYTES + 1, HTTP_HEAD_MAX_BYTES + 1, HTTP_HEAD_BAD},
    };
    struct http_head head;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span whole = head_of_bytes(text, rows[i].len);
        http_head_init(&head, rows[i].max_bytes, fields, 100);
        cr_expect_eq(http_head_parse(&head, whole.bytes, whole.len), rows[i].result, "row %zu", i);
    }
    for (unsigned n = 100; n <= 101; n++) {
        struct span whole = head_of_fields(text, sizeof text, n);
        http_head_init(&head, HTTP_HEAD_MAX_BYTES, fields, 100);
        cr_expect_eq(http_head_parse(&head, whole.bytes, whole.len),
                     n == 100 ? HTTP_HEAD_DONE : HTTP_HEAD_BAD);
    }
}

Test(http_head_limits, returns_the_length_of_the_body_if_it_is_known)
{
    static const struct {
        const char *fields;
        bool is_known;
        size_t len;
    } rows[] = {
        {"", true, 0},
        {"Content-Length: 0\r\n", true, 0},
        {"Content-Length: 00100\r\n", true, 100},
        {"Content-Length: 101\r\n", false, 0},
        {"Content-Length: 99999999999999999999999999\r\n", false, 0},
        {"Transfer-Encoding: chunked\r\n", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        size_t len = 0;
        struct http_head head;
        snprintf(text, sizeof text, BEGIN "%s\r\n", rows[i].fields);
        cr_assert_eq(parse(&head, span_of(text)), HTTP_HEAD_DONE);
        cr_expect_eq(http_head_body_len(&head, text, 100, &len), rows[i].is_known, "row %zu", i);
        cr_expect_eq(len, rows[i].len, "row %zu", i);
    }
}
