/* The WebSocket opening handshake, server side (RFC 6455, section 4.2). Pure. */
#ifndef HERALD_PROTO_HANDSHAKE_H
#define HERALD_PROTO_HANDSHAKE_H

#include "proto/buf.h"
#include "proto/http_head.h"

/* What a client's offer of subprotocols chooses (CONTRACT section 2). */
enum handshake_level {
    LEVEL_PLAIN,       /* no subprotocol was offered */
    LEVEL_PLAIN_NAMED, /* `herald.plain` was */
};

/* Length of Sec-WebSocket-Accept: base64 of a SHA-1. */
enum { HANDSHAKE_ACCEPT_LEN = 28 };

/* Checks a complete GET head: Upgrade, Connection, Sec-WebSocket-Version, Sec-WebSocket-Key, no
 * body (Content-Length other than 0, or Transfer-Encoding), the offer. Path and userId are the
 * caller's. ERR_OK: *ret_level and the 28 characters of *ret_accept are set. ERR_UPGRADE_REQUIRED:
 * not a WebSocket request, or another version (answer with `Upgrade: websocket` and
 * `Sec-WebSocket-Version: 13`). ERR_BAD_HANDSHAKE: *ret_detail says why, a constant sentence. */
MUST_CHECK enum err handshake_check(const struct http_head *head, const char *bytes,
                                    enum handshake_level *ret_level,
                                    char ret_accept[HANDSHAKE_ACCEPT_LEN], const char **ret_detail);

/* Appends the whole 101 response. */
MUST_CHECK enum err handshake_accept(struct buf *out, enum handshake_level level,
                                     const char accept[HANDSHAKE_ACCEPT_LEN]);

#endif
