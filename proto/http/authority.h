/* The Host and Origin of a request (RFC 9110, 7.2; RFC 6454, 7). Pure. */
#ifndef HERALD_PROTO_AUTHORITY_H
#define HERALD_PROTO_AUTHORITY_H

#include "proto/bytes/span.h"

/* Is this a HOST[:PORT] that every parser splits in the same way? The host is a name of letters,
 * digits and -._~%, or an IPv6 address in brackets. The port is at most 65535; it may be missing
 * after its colon. */
bool authority_is_valid(struct span host);

/* Does this HOST[:PORT] name the loopback interface: localhost, *.localhost, 127.0.0.0/8 or [::1]?
 * A page that attacks by DNS rebinding sends its own name as Host and is recognised by it. */
bool authority_is_loopback(struct span host);

/* Is this Origin the server's own, at HOST[:PORT]? A default port may be written or left out. With
 * is_tls the scheme must be https; without it either scheme is accepted, because a proxy may
 * terminate TLS. */
bool origin_is_host(struct span origin, struct span host, bool is_tls);

/* Does this Origin match the pattern SCHEME://HOST[:PORT]? They are compared without case, and a
 * default port may be written or left out. With *.DOMAIN for HOST the pattern matches every host
 * below DOMAIN, but not DOMAIN itself. The pattern null matches the Origin null only. */
bool origin_is_allowed(struct span origin, struct span pattern);

/* Has this pattern one of these forms, and can it be the origin of a page? Sandboxed pages send
 * null; the schemes of sockets (ws, wss) are never an origin. */
bool origin_pattern_is_valid(const char *pattern);

/* Is the pattern's scheme ws or wss? An operator who wrote that meant the http or https origin of
 * the page that opens the socket. */
bool origin_pattern_is_socket(const char *pattern);

/* Is this the Origin of a page that was loaded from the loopback interface: http or https, and a
 * host that authority_is_loopback accepts? */
bool origin_is_loopback(struct span origin);

#endif
