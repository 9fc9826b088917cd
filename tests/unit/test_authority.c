/* CONTRACT 1 and 2: which Host is this machine alone, which Origin may come in. */
#include "proto/http/authority.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* A copy on the heap, so that a sanitizer sees a read beyond its end. */
static struct span copy_of(const char *text)
{
    size_t len = strlen(text);
    char *bytes = malloc(len > 0 ? len : 1);
    cr_assert_not_null(bytes);
    if (len > 0)
        memcpy(bytes, text, len);
    return (struct span){bytes, len};
}

static bool ask(bool (*question)(struct span, struct span), const char *one, const char *other)
{
    struct span first = copy_of(one);
    struct span second = copy_of(other);
    bool answer = question(first, second);
    free((void *)(size_t)first.bytes);
    free((void *)(size_t)second.bytes);
    return answer;
}

static bool is_loopback(struct span host, struct span unused)
{
    (void)unused;
    return authority_is_loopback(host);
}

struct pair {
    const char *origin;
    const char *other; /* the host, or the pattern */
};

#define ASSERT_EACH(pairs, question, answer)                                                       \
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs)[0]; i++)                                  \
    cr_assert_eq(ask(question, (pairs)[i].origin, (pairs)[i].other), answer, "%s %s",              \
                 (pairs)[i].origin, (pairs)[i].other)

Test(authority, knows_the_names_and_addresses_of_this_machine)
{
    static const struct pair hosts[] = {
        {"localhost", ""},   {"localhost:8080", ""},      {"LOCALHOST", ""}, {"LocalHost:1", ""},
        {"a.localhost", ""}, {"a.b.LOCALHOST:65535", ""}, {"127.0.0.1", ""}, {"127.0.0.1:8080", ""},
        {"127.5.6.7", ""},   {"127.255.255.255:443", ""}, {"[::1]", ""},     {"[::1]:1", ""},
        {" 127.0.0.1 ", ""},
    };
    ASSERT_EACH(hosts, is_loopback, true);
}

Test(authority, takes_no_other_host_for_this_machine)
{
    static const struct pair hosts[] = {
        {"", ""},
        {":", ""},
        {":80", ""},
        {".localhost", ""},
        {"localhost.", ""},
        {"localhost:", ""},
        {"localhost:80:80", ""},
        {"localhost:x", ""},
        {"localhost.evil.com", ""},
        {"evillocalhost", ""},
        {"127.0.0.1.evil.com", ""},
        {"127.0.0.1.evil.com:80", ""},
        {"127.0.0.1@evil.com", ""},
        {"128.0.0.1", ""},
        {"126.255.255.255", ""},
        {"12.7.0.0.1", ""},
        {"10.0.0.1", ""},
        {"127", ""},
        {"127.1", ""},
        {"127.0.0", ""},
        {"127.0.0.", ""},
        {"127..0.1", ""},
        {".127.0.0.1", ""},
        {"127.0.0.0.1", ""},
        {"127.0.0.256", ""},
        {"127.0.0.4294967297", ""},
        {"127.0.0.x", ""},
        {"-127.0.0.1", ""},
        {"::1", ""},
        {"[::1", ""},
        {"[::1].evil.com", ""},
        {"[::1]evil.com:80", ""},
        {"[::2]", ""},
        {"[", ""},
    };
    ASSERT_EACH(hosts, is_loopback, false);
}

/* Some resolvers read such a part as octal: 0127.0.0.1 is 87.0.0.1 to them. */
Test(authority, takes_no_part_that_begins_with_0_for_decimal)
{
    static const struct pair hosts[] = {
        {"0127.0.0.1", ""},
        {"127.00.0.1", ""},
        {"127.0.0.01", ""},
        {"127.0.0.0000000000000000000000000000001:80", ""},
    };
    ASSERT_EACH(hosts, is_loopback, false);
}

static bool is_own(struct span origin, struct span host)
{
    return origin_is_host(origin, host, false);
}

static bool is_own_with_tls(struct span origin, struct span host)
{
    return origin_is_host(origin, host, true);
}

Test(authority, does_not_take_an_http_page_for_that_of_a_port_that_speaks_tls)
{
    static const struct pair same[] = {
        {"https://example.com", "example.com"},
        {"https://example.com:8443", "example.com:8443"},
    };
    static const struct pair other[] = {
        {"http://example.com", "example.com"},
        {"http://example.com:8443", "example.com:8443"},
        {"http://example.com:443", "example.com"},
    };
    ASSERT_EACH(same, is_own_with_tls, true);
    ASSERT_EACH(other, is_own_with_tls, false);
}

Test(authority, knows_the_own_host_in_an_origin)
{
    static const struct pair same[] = {
        {"http://example.com", "example.com"},      {"https://example.com", "example.com"},
        {"HTTP://Example.COM", "eXample.com"},      {"http://example.com:8080", "example.com:8080"},
        {"http://example.com:80", "example.com"},   {"http://example.com", "example.com:80"},
        {"https://example.com:443", "example.com"}, {"https://example.com", "EXAMPLE.com:443"},
        {"http://[::1]:8080", "[::1]:8080"},        {"https://[::1]", "[::1]:443"},
    };
    ASSERT_EACH(same, is_own, true);
}

