/* Answers three questions about one HOST[:PORT]. Is it well formed, so that all parsers split it
 * into the same host and port (authority_is_valid)? Does it name this machine
 * (authority_is_loopback)? Does an Origin name this Host, or does a pattern of --allowed-origin
 * match it (the origin_ functions)? Schemes and names are compared without case, and a scheme's
 * default port counts as absent. */
#include "proto/http/authority.h"

#include "proto/bytes/decimal.h"

#include <stdint.h>

/* An IPv6 address must be in brackets; without them its last group would be taken for a port. */
static struct span without_port(struct span host)
{
    size_t end = host.len;
    while (end > 0 && decimal_is_digit(host.bytes[end - 1]))
        end--;
    if (end > 0 && end < host.len && host.bytes[end - 1] == ':')
        return (struct span){host.bytes, end - 1};
    return host;
}

static bool starts_with(struct span text, struct span prefix)
{
    return text.len >= prefix.len &&
           span_equal_nocase((struct span){text.bytes, prefix.len}, prefix);
}

static bool ends_with(struct span text, struct span suffix)
{
    return text.len >= suffix.len &&
           span_equal_nocase((struct span){text.bytes + text.len - suffix.len, suffix.len}, suffix);
}

/* 127.a.b.c with decimal parts up to 255. A leading 0 is refused: some parsers read it as octal. */
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
        } else if (decimal_is_digit(c)) {
            if (has_digit && parts[n] == 0)
                return false;
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

/* Unreserved characters and the percent sign (RFC 3986, 2.1 and 2.3): a row for each 16 codes; none
 * is above 127. */
static const char name_chars[256] = "                "
                                    "                "
                                    "     x       xx " /* % - . */
                                    "xxxxxxxxxx      "
                                    " xxxxxxxxxxxxxxx"
                                    "xxxxxxxxxxx    x" /* _ */
                                    " xxxxxxxxxxxxxxx"
                                    "xxxxxxxxxxx   x "; /* ~ */

/* A name or an IPv4 address: unreserved characters and percent-escapes (RFC 3986, 3.2.2). */
static bool is_reg_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (name_chars[(unsigned char)text.bytes[i]] != 'x')
            return false;
    }
    return text.len > 0;
}

static bool is_bracketed_v6(struct span text)
{
    if (text.len < 4 || text.bytes[0] != '[' || text.bytes[text.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < text.len; i++) {
        char c = text.bytes[i];
        if (c == '\0' || strchr("0123456789abcdefABCDEF:.", c) == NULL)
            return false;
    }
    return true;
}

bool authority_is_valid(struct span host)
{
    struct span name = without_port(host);
    unsigned port = 0;
    for (size_t i = name.len + 1; i < host.len; i++) {
        port = port * 10 + (unsigned)(host.bytes[i] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    return is_reg_name(name) || is_bracketed_v6(name);
}

bool authority_is_loopback(struct span host)
{
    host = span_trim(host);
    if (!authority_is_valid(host))
        return false;
    struct span suffix = SPAN_LITERAL(".localhost");
    struct span name = without_port(host);
    if (name.len > suffix.len && ends_with(name, suffix))
        return true;
    return span_equal_nocase(name, SPAN_LITERAL("localhost")) ||
           span_equal(name, SPAN_LITERAL("[::1]")) || is_loopback_v4(name);
}

enum { HTTP, HTTPS };

static const struct scheme {
    struct span prefix;
    struct span port; /* its default port */
} schemes[] = {
    [HTTP] = {{"http://", 7}, {":80", 3}},
    [HTTPS] = {{"https://", 8}, {":443", 4}},
};

/* NULL: a scheme without a known default port */
static const struct scheme *scheme_of(struct span origin)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (starts_with(origin, schemes[i].prefix))
            return &schemes[i];
    return NULL;
}

static struct span without_default_port(struct span host, const struct scheme *scheme)
{
    if (scheme != NULL && host.len > scheme->port.len && ends_with(host, scheme->port))
        host.len -= scheme->port.len;
    return host;
}

bool origin_is_host(struct span origin, struct span host, bool is_tls)
{
    const struct scheme *scheme = scheme_of(origin);
    if (scheme == NULL || host.len == 0 || (is_tls && scheme != &schemes[HTTPS]))
        return false;
    origin.bytes += scheme->prefix.len;
    origin.len -= scheme->prefix.len;
    return span_equal_nocase(without_default_port(origin, scheme),
                             without_default_port(host, scheme));
}

/* Labels of a domain name with dots between them, without any byte that could end the host. */
static bool is_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.bytes[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_dot = c == '.' && i > 0 && i + 1 < text.len;
        if (!is_letter && !is_dot && !decimal_is_digit(c) && c != '-' && c != '_')
            return false;
    }
    return text.len > 0;
}

bool origin_is_allowed(struct span origin, struct span pattern)
{
    origin = without_default_port(origin, scheme_of(origin));
    pattern = without_default_port(pattern, scheme_of(pattern));
    const char *star = pattern.len == 0 ? NULL : memchr(pattern.bytes, '*', pattern.len);
    if (star == NULL)
        return span_equal_nocase(origin, pattern);

    struct span prefix = {pattern.bytes, (size_t)(star - pattern.bytes)};
    struct span suffix = {star + 1, pattern.len - prefix.len - 1};
    if (origin.len < prefix.len + suffix.len || !starts_with(origin, prefix) ||
        !ends_with(origin, suffix))
        return false;
    return is_name((struct span){origin.bytes + prefix.len, origin.len - prefix.len - suffix.len});
}

/* A port as browsers write it: no leading zeros. */
static bool is_port(const char *text)
{
    uint64_t port;
    return decimal_read_plain(span_of(text), UINT16_MAX, &port) && port > 0;
}

bool origin_pattern_is_socket(const char *text)
{
    return strncasecmp(text, "ws://", 5) == 0 || strncasecmp(text, "wss://", 6) == 0;
}

bool origin_is_loopback(struct span origin)
{
    const struct scheme *scheme = scheme_of(origin);
    if (scheme == NULL)
        return false;
    origin.bytes += scheme->prefix.len;
    origin.len -= scheme->prefix.len;
    return authority_is_loopback(origin);
}

bool origin_pattern_is_valid(const char *text)
{
#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    if (strcmp(text, "null") == 0)
        return true;
    if (origin_pattern_is_socket(text))
        return false;
    const char *at = text + strspn(text, LETTERS_AND_DIGITS "+-.");
    if (at == text || strncmp(at, "://", 3) != 0)
        return false;
    at += 3;
    size_t len;
    if (*at == '[') {
        len = 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
        if (len == 1 || at[len++] != ']')
            return false;
    } else {
        if (strncmp(at, "*.", 2) == 0)
            at += 2;
        len = strspn(at, LETTERS_AND_DIGITS "-._");
    }
    return len > 0 && (at[len] == '\0' || (at[len] == ':' && is_port(at + len + 1)));
#undef LETTERS_AND_DIGITS
}
