/* Who may not come in: heads that two HTTP parsers could read differently, and requests that reach
 * an unprotected admin port through a browser or a proxy (CONTRACT section 1). The heads come from
 * libmicrohttpd, but the rules are pure. */
#ifndef HERALD_ADMIN_GUARD_H
#define HERALD_ADMIN_GUARD_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* The header fields that decide, as guard_note saw them. The spans live as long as the request. */
struct guard_head {
    struct span host;
    struct span origin;
    struct span content_type;
    struct span content_length;
    struct span transfer_encoding;
    unsigned n_host, n_origin, n_content_type, n_content_length, n_transfer_encoding;
    struct span authorization;
    unsigned n_authorization;
    bool is_forwarded; /* a proxy shows itself (forwarded_is_sign) */
    bool has_expect;
};

struct guard_rules {
    bool is_unprotected; /* no admin keys, and not --insecure */
    bool is_unix;        /* a unix socket: Host says nothing */
    bool is_tls;         /* the port speaks TLS: an http page is another origin's */
};

/* One header field of the request. */
void guard_note(struct guard_head *head, struct span name, struct span value);

/* RFC 9112, 6.1-6.3 and 3.2. ERR_BAD_HEAD: *ret_detail says why, and the connection must be closed,
 * since nobody can say where the next request begins. ERR_TOO_LARGE: a length that no integer
 * holds. Host may be missing: the library lets HTTP/1.0 alone leave it out. */
MUST_CHECK enum err guard_framing(const struct guard_head *head, uint64_t *ret_content_length,
                                  const char **ret_detail);

/* Is this path /livez or /readyz? They tell nobody anything, and whoever probes a node names it as
 * it likes, or not at all. */
bool guard_is_health(struct span path);

/* ERR_FORBIDDEN: a foreign Origin, or in the unprotected state, unless it asks for the node's
 * health, a proxy, no Host, or a name that is not this machine's. */
MUST_CHECK enum err guard_origin(const struct guard_head *head, const struct guard_rules *rules,
                                 bool is_health, const char **ret_detail);

/* The body's media type, whatever its parameters. */
enum guard_media { GUARD_OTHER, GUARD_JSON, GUARD_NDJSON };
enum guard_media guard_media(const struct guard_head *head);

#endif
