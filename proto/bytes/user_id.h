/* userId: 1-128 bytes of UTF-8, no control characters (U+0000-U+001F, U+007F-U+009F), compared byte
 * for byte (CONTRACT section 2). Percent-encoding is RFC 3986, 2.1. Pure. */
#ifndef HERALD_PROTO_USER_ID_H
#define HERALD_PROTO_USER_ID_H

#include "proto/bytes/span.h"
#include "proto/error.h"

enum { USER_ID_MAX_BYTES = 128, DEVICE_MAX_BYTES = 64 };

/* ERR_OK, or ERR_INVALID_FIELD and *ret_detail, a constant sentence that names userId
 * ("userId must be 1 to 128 bytes", ...). */
MUST_CHECK enum err user_id_check(struct span user_id, const char **ret_detail);

/* Decodes percent-escapes of `encoded` into `out`, at most `cap` bytes; with is_query a `+` is a
 * space. Answers the decoded length in *ret_len. ERR_INVALID_FIELD: a bad escape.
 * ERR_FULL: longer than cap. out may be encoded.bytes (decoding never grows). */
MUST_CHECK enum err percent_decode(struct span encoded, bool is_query, char *out, size_t cap,
                                   size_t *ret_len);

/* Looks a parameter up in a raw query ("a=1&b=2"). ERR_NOT_FOUND: absent. ERR_INVALID_FIELD: it is
 * given twice (names are compared after decoding). On ERR_OK *ret_raw is its undecoded value,
 * inside `query`. */
MUST_CHECK enum err query_find(struct span query, const char *name, struct span *ret_raw);

/* query_find, percent_decode and user_id_check for `userId`: the decoded bytes in out
 * (USER_ID_MAX_BYTES long at least) and their number. ERR_INVALID_FIELD with *ret_detail for every
 * failure, a missing userId included. */
MUST_CHECK enum err query_user_id(struct span query, char *out, size_t *ret_len,
                                  const char **ret_detail);

#endif
