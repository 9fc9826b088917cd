/* The keys that verify tokens, read from the file of --jwt-keys. A key has exactly one algorithm,
 * which is a property of the key and not chosen by a token (RFC 8725, 3.1).
 *
 * Threads: a set is immutable once it is read; any thread may use, ref and unref it.
 * Memory: reference-counted; the last unref wipes the secrets. Pure: the caller reads the file. */
#ifndef HERALD_PROTO_JWT_KEYS_H
#define HERALD_PROTO_JWT_KEYS_H

#include "proto/token/jwt_key.h"

enum {
    JWT_KEYS_MAX = 100,
    JWT_TRIES_MAX = 8, /* keys that one token is tried with, because each costs a verification */
    JWT_KEYS_FILE_MAX_BYTES = 1024 * 1024,
};

struct jwt_keys;

/* A key in the file that is not used. */
struct jwt_skip {
    const char *part; /* "key", "PEM block" */
    size_t number;    /* from 1, in the order of the file */
    struct span kid;  /* NULL bytes: none, or unreadable; valid during the call */
    bool is_fault;    /* false: the key is valid, but not for verifying tokens */
    const char *why;  /* a constant sentence */
};
typedef void (*jwt_keys_on_skip_fn)(void *to, const struct jwt_skip *skip);

/* Reads the whole file. Its format is recognised by its bytes:
 * - a JWKS (RFC 7517), when it begins with '{'. The algorithm of a key is its alg. Without alg it
 *   is RS256 for RSA, ES256, ES384 and ES512 for EC on P-256, P-384 and P-521, EdDSA for OKP
 *   Ed25519, HS256 for oct;
 * - certificates by kid, when it is an object whose members are all strings of PEM, as Google
 *   publishes the keys of Firebase. Each certificate is a key whose kid is the name of its member;
 * - PEM, when it contains "-----BEGIN ": public keys and certificates, each one a key without a
 *   kid, with the algorithm of a JWK that has no alg. The dates, the issuer and the use of a
 *   certificate are not checked;
 * - otherwise a secret for HS256: all bytes except one line break at the end. They must be visible
 *   ASCII characters without spaces, and must not begin with <, [ or a quotation mark. This refuses
 *   an error page that was saved instead of the keys. What looks like a public key in another form
 *   is refused as well. Neither is secret, so everybody could sign with it.
 *
 * A key is skipped (RFC 7517, section 5) if its kty, crv or alg is not supported, if its use or
 * key_ops are not for verifying, if it is malformed, nested too deep, too weak or private, if there
 * are JWT_KEYS_MAX keys already, or if there are JWT_TRIES_MAX keys already that a token cannot
 * distinguish from it (of its algorithm, and all without a kid or all with the same one). on_skip
 * (NULL is fine) is called for each of them, also when the file is refused in the end; of the keys
 * beyond JWT_KEYS_MAX only the first is reported. The file is refused if it is cut, has none of the
 * formats above, or has no usable key.
 *
 * ERR_OK and *ret_keys with one reference; ERR_INVALID_FIELD; ERR_NO_MEMORY, though OpenSSL may
 * report a lack of memory as a malformed key. Unless ERR_OK, `why` has a sentence for the operator
 * (NUL-terminated, cut at why_cap >= 1) that never has bytes of the file. */
MUST_CHECK enum err jwt_keys_read(struct span file, jwt_keys_on_skip_fn on_skip, void *to,
                                  struct jwt_keys **ret_keys, char *why, size_t why_cap);

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);
void jwt_keys_unref(struct jwt_keys *keys); /* NULL is fine */

/* How many keys can be used; at least 1. */
size_t jwt_keys_count(const struct jwt_keys *keys);

/* Was the file a bare secret? Such a file has no format of its own: only the rules of jwt_keys_read
 * distinguish it from other text. */
bool jwt_keys_are_bare_secret(const struct jwt_keys *keys);

/* Is a secret among the keys? Everybody who can read it can sign tokens. */
bool jwt_keys_have_secret(const struct jwt_keys *keys);

/* The keys of a set that may have signed a token, to be tried one after the other. They are valid
 * as long as the set. */
struct jwt_choice {
    const struct jwt_key *keys[JWT_TRIES_MAX];
    size_t n;
};

/* Chooses the keys of this algorithm that a token with this kid may be signed with: those with the
 * same kid, or, if there are none, those without a kid. A token without a kid (NULL bytes) may be
 * signed with any of them. ERR_UNAUTHORIZED: there is none, or there are too many; *ret_detail is a
 * constant sentence. */
MUST_CHECK enum err jwt_keys_choose(const struct jwt_keys *keys, enum jwt_alg alg, struct span kid,
                                    struct jwt_choice *ret_choice, const char **ret_detail);

#endif
