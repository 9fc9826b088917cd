/* The Host and Origin of a request (RFC 9110, 7.2; RFC 6454, 7). Pure. */
#ifndef HERALD_PROTO_AUTHORITY_H
#define HERALD_PROTO_AUTHORITY_H

#include "proto/bytes/span.h"

/* Is this HOST[:PORT], and can be nothing else whoever splits it: letters, digits and -._~% of a
 * name, or an address of version 6 in brackets; a port up to 65535 or none behind its colon? */
bool authority_is_valid(struct span host);

/* Is this HOST[:PORT] a name or address of this machine alone: localhost and *.localhost,
 * 127.0.0.0/8, [::1]? A rebinding page sends its own name here, and is refused by it. */
bool authority_is_loopback(struct span host);

/* Is this Origin that of the port itself, at HOST[:PORT]? A default port may be written or left
 * out. A port that speaks TLS has https origins alone; one that does not may stand behind a proxy
 * that does, and takes either scheme. */
bool origin_is_host(struct span origin, struct span host, bool is_tls);

/* Is this Origin the one that the pattern names: SCHEME://HOST[:PORT], compared without case, where
 * a default port may be written or left out? With *.DOMAIN for HOST it names every host below
 * DOMAIN, not DOMAIN itself. The pattern has one of these forms, or is null, which null alone
 * equals. */
bool origin_is_allowed(struct span origin, struct span pattern);

/* Has this pattern one of these forms (null is what a sandboxed page sends), and could a page send
 * it: does its scheme not belong to sockets? */
bool origin_pattern_is_valid(const char *pattern);

/* Is it the address of a WebSocket (ws, wss)? The page that opens it has an http or https origin.
 */
bool origin_pattern_is_socket(const char *pattern);

/* Is this the Origin of a page that a machine serves to itself: http or https, and a host as in
 * authority_is_loopback? */
bool origin_is_loopback(struct span origin);

#endif
