/* The fields that proxies add to a request: the client's address (X-Forwarded-For), and the signs
 * that there is a proxy at all. Pure. */
#ifndef HERALD_PROTO_FORWARDED_H
#define HERALD_PROTO_FORWARDED_H

#include "proto/bytes/cidr.h"
#include "proto/http/http_head.h"

/* Each proxy appends the address of its own peer to the list that it received, so only the end of
 * the list, which trusted proxies wrote, can be believed. The client is the first address from the
 * right that is not trusted. If the list ends before one is found, or an entry is not an address,
 * the client is the last trusted address that was read. false: there was none, and the request is
 * the proxy's own. An entry may have a port ("192.0.2.1:80", "[2001:db8::1]:80"). */
bool forwarded_for(const struct http_head *head, const char *bytes, const struct cidr *trusted,
                   size_t n_trusted, struct ip *ret_ip);

/* Is this the name of a field that only proxies add: Forwarded, X-Forwarded, X-Forwarded-*, Via, or
 * one of the fields that name the proxy's client (X-Real-IP, X-Client-IP, True-Client-IP,
 * CF-Connecting-IP, X-Envoy-External-Address, X-Original-Forwarded-For)? A proxy that adds none of
 * them cannot be distinguished from a client. */
bool forwarded_is_sign(struct span name);

/* Does the head have such a field? */
bool forwarded_has_sign(const struct http_head *head, const char *bytes);

#endif
