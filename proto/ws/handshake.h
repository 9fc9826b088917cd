/* The WebSocket opening handshake, server side (RFC 6455, section 4.2). Pure. */
#ifndef HERALD_PROTO_HANDSHAKE_H
#define HERALD_PROTO_HANDSHAKE_H

#include "proto/bytes/buf.h"
#include "proto/http/http_head.h"

/* The protocol level of a session (CONTRACT section 2). A WebSocket client chooses one of the first
 * three by the subprotocols that it offers. */
enum handshake_level {
    LEVEL_PLAIN,       /* no subprotocol was offered */
    LEVEL_PLAIN_NAMED, /* `herald.plain` was chosen */
    LEVEL_V1,          /* `herald.v1` was chosen */
    LEVEL_SSE,         /* an event stream; no WebSocket handshake chooses it */
};

const char *handshake_level_word(enum handshake_level level); /* "plain", "herald.v1", "sse" */

/* Length of Sec-WebSocket-Accept: base64 of a SHA-1. */
enum { HANDSHAKE_ACCEPT_LEN = 28 };

/* Checks a complete GET head: Upgrade, Connection, Sec-WebSocket-Version, Sec-WebSocket-Key, and
 * that there is no body (Content-Length other than 0, or Transfer-Encoding). Of the offered
 * subprotocols, over all header lines, the first known one is chosen. The caller checks path and
 * userId. ERR_OK: *ret_level and the 28 characters of *ret_accept are set. ERR_UPGRADE_REQUIRED:
 * not a WebSocket request, or another version (answer with `Upgrade: websocket` and
 * `Sec-WebSocket-Version: 13`). ERR_BAD_HANDSHAKE: *ret_detail says why, a constant sentence. */
MUST_CHECK enum err handshake_check(const struct http_head *head, const char *bytes,
                                    enum handshake_level *ret_level,
                                    char ret_accept[HANDSHAKE_ACCEPT_LEN], const char **ret_detail);

/* For a GET that must have no body. ERR_BAD_HANDSHAKE: it has a Content-Length other than 0, or
 * Transfer-Encoding. */
MUST_CHECK enum err handshake_check_no_body(const struct http_head *head, const char *bytes,
                                            const char **ret_detail);

/* Appends the whole 101 response, with the subprotocol of the level. `extensions` is the text of
 * extensions_answer; empty: none was agreed. `date` is a line with CRLF, or empty. */
MUST_CHECK enum err handshake_accept(struct buf *out, enum handshake_level level,
                                     const char accept[HANDSHAKE_ACCEPT_LEN],
                                     const char *extensions, const char *date);

#endif
