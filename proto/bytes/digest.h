/* Digests, to find out later whether a text has changed. Any thread. */
#ifndef HERALD_PROTO_DIGEST_H
#define HERALD_PROTO_DIGEST_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { DIGEST_LEN = 16 };

/* The first 16 bytes of a SHA-256 over the parts. Each part is preceded by its length, so that
 * moving a byte from one part to the next changes the digest. ERR_SYSTEM: no SHA-256 is
 * available. */
MUST_CHECK enum err digest_of(const struct span *parts, size_t n, uint8_t ret_digest[DIGEST_LEN]);

/* Compares in constant time. */
bool digest_equal(const uint8_t a[DIGEST_LEN], const uint8_t b[DIGEST_LEN]);

#endif
