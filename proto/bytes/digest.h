/* Digests of what was said, to tell it from something else later. Any thread. */
#ifndef HERALD_PROTO_DIGEST_H
#define HERALD_PROTO_DIGEST_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { DIGEST_LEN = 16 };

/* The first 16 bytes of a SHA-256 over the parts, each with its length in front, so that moving a
 * byte from one to the next makes another digest. ERR_SYSTEM: no SHA-256 is available. */
MUST_CHECK enum err digest_of(const struct span *parts, size_t n, uint8_t ret_digest[DIGEST_LEN]);

/* Takes as long whether they are equal or not. */
bool digest_equal(const uint8_t a[DIGEST_LEN], const uint8_t b[DIGEST_LEN]);

#endif
