/* The keys that tokens are verified with: what stands in the file of --jwt-keys. A key has one
 * algorithm, and that is the key's own property, whatever a token says (RFC 8725, 3.1).
 *
 * Threads: a set is immutable once it is read; any thread may use, ref and unref it.
 * Memory: counted; the last unref wipes the secrets. Pure: the caller has read the file. */
#ifndef HERALD_PROTO_JWT_KEYS_H
#define HERALD_PROTO_JWT_KEYS_H

#include "proto/token/jwt_key.h"

enum {
    JWT_KEYS_MAX = 100,
    JWT_TRIES_MAX = 8, /* keys that one token is tried with: each costs a verification */
    JWT_KEYS_FILE_MAX_BYTES = 1024 * 1024,
};

struct jwt_keys;

/* A key of the file that is not used. */
struct jwt_skip {
    const char *part; /* "key", "PEM block" */
    size_t number;    /* from 1, in the order of the file */
    struct span kid;  /* NULL bytes: it has none, or none that can be read; ends with the call */
    bool is_fault;    /* false: it is a good key, for something else than verifying tokens */
    const char *why;  /* a constant sentence */
};
typedef void (*jwt_keys_on_skip_fn)(void *to, const struct jwt_skip *skip);

/* Reads the whole file. What stands in it is told from its bytes:
 * - a JWKS (RFC 7517), when it begins with '{'. The algorithm of a key is its alg. Without alg it
 * is RS256 for RSA, ES256, ES384 and ES512 for EC on P-256, P-384 and P-521, EdDSA for OKP Ed25519,
 *   HS256 for oct;
 * - certificates by kid, when it is an object whose members are all strings of PEM: how Google
 *   publishes the keys of Firebase. Each certificate is a key with the name of its member;
 * - PEM, when "-----BEGIN " stands in it: public keys and certificates, each one a key without a
 *   kid, with the algorithm of a JWK that has no alg. The dates, the issuer and the use of a
 *   certificate are not looked at;
 * - a secret for HS256 otherwise: the bytes as they are, without one line break at the end. They
 *   must be visible ASCII characters without spaces, and not begin with <, [ or a quotation mark:
 *   an error page that was saved in the place of the keys is refused, and so is what looks like a
 *   public key in another form. Everybody could sign with either.
 *
 * A key that cannot be used is skipped, and so is one for something else (RFC 7517, section 5): of
 * another kty, crv or alg, with a use or key_ops that are not for verifying, malformed, nested too
 * deep, too weak, private, or one more than JWT_KEYS_MAX, or than JWT_TRIES_MAX that a token could
 * not tell apart (of one algorithm, all without a kid or all with the same). on_skip (NULL is fine)
 * is called for each, also when the file is refused in the end; only the first key beyond
 * JWT_KEYS_MAX is named. Refused is a file that is cut, that is none of the forms above, or in
 * which no key is left.
 *
 * ERR_OK and *ret_keys with one reference; ERR_INVALID_FIELD; ERR_NO_MEMORY, which OpenSSL may not
 * tell from a malformed key. Unless ERR_OK, `why` has a sentence for the operator (NUL-terminated,
 * cut at why_cap >= 1) that never holds bytes of the file. */
MUST_CHECK enum err jwt_keys_read(struct span file, jwt_keys_on_skip_fn on_skip, void *to,
                                  struct jwt_keys **ret_keys, char *why, size_t why_cap);

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);
void jwt_keys_unref(struct jwt_keys *keys); /* NULL is fine */

/* How many keys can be used; at least 1. */
size_t jwt_keys_count(const struct jwt_keys *keys);

/* Was the file nothing but a secret? Such a file can be told from other texts by its looks alone.
 */
bool jwt_keys_are_bare_secret(const struct jwt_keys *keys);

/* Is a secret among them? Whoever can read it can sign. */
bool jwt_keys_have_secret(const struct jwt_keys *keys);

/* The keys of a set that may have signed a token, to be tried one after the other. They live as
 * long as the set. */
struct jwt_choice {
    const struct jwt_key *keys[JWT_TRIES_MAX];
    size_t n;
};

/* All are of this algorithm. With a kid (NULL bytes: the token has none) they are those of that
 * name, and where no key has it, those without a name; without a kid any. ERR_UNAUTHORIZED: there
 * is none, or there are too many; *ret_detail is a constant sentence. */
MUST_CHECK enum err jwt_keys_choose(const struct jwt_keys *keys, enum jwt_alg alg, struct span kid,
                                    struct jwt_choice *ret_choice, const char **ret_detail);

#endif