Test(authority, takes_no_other_origin_for_the_own_host)
{
    static const struct pair other[] = {
        {"", ""},
        {"http://", ""},
        {"http://example.com", ""},
        {"", "example.com"},
        {"null", "null"},
        {"example.com", "example.com"},
        {"http:/example.com", "example.com"},
        {"ftp://example.com", "example.com"},
        {"http://example.com", "example.org"},
        {"http://a.example.com", "example.com"},
        {"http://example.com", "a.example.com"},
        {"http://example.com.evil.com", "example.com"},
        {"http://example.com:8080", "example.com"},
        {"http://example.com", "example.com:8080"},
        {"http://example.com:443", "example.com"},
        {"https://example.com:80", "example.com"},
        {"http://example.com/", "example.com"},
    };
    ASSERT_EACH(other, is_own, false);
}

Test(authority, allows_the_origin_that_a_pattern_names)
{
    static const struct pair same[] = {
        {"https://example.com", "https://example.com"},
        {"HTTPS://EXAMPLE.com", "https://example.COM"},
        {"https://example.com", "https://example.com:443"},
        {"https://example.com:443", "https://example.com"},
        {"http://example.com:80", "http://example.com"},
        {"http://example.com:8080", "http://example.com:8080"},
        {"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"},
        {"chrome-extension://abcdef", "chrome-extension://abcdef"},
        {"app://localhost", "app://localhost"},
        {"null", "null"},
    };
    ASSERT_EACH(same, origin_is_allowed, true);
}

Test(authority, allows_no_origin_of_another_scheme_host_or_port)
{
    static const struct pair other[] = {
        {"", "https://example.com"},
        {"http://example.com", "https://example.com"},
        {"https://example.com", "http://example.com"},
        {"https://example.com:8443", "https://example.com"},
        {"https://example.com", "https://example.com:8443"},
        {"https://example.com:80", "https://example.com"},
        {"http://example.com:443", "http://example.com"},
        {"app://localhost:80", "app://localhost"},
        {"https://a.example.com", "https://example.com"},
        {"https://example.com.evil.com", "https://example.com"},
        {"https://example.com/", "https://example.com"},
        {"https://example.co", "https://example.com"},
        {"null", "https://example.com"},
        {"null", "https://*.example.com"},
        {"https://null", "null"},
        {"", "null"},
    };
    ASSERT_EACH(other, origin_is_allowed, false);
}

Test(authority, allows_every_subdomain_under_a_star)
{
    static const struct pair below[] = {
        {"https://a.example.com", "https://*.example.com"},
        {"https://a.b.example.com", "https://*.example.com"},
        {"https://xn--bcher-kva.example.com", "https://*.example.com"},
        {"https://a_1.example.com:443", "https://*.example.com"},
        {"HTTPS://A.EXAMPLE.COM", "https://*.example.com"},
        {"https://a.example.com", "https://*.example.com:443"},
        {"http://a.example.com:8080", "http://*.example.com:8080"},
    };
    ASSERT_EACH(below, origin_is_allowed, true);
}

Test(authority, allows_nothing_beside_the_subdomains_of_a_star)
{
    static const struct pair beside[] = {
        {"https://example.com", "https://*.example.com"},
        {"https://.example.com", "https://*.example.com"},
        {"https://..example.com", "https://*.example.com"},
        {"https://a..example.com", "https://*.example.com"},
        {"https://evilexample.com", "https://*.example.com"},
        {"http://app.example.com", "https://*.example.com"},
        {"ws://app.example.com", "https://*.example.com"},
        {"https://a.example.com:8443", "https://*.example.com"},
        {"https://a.example.com", "https://*.example.com:8443"},
        {"https://a.example.com.evil.com", "https://*.example.com"},
        {"https://evil.com/.example.com", "https://*.example.com"},
        {"https://evil.com/a.example.com", "https://*.example.com"},
        {"https://evil.com:1.example.com", "https://*.example.com"},
        {"https://evil.com#.example.com", "https://*.example.com"},
        {"https://evil@a.example.com", "https://*.example.com"},
        {"https://a b.example.com", "https://*.example.com"},
        {"https://*.example.com", "https://*.example.com"},
        {"https://", "https://*.example.com"},
        {"", "https://*.example.com"},
    };
    ASSERT_EACH(beside, origin_is_allowed, false);
}

Test(authority, tells_the_pages_that_a_machine_serves_to_itself)
{
    static const char *const local[] = {"http://localhost:5173", "https://a.localhost",
                                        "http://127.0.0.1", "http://[::1]:8080"};
    static const char *const others[] = {"http://localhost.example",
                                         "ws://localhost",
                                         "localhost",
                                         "http://10.0.0.1",
                                         "null",
                                         "http://",
                                         ""};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        cr_expect(origin_is_loopback(span_of(local[i])), "%s", local[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_not(origin_is_loopback(span_of(others[i])), "%s", others[i]);
}
