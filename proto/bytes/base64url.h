/* base64url as JOSE uses it (RFC 4648, section 5; RFC 7515, section 2): no padding, no white space,
 * no byte outside the alphabet, no stray bits in the last character. So a sequence of bytes has
 * exactly one encoding. Pure. */
#ifndef HERALD_PROTO_BASE64URL_H
#define HERALD_PROTO_BASE64URL_H

#include "proto/bytes/span.h"
#include "proto/error.h"

/* An upper bound of the bytes that `len` characters decode to. */
#define BASE64URL_BYTES(len) ((len) / 4 * 3 + 2)

/* The characters that `len` bytes are encoded to. */
#define BASE64URL_CHARACTERS(len) (((len)*4 + 2) / 3)

/* Writes BASE64URL_CHARACTERS(bytes.len) characters, without a NUL; returns their number. */
size_t base64url_encode(struct span bytes, char *out);

/* ERR_OK; ERR_INVALID_FIELD: not base64url as described above; ERR_FULL: longer than cap. `out` may
 * be text.bytes. */
MUST_CHECK enum err base64url_decode(struct span text, void *out, size_t cap, size_t *ret_len);

#endif
