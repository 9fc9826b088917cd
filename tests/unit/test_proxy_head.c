/* haproxy's proxy-protocol.txt, sections 2.1 and 2.2. */
#include "proto/http/proxy_head.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* In memory of exactly that size, so that a sanitizer sees a read beyond its end. */
static enum proxy_head_result parse(struct span bytes, struct proxy_head *head)
{
    char *copy = malloc(bytes.len + 1);
    char *exact = realloc(copy, bytes.len > 0 ? bytes.len : 1);
    memcpy(exact, bytes.bytes, bytes.len);
    enum proxy_head_result result = proxy_head_parse((struct span){exact, bytes.len}, head);
    free(exact);
    return result;
}

static void expect_address(struct span bytes, const char *address)
{
    struct proxy_head head;
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_eq(parse((struct span){bytes.bytes, len}, &head), PROXY_HEAD_MORE, "cut at %zu",
                     len);
    char longer[PROXY_HEAD_MAX_BYTES + 16];
    memcpy(longer, bytes.bytes, bytes.len);
    memcpy(longer + bytes.len, "GET / HTTP/1.1\r\n", 16);
    for (size_t more = 0; more <= 16; more++) {
        memset(&head, 0xff, sizeof head);
        cr_assert_eq(parse((struct span){longer, bytes.len + more}, &head), PROXY_HEAD_DONE);
        cr_assert_eq(head.len, bytes.len);
        cr_assert_eq(head.has_address, address != NULL);
        if (address == NULL)
            continue;
        char text[IP_TEXT_MAX_BYTES];
        ip_write(&head.address, text);
        cr_assert_str_eq(text, address);
    }
}

/* Refused at the latest when all is there, and never taken before. */
static void expect_bad(struct span bytes)
{
    struct proxy_head head;
    bool is_bad = false;
    for (size_t len = 0; len <= bytes.len; len++) {
        enum proxy_head_result result = parse((struct span){bytes.bytes, len}, &head);
        cr_assert(result == PROXY_HEAD_BAD || (result == PROXY_HEAD_MORE && !is_bad),
                  "%.50s cut at %zu: %d", bytes.bytes, len, (int)result);
        is_bad = result == PROXY_HEAD_BAD;
    }
    cr_assert(is_bad, "%.50s", bytes.bytes);
}

#define GOOD(text, address) expect_address(SPAN_LITERAL(text), address)
#define BAD(text)           expect_bad(SPAN_LITERAL(text))

Test(proxy_head, reads_version_1)
{
    GOOD("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1");
    GOOD("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255");
    GOOD("PROXY TCP6 2001:db8::7 ::1 0 8080\r\n", "2001:db8::7");
    GOOD("PROXY UNKNOWN\r\n", NULL);
    GOOD("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", NULL);
}

Test(proxy_head, takes_107_bytes_of_version_1_and_not_one_more)
{
    char text[109];
    memset(text, 'x', sizeof text);
    memcpy(text, "PROXY UNKNOWN ", 14);
    memcpy(text + 105, "\r\n", 2);
    expect_address((struct span){text, 107}, NULL);
    memset(text + 105, 'x', 2);
    memcpy(text + 106, "\r\n", 2);
    expect_bad((struct span){text, 108});
}

Test(proxy_head, refuses_a_version_1_that_is_not_to_the_letter)
{
    BAD("PROXY \r\n");
    BAD("PROXY TCP4\r\n");
    BAD("PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n");
    BAD("PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n");
    BAD("PROXY UNKNOWNX\r\n");
    BAD("PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n");
    BAD("PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n");
    BAD("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n");
    BAD("PROXY TCP4 ::1 ::1 1 2\r\n");
    BAD("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n");
    BAD("PROXY TCP4 192.0.2.1 ::1 1 2\r\n");
    BAD("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n");
    BAD("PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n");
    BAD("PROXY TCP4 192.0.2.1\r198.51.100.1 1 2\r\n");
    BAD("PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n");
    BAD("PROXY \n");
}

Test(proxy_head, reads_version_2)
{
    GOOD(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", "192.0.2.1");
    GOOD(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", "192.0.2.1");
    GOOD(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
            "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\xdc\4\1\xbb",
         "2001:db8::7");
}

Test(proxy_head, skips_what_follows_the_addresses)
{
    GOOD(V2 "\x21\x11\0\x13\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb\4\0\4\0\0\0\0", "192.0.2.1");
    char text[PROXY_HEAD_MAX_BYTES] = V2 "\x21\x11\x07\xf0\xc0\0\2\1";
    expect_address((struct span){text, 16 + 0x7f0}, "192.0.2.1");
}

Test(proxy_head, names_no_address_for_the_proxys_own_and_for_other_families)
{
    static char unix_socket[16 + 216] = V2 "\x21\x31\0\xd8/run/x";
    GOOD(V2 "\x20\0\0\0", NULL);
    GOOD(V2 "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", NULL);
    GOOD(V2 "\x20\xff\0\1x", NULL);
    GOOD(V2 "\x21\0\0\0", NULL);
    GOOD(V2 "\x21\0\0\3abc", NULL);
    expect_address((struct span){unix_socket, sizeof unix_socket}, NULL);
}

Test(proxy_head, refuses_a_version_2_that_it_does_not_know_or_that_is_too_short_or_too_long)
{
    BAD(V2 "\x11\x11\0\x0c");
    BAD(V2 "\x31\x11\0\x0c");
    BAD(V2 "\x22\x11\0\x0c");
    BAD(V2 "\x21\x41\0\x0c");
    BAD(V2 "\x21\x13\0\x0c");
    BAD(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1");
    BAD(V2 "\x21\x21\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb");
    BAD(V2 "\x21\x31\0\xd7");
    BAD(V2 "\x21\x11\x07\xf1");
    BAD(V2 "\x21\x11\xff\xff");
    BAD(V2 "\x20\0\xff\xff");
}

Test(proxy_head, leaves_everything_else_alone)
{
    static const struct span others[] = {
        {"GET / HTTP/1.1\r\n", 16},   {"POST /ack HTTP/1.1\r\n", 20},
        {"\x16\x03\x01", 3},          {"PROXIED", 7},
        {"PROXY\tTCP4", 10},          {"proxy TCP4 ", 11},
        {"\r\n\r\nGET ", 8},          {"\r\n\r\n\0\r\nQUIX\n", 12},
        {"\r\n\r\n\0\r\nQUIT\r", 12}, {"\0", 1},
    };
    struct proxy_head head;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_eq(parse(others[i], &head), PROXY_HEAD_NONE, "%zu", i);
}
