/* The body of a request (RFC 9112, section 6): by Content-Length, or in chunks with trailer fields,
 * which are read strictly and dropped. Chunk extensions are passed over.
 *
 * Incremental: the caller passes what it has received, and is given the next piece of the body
 * among these bytes; nothing is copied. Pure. Limits: a chunk of 2^53 bytes, HTTP_BODY_EXTRA_BYTES
 * for all extensions and trailer fields of a body together. */
#ifndef HERALD_PROTO_HTTP_BODY_H
#define HERALD_PROTO_HTTP_BODY_H

#include "proto/http/http_head.h"

enum { HTTP_BODY_EXTRA_BYTES = 8192 };

struct http_body {
    uint64_t left;      /* of the body, or of the chunk */
    const char *detail; /* a constant sentence: why it is malformed */
    uint16_t n_extra;   /* bytes of extensions and trailer fields so far */
    uint8_t n_digits;   /* of the chunk's size */
    uint8_t state;
};

enum http_body_result {
    HTTP_BODY_MORE,  /* all bytes were read, and more must come */
    HTTP_BODY_PIECE, /* *ret_piece is the next piece of the body */
    HTTP_BODY_DONE,  /* the body is over */
    HTTP_BODY_BAD,   /* body->detail says why */
};

/* For a head that is DONE. ERR_BAD_HEAD: the body has a transfer coding other than `chunked`, and
 * its end cannot be known; *ret_detail is a constant sentence. */
MUST_CHECK enum err http_body_init(struct http_body *body, const struct http_head *head,
                                   const char *bytes, const char **ret_detail);

/* *ret_read is how many of the bytes were read: framing, but not the piece, which begins there. */
enum http_body_result http_body_next(struct http_body *body, struct span bytes, size_t *ret_read,
                                     struct span *ret_piece);

/* The first `len` bytes of that piece are taken; what follows them comes next. */
void http_body_take(struct http_body *body, size_t len);

/* Is the body over with the next `len` bytes of it? With chunks that is never known before their
 * end. */
bool http_body_ends_with(const struct http_body *body, size_t len);

#endif
