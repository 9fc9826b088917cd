/* Requests that are refused by their head: heads that two HTTP parsers could read differently, and
 * requests that reach an unprotected admin port through a browser or a proxy (CONTRACT section 1).
 * Pure. */
#ifndef HERALD_ADMIN_GUARD_H
#define HERALD_ADMIN_GUARD_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* The header fields that the rules need, collected by guard_note. The spans live as long as the
 * request. */
struct guard_head {
    struct span host;
    struct span origin;
    struct span content_type;
    struct span content_length;
    struct span transfer_encoding;
    unsigned n_host, n_origin, n_content_type, n_content_length, n_transfer_encoding;
    struct span authorization;
    unsigned n_authorization;
    bool is_forwarded; /* a header that proxies add is present (forwarded_is_sign) */
    bool has_expect;
    bool is_encoded; /* the body has a content coding */
};

struct guard_rules {
    bool is_unprotected; /* no admin keys, and not --insecure */
    bool is_unix;        /* a unix socket: Host is not checked */
    bool is_tls;         /* the port speaks TLS: a page loaded over http is of another origin */
};

/* One header field of the request. */
void guard_note(struct guard_head *head, struct span name, struct span value);

/* RFC 9112, 6.1-6.3 and 3.2. ERR_BAD_HEAD: *ret_detail says why, and the connection must be closed,
 * because it is unknown where the next request begins. ERR_TOO_LARGE: a length that no integer
 * holds. Host may be missing: the parser of heads accepts that from HTTP/1.0 only. */
MUST_CHECK enum err guard_framing(const struct guard_head *head, uint64_t *ret_content_length,
                                  const char **ret_detail);

/* Is this path /livez or /readyz? Their answers reveal nothing, and a probe may send any Host, or
 * none. */
bool guard_is_health(struct span path);

/* ERR_FORBIDDEN: a foreign Origin; and without protection, except for requests of the node's
 * health: a proxy, no Host, or a Host that is not a loopback name or address. */
MUST_CHECK enum err guard_origin(const struct guard_head *head, const struct guard_rules *rules,
                                 bool is_health, const char **ret_detail);

/* The body's media type without its parameters; OTHER if the body is encoded. */
enum guard_media { GUARD_OTHER, GUARD_JSON, GUARD_NDJSON };
enum guard_media guard_media(const struct guard_head *head);

#endif
