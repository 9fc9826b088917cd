/* IP addresses, and ranges of them in CIDR notation (RFC 4632; RFC 4291, 2.3). Pure. */
#ifndef HERALD_PROTO_CIDR_H
#define HERALD_PROTO_CIDR_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that an address has one form however it came. */
struct ip {
    uint8_t bytes[16];
};

enum { IP_TEXT_MAX_BYTES = 46 }; /* with its NUL */

struct ip ip_from_v4(const uint8_t bytes[4]);
bool ip_is_v4(const struct ip *ip);
static inline bool ip_equal(const struct ip *a, const struct ip *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* "192.0.2.1", "2001:db8::1"; no zone, port or brackets. ERR_INVALID_FIELD. */
MUST_CHECK enum err ip_parse(struct span text, struct ip *ret_ip);
void ip_write(const struct ip *ip, char out[IP_TEXT_MAX_BYTES]);

/* What limits per address count by: an IPv4 address; of an IPv6 address its /64, because a host has
 * all of that. */
struct ip ip_network(const struct ip *ip);

struct cidr {
    struct ip ip;
    unsigned bits; /* of the 128 */
};

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. ERR_INVALID_FIELD: neither, or bits are set
 * behind the prefix, which is a typing error more often than not. */
MUST_CHECK enum err cidr_parse(struct span text, struct cidr *ret_cidr);
bool cidr_has(const struct cidr *cidr, const struct ip *ip);

#endif
