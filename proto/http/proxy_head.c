#include "proto/http/proxy_head.h"

#include "proto/bytes/decimal.h"

#include <stdint.h>

/* Version 1 is a line of text. Version 2 is 16 fixed bytes, the addresses, and optional TLVs; the
 * fixed bytes give the length of what follows them. */

static const char v1_signature[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

enum { V1_SIGNATURE_LEN = 6, V2_SIGNATURE_LEN = 12, V2_FIXED_LEN = 16 };
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };

/* ---- version 1 (section 2.1) ---- */

/* Takes the word before the next space, and that space; the last word ends with the line. */
static struct span take_word(struct span *rest)
{
    const char *space = rest->len > 0 ? memchr(rest->bytes, ' ', rest->len) : NULL;
    struct span word = {rest->bytes, space == NULL ? rest->len : (size_t)(space - rest->bytes)};
    size_t taken = space == NULL ? word.len : word.len + 1;
    *rest = (struct span){rest->bytes + taken, rest->len - taken};
    return word;
}

static bool is_port(struct span text)
{
    uint64_t port;
    return decimal_read_plain(text, UINT16_MAX, &port);
}

static bool is_written_as_v4(struct span address)
{
    return memchr(address.bytes, ':', address.len) == NULL;
}

static bool read_v1_line(struct span line, struct proxy_head *head)
{
    struct span rest = line;
    struct span family = take_word(&rest);
    if (span_equal(family, SPAN_LITERAL("UNKNOWN")))
        return true; /* the rest of the line must be ignored (2.1) */
    bool is_v4 = span_equal(family, SPAN_LITERAL("TCP4"));
    if (!is_v4 && !span_equal(family, SPAN_LITERAL("TCP6")))
        return false;
    size_t n_spaces = 0;
    for (size_t i = 0; i < rest.len; i++)
        n_spaces += rest.bytes[i] == ' ';
    struct span source = take_word(&rest);
    struct span destination = take_word(&rest);
    struct ip unused;
    if (n_spaces != 3 || !is_port(take_word(&rest)) || !is_port(take_word(&rest)) ||
        ip_parse(source, &head->address) != ERR_OK || ip_parse(destination, &unused) != ERR_OK)
        return false;
    head->has_address = true;
    return is_written_as_v4(source) == is_v4 && is_written_as_v4(destination) == is_v4;
}

static enum proxy_head_result parse_v1(struct span bytes, struct proxy_head *ret_head)
{
    struct proxy_head head = {0};
    size_t len = bytes.len < PROXY_HEAD_V1_MAX_BYTES ? bytes.len : PROXY_HEAD_V1_MAX_BYTES;
    const char *end = memchr(bytes.bytes, '\n', len);
    if (end == NULL)
        return len == PROXY_HEAD_V1_MAX_BYTES ? PROXY_HEAD_BAD : PROXY_HEAD_MORE;
    head.len = (size_t)(end - bytes.bytes) + 1;
    if (end[-1] != '\r')
        return PROXY_HEAD_BAD;
    struct span line = {bytes.bytes + V1_SIGNATURE_LEN, head.len - V1_SIGNATURE_LEN};
    if (line.len < 2 || memchr(line.bytes, '\r', line.len - 2) != NULL)
        return PROXY_HEAD_BAD;
    line.len -= 2;
    if (!read_v1_line(line, &head))
        return PROXY_HEAD_BAD;
    *ret_head = head;
    return PROXY_HEAD_DONE;
}

/* ---- version 2 (section 2.2) ---- */

static bool is_v2_family(unsigned family)
{
    unsigned address = family >> 4;    /* unspecified, IPv4, IPv6, unix */
    unsigned transport = family & 0xf; /* unspecified, stream, datagram */
    return address <= 3 && transport <= 2;
}

/* The bytes that both addresses and both ports occupy. */
static size_t v2_address_len(unsigned family)
{
    static const size_t lens[] = {0, 12, 36, 216};
    return lens[family >> 4];
}

static enum proxy_head_result parse_v2(struct span bytes, struct proxy_head *ret_head)
{
    const uint8_t *at = (const uint8_t *)bytes.bytes;
    struct proxy_head head = {.len = V2_FIXED_LEN};
    if (bytes.len > 12 && at[12] != V2_LOCAL && at[12] != V2_PROXY)
        return PROXY_HEAD_BAD;
    if (bytes.len > 13 && at[12] == V2_PROXY && !is_v2_family(at[13]))
        return PROXY_HEAD_BAD;
    if (bytes.len < V2_FIXED_LEN)
        return PROXY_HEAD_MORE;
    size_t more = (size_t)at[14] << 8 | at[15];
    head.len += more;
    if (head.len > PROXY_HEAD_MAX_BYTES || (at[12] == V2_PROXY && more < v2_address_len(at[13])))
        return PROXY_HEAD_BAD;
    if (bytes.len < head.len)
        return PROXY_HEAD_MORE;
    if (at[12] == V2_PROXY && at[13] >> 4 == 1) {
        head.address = ip_from_v4(at + V2_FIXED_LEN);
        head.has_address = true;
    } else if (at[12] == V2_PROXY && at[13] >> 4 == 2) {
        memcpy(head.address.bytes, at + V2_FIXED_LEN, sizeof head.address.bytes);
        head.has_address = true;
    }
    *ret_head = head;
    return PROXY_HEAD_DONE;
}

static bool begins_with(struct span bytes, const char *signature, size_t len)
{
    return memcmp(bytes.bytes, signature, bytes.len < len ? bytes.len : len) == 0;
}

enum proxy_head_result proxy_head_parse(struct span bytes, struct proxy_head *ret_head)
{
    if (bytes.len == 0)
        return PROXY_HEAD_MORE;
    if (begins_with(bytes, v1_signature, V1_SIGNATURE_LEN))
        return bytes.len <= V1_SIGNATURE_LEN ? PROXY_HEAD_MORE : parse_v1(bytes, ret_head);
    if (begins_with(bytes, v2_signature, V2_SIGNATURE_LEN))
        return bytes.len <= V2_SIGNATURE_LEN ? PROXY_HEAD_MORE : parse_v2(bytes, ret_head);
    return PROXY_HEAD_NONE;
}
