/* IP addresses, and ranges of them in CIDR notation (RFC 4632; RFC 4291, 2.3). Pure. */
#ifndef HERALD_PROTO_CIDR_H
#define HERALD_PROTO_CIDR_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* IPv4 is stored as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that an address has one form whichever
 * kind of socket it came from. */
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

/* The unit that limits per address count: an IPv4 address, or the /64 of an IPv6 address, because
 * one host usually owns its whole /64. */
struct ip ip_network(const struct ip *ip);

struct cidr {
    struct ip ip;
    unsigned bits; /* of the 128 */
};

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. ERR_INVALID_FIELD: neither, or bits after the
 * prefix are set, which is usually a typing error. */
MUST_CHECK enum err cidr_parse(struct span text, struct cidr *ret_cidr);
bool cidr_has(const struct cidr *cidr, const struct ip *ip);

#endif
