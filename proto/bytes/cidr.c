#include "proto/bytes/cidr.h"

#include "proto/bytes/decimal.h"

#include <arpa/inet.h>

enum { IPV4_AT = 12, IPV4_BITS = 96, NETWORK_BYTES = 8 };

static const uint8_t mapped[IPV4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct ip ip_from_v4(const uint8_t bytes[4])
{
    struct ip ip;
    memcpy(ip.bytes, mapped, sizeof mapped);
    memcpy(ip.bytes + IPV4_AT, bytes, 4);
    return ip;
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, mapped, sizeof mapped) == 0;
}

enum err ip_parse(struct span text, struct ip *ret_ip)
{
    char copy[IP_TEXT_MAX_BYTES] = "";
    uint8_t v4[4];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.bytes, '\0', text.len) != NULL)
        return ERR_INVALID_FIELD;
    memcpy(copy, text.bytes, text.len);
    if (inet_pton(AF_INET, copy, v4) == 1) {
        *ret_ip = ip_from_v4(v4);
        return ERR_OK;
    }
    struct ip v6;
    if (inet_pton(AF_INET6, copy, v6.bytes) != 1)
        return ERR_INVALID_FIELD;
    *ret_ip = v6;
    return ERR_OK;
}

void ip_write(const struct ip *ip, char out[IP_TEXT_MAX_BYTES])
{
    const char *text = ip_is_v4(ip)
                           ? inet_ntop(AF_INET, ip->bytes + IPV4_AT, out, IP_TEXT_MAX_BYTES)
                           : inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_MAX_BYTES);
    if (text == NULL)
        out[0] = '\0';
}

struct ip ip_network(const struct ip *ip)
{
    struct ip network = *ip;
    if (!ip_is_v4(ip))
        memset(network.bytes + NETWORK_BYTES, 0, sizeof network.bytes - NETWORK_BYTES);
    return network;
}

static bool has_prefix(const struct ip *ip, const struct ip *prefix, unsigned bits)
{
    size_t whole = bits / 8;
    if (memcmp(ip->bytes, prefix->bytes, whole) != 0)
        return false;
    unsigned mask = 0xff00u >> bits % 8 & 0xff;
    return bits % 8 == 0 || ((ip->bytes[whole] ^ prefix->bytes[whole]) & mask) == 0;
}

bool cidr_has(const struct cidr *cidr, const struct ip *ip)
{
    return has_prefix(ip, &cidr->ip, cidr->bits);
}

static bool is_zero_after_prefix(const struct cidr *cidr)
{
    for (unsigned bit = cidr->bits; bit < 128; bit++) {
        if (cidr->ip.bytes[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    }
    return true;
}

enum err cidr_parse(struct span text, struct cidr *ret_cidr)
{
    struct cidr cidr = {.bits = 128};
    const char *slash = text.len > 0 ? memchr(text.bytes, '/', text.len) : NULL;
    struct span address = {text.bytes, slash == NULL ? text.len : (size_t)(slash - text.bytes)};
    if (ip_parse(address, &cidr.ip) != ERR_OK)
        return ERR_INVALID_FIELD;
    if (slash != NULL) {
        struct span rest = {slash + 1, text.len - address.len - 1};
        bool is_v4 = memchr(address.bytes, ':', address.len) == NULL;
        uint64_t bits;
        if (!decimal_read_plain(rest, is_v4 ? 32 : 128, &bits))
            return ERR_INVALID_FIELD;
        cidr.bits = (unsigned)bits + (is_v4 ? IPV4_BITS : 0);
    }
    if (!is_zero_after_prefix(&cidr))
        return ERR_INVALID_FIELD;
    *ret_cidr = cidr;
    return ERR_OK;
}
