#include "proto/authority.h"

static struct span without_port(struct span host)
{
    size_t end = host.len;
    if (host.len > 0 && host.bytes[0] == '[') { /* [V6]:PORT */
        const char *bracket = memchr(host.bytes, ']', host.len);
        return bracket == NULL ? host
                               : (struct span){host.bytes, (size_t)(bracket - host.bytes) + 1};
    }
    while (end > 0 && host.bytes[end - 1] >= '0' && host.bytes[end - 1] <= '9')
        end--;
    if (end > 0 && end < host.len && host.bytes[end - 1] == ':')
        return (struct span){host.bytes, end - 1};
    return host;
}

/* 127.a.b.c with decimal parts up to 255 */
static bool is_loopback_v4(struct span name)
{
    unsigned parts[4] = {0};
    size_t n = 0;
    bool has_digit = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.bytes[i];
        if (c == '.' && has_digit && n < 3) {
            n++;
            has_digit = false;
        } else if (c >= '0' && c <= '9') {
            parts[n] = parts[n] * 10 + (unsigned)(c - '0');
            has_digit = true;
            if (parts[n] > 255)
                return false;
        } else {
            return false;
        }
    }
    return n == 3 && has_digit && parts[0] == 127;
}

bool authority_is_loopback(struct span host)
{
    static const char suffix[] = ".localhost";
    struct span name = without_port(span_trim(host));
    size_t suffix_len = sizeof suffix - 1;
    if (name.len > suffix_len &&
        span_equal_nocase((struct span){name.bytes + name.len - suffix_len, suffix_len},
                          SPAN_LITERAL(".localhost")))
        return true;
    return span_equal_nocase(name, SPAN_LITERAL("localhost")) ||
           span_equal(name, SPAN_LITERAL("[::1]")) || is_loopback_v4(name);
}

static bool starts_with(struct span text, struct span prefix)
{
    return text.len >= prefix.len &&
           span_equal_nocase((struct span){text.bytes, prefix.len}, prefix);
}

/* Drops the port that the scheme has anyway. */
static struct span without_default_port(struct span host, struct span port)
{
    if (host.len > port.len &&
        span_equal((struct span){host.bytes + host.len - port.len, port.len}, port))
        host.len -= port.len;
    return host;
}

bool origin_is_host(struct span origin, struct span host)
{
    struct span http = SPAN_LITERAL("http://");
    struct span https = SPAN_LITERAL("https://");
    struct span scheme = starts_with(origin, https) ? https : http;
    struct span port = scheme.len == https.len ? SPAN_LITERAL(":443") : SPAN_LITERAL(":80");
    if (!starts_with(origin, scheme))
        return false;
    origin.bytes += scheme.len;
    origin.len -= scheme.len;
    return span_equal_nocase(without_default_port(origin, port), without_default_port(host, port));
}
