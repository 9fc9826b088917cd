/* The extensions of a WebSocket, server side: Sec-WebSocket-Extensions (RFC 6455, 9.1), of which
 * permessage-deflate is spoken (RFC 7692, 7.1). Pure. */
#ifndef HERALD_PROTO_EXTENSIONS_H
#define HERALD_PROTO_EXTENSIONS_H

#include "proto/http/http_head.h"

/* What was agreed. No context is ever taken over, on either side. */
struct deflate_terms {
    uint8_t window_bits; /* of what the server sends: 8..15; 0: nothing is compressed */
    bool is_named;       /* the offer named server_max_window_bits, so the answer must */
};

/* Looks through the offers, over all header lines of that name, and takes the first that is
 * acceptable; window_bits 0: none is, and the connection goes on without. An offer is passed over
 * when a parameter of it is unknown, stands twice, has a value where none belongs, or has one that
 * is not 8 to 15 without leading zeros (7.1.2). client_max_window_bits may stand without a value;
 * nothing is made of it, because every window is inflated.
 * ERR_BAD_HANDSHAKE: a line is not of the header's grammar, which must fail the handshake (RFC
 * 6455, 9.1); *ret_detail says so, a constant sentence. */
MUST_CHECK enum err extensions_choose(const struct http_head *head, const char *bytes,
                                      struct deflate_terms *ret_terms, const char **ret_detail);

/* The value of the answer's header, with a NUL; empty when nothing was agreed. */
enum { EXTENSIONS_ANSWER_MAX_BYTES = 112 };
const char *extensions_answer(struct deflate_terms terms, char out[EXTENSIONS_ANSWER_MAX_BYTES]);

#endif
