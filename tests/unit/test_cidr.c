#include "proto/bytes/cidr.h"

#include <criterion/criterion.h>

static struct ip ip(const char *text)
{
    struct ip found = {{0}};
    cr_assert_eq(ip_parse(span_of(text), &found), ERR_OK, "%s", text);
    return found;
}

static bool has(const char *range, const char *address)
{
    struct cidr cidr = {.bits = 0};
    struct ip wanted = ip(address);
    cr_assert_eq(cidr_parse(span_of(range), &cidr), ERR_OK, "%s", range);
    return cidr_has(&cidr, &wanted);
}

static void expect_text(const char *text, const char *expected)
{
    char out[IP_TEXT_MAX_BYTES];
    struct ip found = ip(text);
    ip_write(&found, out);
    cr_assert_str_eq(out, expected);
}

Test(ip, is_written_in_its_shortest_form)
{
    expect_text("192.0.2.1", "192.0.2.1");
    expect_text("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    expect_text("::", "::");
    expect_text("::ffff:192.0.2.1", "192.0.2.1");
    expect_text("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

Test(ip, refuses_what_is_no_address)
{
    static const char *const texts[] = {"",          "1",         "1.2.3",     "1.2.3.4.5",
                                        "256.1.1.1", "01.2.3.4",  "1.2.3.4 ",  " 1.2.3.4",
                                        "1.2.3.4:5", "[::1]",     "::1%eth0",  "1::2::3",
                                        "12345::",   "localhost", "0x7f.0.0.1"};
    struct ip found;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_eq(ip_parse(span_of(texts[i]), &found), ERR_INVALID_FIELD, "%s", texts[i]);
    cr_assert_eq(ip_parse((struct span){"1.2.3.4\0x", 9}, &found), ERR_INVALID_FIELD);
    static char many[200];
    memset(many, '1', sizeof many - 1);
    cr_assert_eq(ip_parse(span_of(many), &found), ERR_INVALID_FIELD);
}

Test(ip, counts_as_its_64_bit_network_when_it_is_ipv6)
{
    struct ip one = ip("2001:db8:1:2:3:4:5:6");
    struct ip two = ip("2001:db8:1:2::");
    struct ip other = ip("2001:db8:1:3::");
    struct ip network = ip_network(&one);
    cr_assert(ip_equal(&network, &two));
    cr_assert_not(ip_equal(&network, &other));
    struct ip v4 = ip("192.0.2.77");
    network = ip_network(&v4);
    cr_assert(ip_equal(&network, &v4));
}

Test(cidr, has_what_shares_its_prefix)
{
    cr_assert(has("10.0.0.0/8", "10.255.0.1"));
    cr_assert_not(has("10.0.0.0/8", "11.0.0.1"));
    cr_assert(has("192.0.2.128/25", "192.0.2.128"));
    cr_assert_not(has("192.0.2.128/25", "192.0.2.127"));
    cr_assert(has("172.16.0.0/12", "172.31.255.255"));
    cr_assert_not(has("172.16.0.0/12", "172.32.0.0"));
    cr_assert(has("0.0.0.0/0", "203.0.113.9"));
    cr_assert(has("2001:db8::/33", "2001:db8:7fff::1"));
    cr_assert_not(has("2001:db8::/33", "2001:db8:8000::1"));
    cr_assert(has("::/0", "2001:db8::1"));
    cr_assert(has("192.0.2.1/32", "192.0.2.1"));
    cr_assert_not(has("192.0.2.1/32", "192.0.2.0"));
    cr_assert(has("2001:db8::1/128", "2001:db8::1"));
    cr_assert_not(has("2001:db8::1/128", "2001:db8::"));
}

Test(cidr, is_one_address_without_a_length)
{
    cr_assert(has("192.0.2.1", "192.0.2.1"));
    cr_assert_not(has("192.0.2.1", "192.0.2.2"));
    cr_assert(has("::1", "::1"));
    cr_assert_not(has("::1", "::2"));
}

Test(cidr, of_all_ipv4_has_no_ipv6_and_knows_mapped_addresses)
{
    cr_assert_not(has("0.0.0.0/0", "2001:db8::1"));
    cr_assert(has("10.0.0.0/8", "::ffff:10.1.1.1"));
    cr_assert(has("::ffff:10.0.0.0/104", "10.1.1.1"));
}

Test(cidr, refuses_what_is_no_range)
{
    static const char *const texts[] = {"",           "/8",          "10.0.0.0/",   "10.0.0.0/33",
                                        "::/129",     "10.0.0.1/8",  "::1/64",      "10.0.0.0/08",
                                        "10.0.0.0/x", "10.0.0.0/8/", "10.0.0.0/-1", "10/8",
                                        "::/1000",    "10.0.0.0/ 8", "unix"};
    struct cidr cidr;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_eq(cidr_parse(span_of(texts[i]), &cidr), ERR_INVALID_FIELD, "%s", texts[i]);
}
