/* One key: an algorithm, and what verifies with it. Immutable once it is made; any thread may
 * verify with it. Errors of OpenSSL are taken off its queue by whoever calls (proto/jwt_keys,
 * proto/jwt). Pure. */
#ifndef HERALD_PROTO_JWT_KEY_H
#define HERALD_PROTO_JWT_KEY_H

#include "proto/jwt_keys.h"

enum jwt_alg { JWT_HS256, JWT_RS256, JWT_ES256, JWT_EDDSA, JWT_ALGS };

struct evp_pkey_st;

struct jwt_key {
    enum jwt_alg alg;
    bool has_kid;
    size_t kid_len;
    char kid[JWT_KID_MAX_BYTES];
    char *secret; /* HS256 alone */
    size_t secret_len;
    struct evp_pkey_st *public_key; /* all others */
};

const char *jwt_alg_name(enum jwt_alg alg);

/* By its name in "alg", compared with its case. false: none of ours. */
bool jwt_alg_find(struct span name, enum jwt_alg *ret_alg);

/* Each fills *ret_key, which has no kid then. ERR_INVALID_FIELD: *ret_why is a constant sentence;
 * ERR_NO_MEMORY. */

MUST_CHECK enum err jwt_key_of_secret(struct span secret, struct jwt_key *ret_key,
                                      const char **ret_why);

/* Takes the caller's reference to `public_key`, whatever it answers. The kind of the key decides
 * the algorithm; its strength and its validity are checked. */
MUST_CHECK enum err jwt_key_of_public(struct evp_pkey_st *public_key, struct jwt_key *ret_key,
                                      const char **ret_why);

/* The numbers of a JWK, unsigned and big-endian (RFC 7518, 6.3.1 and 6.2.1; RFC 8037, 2). */
MUST_CHECK enum err jwt_key_of_rsa(struct span n, struct span e, struct jwt_key *ret_key,
                                   const char **ret_why);
MUST_CHECK enum err jwt_key_of_p256(struct span x, struct span y, struct jwt_key *ret_key,
                                    const char **ret_why);
MUST_CHECK enum err jwt_key_of_ed25519(struct span x, struct jwt_key *ret_key,
                                       const char **ret_why);

void jwt_key_fini(struct jwt_key *key); /* wipes the secret; a key of zeros is fine */

/* ERR_OK; ERR_UNAUTHORIZED: it is not this key's signature of `text`; ERR_NO_MEMORY. */
MUST_CHECK enum err jwt_key_verify(const struct jwt_key *key, struct span text,
                                   struct span signature);

/* Choosing one of a set; NULL: there is none. The key lives as long as the set. */
const struct jwt_key *jwt_keys_find(const struct jwt_keys *keys, struct span kid);
const struct jwt_key *jwt_keys_find_only(const struct jwt_keys *keys, enum jwt_alg alg);

#endif
