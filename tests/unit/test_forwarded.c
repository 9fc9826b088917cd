#include "proto/http/forwarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The proxies trusted are 10.0.0.0/8 and 2001:db8::/32. NULL: it is the proxy's own. */
static void expect(const char *fields, const char *address)
{
    struct cidr trusted[2];
    char text[1024];
    char found_text[IP_TEXT_MAX_BYTES];
    struct http_head head;
    struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    struct ip found;
    cr_assert_eq(cidr_parse(SPAN_LITERAL("10.0.0.0/8"), &trusted[0]), ERR_OK);
    cr_assert_eq(cidr_parse(SPAN_LITERAL("2001:db8::/32"), &trusted[1]), ERR_OK);
    int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%sHost: a\r\n\r\n", fields);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    cr_assert_eq(http_head_parse(&head, text, (size_t)len), HTTP_HEAD_DONE);
    bool is_found = forwarded_for(&head, text, trusted, 2, &found);
    cr_assert_eq(is_found, address != NULL, "%s", fields);
    if (!is_found)
        return;
    ip_write(&found, found_text);
    cr_assert_str_eq(found_text, address);
}

Test(forwarded, is_the_rightmost_address_that_is_not_trusted)
{
    expect("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 1.1.1.1,192.0.2.1 ,10.0.0.7, 2001:db8::5\r\n", "192.0.2.1");
    expect("x-forwarded-for: 2001:470::9\r\n", "2001:470::9");
}

Test(forwarded, is_one_list_over_all_fields)
{
    expect("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.7\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 10.0.0.7\r\nVia: 1\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1");
}

Test(forwarded, goes_no_further_than_what_is_no_address)
{
    expect("X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.7\r\n", "10.0.0.7");
    expect("X-Forwarded-For: 192.0.2.1, 10.0.0.7,\r\n", NULL);
    expect("X-Forwarded-For: unknown\r\n", NULL);
    expect("X-Forwarded-For:\r\n", NULL);
    expect("X-Forwarded-For: ,\r\n", NULL);
    expect("", NULL);
}

Test(forwarded, is_the_leftmost_when_all_are_trusted)
{
    expect("X-Forwarded-For: 10.0.0.9, 10.0.0.7\r\n", "10.0.0.9");
}

Test(forwarded, may_have_a_port)
{
    expect("X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1");
    expect("X-Forwarded-For: [2001:470::9]:4711\r\n", "2001:470::9");
    expect("X-Forwarded-For: [2001:470::9]\r\n", "2001:470::9");
    expect("X-Forwarded-For: [2001:470::9\r\n", NULL);
    expect("X-Forwarded-For: []\r\n", NULL);
}

Test(forwarded, knows_the_fields_by_which_proxies_show_themselves)
{
    static const char *const signs[] = {
        "Forwarded",
        "X-Forwarded",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "Via",
        "VIA",
        "X-Real-IP",
        "x-real-ip",
        "X-Client-IP",
        "True-Client-IP",
        "X-Envoy-External-Address",
        "CF-Connecting-IP",
        "x-client-ip",
        "cf-connecting-ip",
        "X-Original-Forwarded-For",
    };
    static const char *const others[] = {
        "Host",       "X-Forwarde", "Forwarded-For", "Viable", "X-Real",
        "X-Real-IPs", "X-Envoy-IP", "Client-IP",     "Origin", "",
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        cr_expect(forwarded_is_sign(span_of(signs[i])), "%s", signs[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect(!forwarded_is_sign(span_of(others[i])), "%s", others[i]);
}
