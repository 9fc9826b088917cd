/* Host and Origin: a line each for the origin, the pattern it is compared with, and the host. */
#include "proto/http/authority.h"
#include "tests/fuzz/fuzz.h"

static bool has_suffix(struct span text, struct span suffix)
{
    return text.len >= suffix.len &&
           span_equal_nocase((struct span){text.bytes + text.len - suffix.len, suffix.len}, suffix);
}

/* As the options take them (options.c): with a scheme, and with letters and digits after the star.
 */
static bool is_pattern(struct span text)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
    const char *begin = memmem(text.bytes, text.len, "://*.", 5);
    if (begin == NULL)
        return false;
    for (const char *at = begin + 5; at < text.bytes + text.len; at++)
        if (memchr(fine, *at, sizeof fine - 1) == NULL)
            return false;
    return memchr(text.bytes, '*', text.len) == begin + 3;
}

/* What *.DOMAIN allows is SCHEME://NAME.DOMAIN, and nothing in NAME ends the host. */
static void check_star(struct span origin, struct span pattern, const char *star)
{
    size_t before = (size_t)(star - pattern.bytes);
    FUZZ_CHECK(origin.len > before);
    FUZZ_CHECK(span_equal_nocase((struct span){origin.bytes, before},
                                 (struct span){pattern.bytes, before}));
    for (size_t i = before; i < origin.len && origin.bytes[i] != '.'; i++)
        FUZZ_CHECK(memchr("/:@?#\\ ", origin.bytes[i], 8) == NULL);
}

static void check_allowed(struct span origin, struct span pattern)
{
    const char *star = pattern.len == 0 ? NULL : memchr(pattern.bytes, '*', pattern.len);
    bool is_allowed = origin_is_allowed(origin, pattern);
    if (star == NULL) {
        FUZZ_CHECK(is_allowed == origin_is_allowed(pattern, origin) ||
                   memchr(origin.bytes, '*', origin.len) != NULL);
        FUZZ_CHECK(origin_is_allowed(pattern, pattern));
    } else if (is_allowed && is_pattern(pattern)) {
        check_star(origin, pattern, star);
    }
}

static void check_loopback(struct span host)
{
    struct span text = span_trim(host);
    while (text.len > 0 && text.bytes[text.len - 1] >= '0' && text.bytes[text.len - 1] <= '9' &&
           memchr(text.bytes, ':', text.len) != NULL)
        text.len--;
    if (text.len > 0 && text.bytes[text.len - 1] == ':')
        text.len--;
    if (!authority_is_loopback(host))
        return;
    FUZZ_CHECK(has_suffix(text, SPAN_LITERAL("localhost")) ||
               span_equal(text, SPAN_LITERAL("[::1]")) ||
               (text.len >= 9 && memcmp(text.bytes, "127.", 4) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    char *copy = fuzz_copy(fuzz_rest(&input));
    input.at = (const uint8_t *)copy;
    struct span origin = fuzz_until(&input, '\n');
    struct span pattern = fuzz_until(&input, '\n');
    struct span host = fuzz_rest(&input);
    if (origin.len > 0 && pattern.len > 0)
        check_allowed(origin, pattern);
    check_loopback(host);
    /* A page of this host is let in by its own name. */
    bool is_plain = host.len > 0 && host.len < 100 && memchr(host.bytes, '*', host.len) == NULL;
    if (is_plain && origin.len > 8 && origin_is_host(origin, host, false)) {
        bool is_tls = span_equal_nocase((struct span){origin.bytes, 8}, SPAN_LITERAL("https://"));
        FUZZ_CHECK(origin_is_host(origin, host, true) == is_tls);
        char own[120];
        int n = snprintf(own, sizeof own, "%s%.*s", is_tls ? "https://" : "http://", (int)host.len,
                         host.bytes);
        if ((size_t)n == host.len + (is_tls ? 8 : 7)) /* no NUL in it */
            FUZZ_CHECK(origin_is_allowed(origin, (struct span){own, (size_t)n}));
    }
    free(copy);
    return 0;
}
