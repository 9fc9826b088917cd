/* The keys that tokens are verified with: what stands in the file of --jwt-keys. A key has one
 * algorithm, and that is the key's own property, whatever a token says (RFC 8725, 3.1).
 *
 * Threads: a set is immutable once it is read; any thread may use, ref and unref it.
 * Memory: counted; the last unref wipes the secrets. Pure: the caller has read the file. */
#ifndef HERALD_PROTO_JWT_KEYS_H
#define HERALD_PROTO_JWT_KEYS_H

#include "proto/error.h"
#include "proto/span.h"

enum {
    JWT_KEYS_MAX = 100,
    JWT_KEYS_FILE_MAX_BYTES = 1024 * 1024,
    JWT_KID_MAX_BYTES = 256,
    JWT_SECRET_MIN_BYTES = 32, /* RFC 7518, 3.2: as long as the hash */
    JWT_SECRET_MAX_BYTES = 4096,
    JWT_RSA_MIN_BITS = 2048, /* RFC 7518, 3.3 */
    JWT_RSA_MAX_BITS = 8192,
};

struct jwt_keys;

/* Reads the whole file. What stands in it is told from its bytes:
 * - a JWKS (RFC 7517), when it begins with '{': RSA for RS256, EC P-256 for ES256, OKP Ed25519 for
 *   EdDSA, oct for HS256. A key of another kty, crv or alg, or whose use or key_ops are not for
 *   verifying, is passed over; one that is to be used and is malformed or too weak is refused;
 * - PEM, when "-----BEGIN " stands in it: public keys and certificates, each one a key without a
 *   kid. The dates, the issuer and the use of a certificate are not looked at;
 * - a secret for HS256 otherwise: the bytes as they are, without one line break at the end. What
 *   looks like a public key in another form is refused: everybody could sign with it.
 * Refused too: a private key in either form (it has no business here), two keys with one kid, a key
 * without a kid beside another one of its algorithm (no token could choose it), no usable key.
 *
 * ERR_OK and *ret_keys with one reference; ERR_INVALID_FIELD; ERR_NO_MEMORY, which OpenSSL may not
 * tell from a malformed key. Unless ERR_OK, `why`
 * has a sentence for the operator (NUL-terminated, cut at why_cap >= 1) that never holds bytes of
 * the file. */
MUST_CHECK enum err jwt_keys_read(struct span file, struct jwt_keys **ret_keys, char *why,
                                  size_t why_cap);

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);
void jwt_keys_unref(struct jwt_keys *keys); /* NULL is fine */

/* How many keys can be used; at least 1. */
size_t jwt_keys_count(const struct jwt_keys *keys);

#endif
