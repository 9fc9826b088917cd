/* What proxies say in the requests that they pass on: whose it is (X-Forwarded-For), and that they
 * are there at all. Pure. */
#ifndef HERALD_PROTO_FORWARDED_H
#define HERALD_PROTO_FORWARDED_H

#include "proto/bytes/cidr.h"
#include "proto/http/http_head.h"

/* Each proxy writes whom it heard behind what it was told, so only the end of the list is true as
 * far as trusted proxies wrote it: from the right, the first address that is not trusted. Where the
 * walk ends before (the list is over, or an entry is no address), the last one that it came by;
 * false: there was none, and the request is the proxy's own. An entry may have a port
 * ("192.0.2.1:80", "[2001:db8::1]:80"). */
bool forwarded_for(const struct http_head *head, const char *bytes, const struct cidr *trusted,
                   size_t n_trusted, struct ip *ret_ip);

/* Is it the name of a field with which a proxy shows that it is there: Forwarded, X-Forwarded,
 * X-Forwarded-*, Via, or one of those in which proxies name their client (X-Real-IP, X-Client-IP,
 * True-Client-IP, CF-Connecting-IP, X-Envoy-External-Address, X-Original-Forwarded-For)? A proxy
 * that adds none of them cannot be told from a client. */
bool forwarded_is_sign(struct span name);

/* Has the head such a field? */
bool forwarded_has_sign(const struct http_head *head, const char *bytes);

#endif
