/* Negotiates WebSocket extensions, server side: Sec-WebSocket-Extensions (RFC 6455, 9.1), with
 * permessage-deflate as the only one (RFC 7692, 7.1). Pure. */
#ifndef HERALD_PROTO_EXTENSIONS_H
#define HERALD_PROTO_EXTENSIONS_H

#include "proto/http/http_head.h"

/* What was agreed. Neither side takes a context over. */
struct deflate_terms {
    uint8_t window_bits; /* of what the server sends: 8..15; 0: nothing is compressed */
    bool is_named;       /* the offer named server_max_window_bits, so the answer must */
};

/* Reads the offers of all Sec-WebSocket-Extensions lines and accepts the first acceptable one;
 * window_bits 0: none is, and the connection is not compressed. An offer is declined when one of
 * its parameters is unknown, is repeated, has a value where none is allowed, or has one that is not
 * 8 to 15 without leading zeros (7.1.2). client_max_window_bits may have no value; it is ignored,
 * because the inflater handles every window. ERR_BAD_HANDSHAKE: a line does not follow the header's
 * grammar, which must fail the handshake (RFC 6455, 9.1); *ret_detail is a constant sentence. */
MUST_CHECK enum err extensions_choose(const struct http_head *head, const char *bytes,
                                      struct deflate_terms *ret_terms, const char **ret_detail);

/* Writes the value of the response's header, with a NUL; empty when nothing was agreed. */
enum { EXTENSIONS_ANSWER_MAX_BYTES = 112 };
const char *extensions_answer(struct deflate_terms terms, char out[EXTENSIONS_ANSWER_MAX_BYTES]);

#endif
