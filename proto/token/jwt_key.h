/* One key: an algorithm, and the secret or public key that verifies with it.
 * Threads: immutable once it is made; any thread may verify with it.
 * Errors: OpenSSL adds its own to the thread's error queue; the caller must restore the queue
 * (jwt_keys and jwt do). Pure. */
#ifndef HERALD_PROTO_JWT_KEY_H
#define HERALD_PROTO_JWT_KEY_H

#include "proto/bytes/span.h"
#include "proto/error.h"

enum {
    JWT_KID_MAX_BYTES = 256,
    JWT_SECRET_MIN_BYTES = 32, /* RFC 7518, 3.2: as long as the hash */
    JWT_SECRET_MAX_BYTES = 4096,
    JWT_RSA_MIN_BITS = 2048, /* RFC 7518, 3.3 */
    JWT_RSA_MAX_BITS = 8192,
};

enum jwt_alg {
    JWT_HS256,
    JWT_RS256,
    JWT_RS384,
    JWT_RS512,
    JWT_PS256,
    JWT_PS384,
    JWT_PS512,
    JWT_ES256,
    JWT_ES384,
    JWT_ES512,
    JWT_EDDSA,
    JWT_ALGS
};

struct evp_pkey_st;

struct jwt_key {
    enum jwt_alg alg;
    bool has_kid;
    size_t kid_len;
    char kid[JWT_KID_MAX_BYTES];
    char *secret; /* of HS256 */
    size_t secret_len;
    struct evp_pkey_st *public_key; /* of all others */
};

/* Finds an algorithm by its name in "alg", which is case-sensitive. false: not supported. */
bool jwt_alg_find(struct span name, enum jwt_alg *ret_alg);

bool jwt_alg_is_rsa(enum jwt_alg alg);

/* Each fills *ret_key, which has no kid then. ERR_INVALID_FIELD: *ret_why is a constant sentence;
 * ERR_NO_MEMORY. */

MUST_CHECK enum err jwt_key_of_secret(struct span secret, struct jwt_key *ret_key,
                                      const char **ret_why);

/* Takes over the caller's reference to `public_key`, also when it fails. The type of the key
 * decides the algorithm (RS256 for RSA); its strength and validity are checked. */
MUST_CHECK enum err jwt_key_of_public(struct evp_pkey_st *public_key, struct jwt_key *ret_key,
                                      const char **ret_why);

/* The numbers of a JWK, unsigned and big-endian (RFC 7518, 6.3.1 and 6.2.1; RFC 8037, 2). */
MUST_CHECK enum err jwt_key_of_rsa(struct span n, struct span e, struct jwt_key *ret_key,
                                   const char **ret_why);
MUST_CHECK enum err jwt_key_of_ec(enum jwt_alg alg, struct span x, struct span y,
                                  struct jwt_key *ret_key, const char **ret_why);
MUST_CHECK enum err jwt_key_of_ed25519(struct span x, struct jwt_key *ret_key,
                                       const char **ret_why);

void jwt_key_fini(struct jwt_key *key); /* wipes the secret; a key of zeros is fine */

/* ERR_OK; ERR_UNAUTHORIZED: it is not this key's signature of `text`; ERR_NO_MEMORY. */
MUST_CHECK enum err jwt_key_verify(const struct jwt_key *key, struct span text,
                                   struct span signature);

#endif
