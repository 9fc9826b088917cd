/* What the answers of the subscriber port have in common. */
#include "proto/http/http_answer.h"

#include <criterion/criterion.h>

static bool has(const struct buf *answer, const char *text)
{
    return memmem(answer->bytes, answer->len, text, strlen(text)) != NULL;
}

/* RFC 9110, 5.6.7. */
Test(http_answer, writes_the_date_as_rfc_9110_has_it)
{
    static const struct {
        int64_t unix_s;
        const char *line;
    } rows[] = {
        {784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"},
        {0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"},
        {1709164799, "Date: Wed, 28 Feb 2024 23:59:59 GMT\r\n"},
        {1709164800, "Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n"},
        {253402300799, "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"},
    };
    char line[HTTP_DATE_MAX_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_date_write(rows[i].unix_s, line);
        cr_expect_str_eq(line, rows[i].line);
    }
}

Test(http_answer, says_whether_the_connection_goes_on)
{
    struct http_terms terms = {.date = "Date: d\r\n"};
    struct buf answer;
    buf_init(&answer, 4096);
    cr_assert_eq(http_answer(&answer, 204, NULL, NULL, &terms, (struct span){0}), ERR_OK);
    cr_expect(has(&answer, "\r\nDate: d\r\n") && has(&answer, "\r\nConnection: close\r\n\r\n"));
    buf_clear(&answer);
    terms.keep_s = 75;
    cr_assert_eq(http_refusal(&answer, ERR_CONFLICT, NULL, "id", NULL, &terms, 1), ERR_OK);
    cr_expect(has(&answer, "\r\nDate: d\r\n") && has(&answer, "Keep-Alive: timeout=75\r\n\r\n{"));
    buf_clear(&answer);
    cr_assert_eq(http_stream_head(&answer, &terms), ERR_OK);
    cr_expect(has(&answer, "\r\nDate: d\r\n") && has(&answer, "\r\nConnection: close\r\n\r\n"));
    buf_fini(&answer);
}
