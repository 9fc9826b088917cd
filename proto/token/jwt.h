/* Verifies JSON Web Tokens: compact JWS (RFC 7515, 7519) with HS256, RS256, RS384, RS512, PS256,
 * PS384, PS512, ES256, ES384, ES512 (RFC 7518) or EdDSA with Ed25519 (RFC 8037; "Ed25519" is the
 * same algorithm's name in RFC 9864).
 *
 * The key decides the algorithm. A token's kid chooses among the keys that have one; where none has
 * it, the keys without a kid are tried, and for a token without kid all keys: those of its
 * algorithm, at most JWT_TRIES_MAX, and one of them must have signed it (jwt_keys_choose).
 * Keys and addresses of keys inside a token (jwk, jku, x5c, x5u) are never looked at; crit and b64
 * are refused whatever they say. Nothing of the payload is read before the signature is good.
 *
 * Strict: base64url without padding, white space or stray bits; JSON without duplicate members (by
 * their decoded names); at most 32 KiB; an ECDSA signature is two raw numbers (RFC 7518, 3.4).
 *
 * Claims: exp is required, nbf and iat are optional; all three are numbers of seconds from 0 to the
 * end of the year 9999. A fraction counts in milliseconds, the rest of it is dropped. A token is
 * good while now < exp + leeway and now >= nbf - leeway; iat is not compared. The claim that the
 * rules name (sub) is required and is the userId; a whole number is taken as its digits. iss must
 * be one of the issuers of the rules, where there are some. So must aud (a string or an array of
 * strings) of the audiences; where a token has no aud at all, the claim that the rules name counts
 * in its place (an aud that is there is never passed over: RFC 7519, 4.1.3). Others are ignored,
 * and so is typ.
 *
 * Pure. Any thread. */
#ifndef HERALD_PROTO_JWT_H
#define HERALD_PROTO_JWT_H

#include "proto/bytes/user_id.h"
#include "proto/token/jwt_keys.h"

#include <stdint.h>

enum {
    JWT_TOKEN_MAX_BYTES = 32768, /* as the largest head */
    JWT_RULE_MAX_BYTES = 1024,   /* a longer audience or issuer is equal to none */
    JWT_LEEWAY_MS = 30000,
};

/* The caller's texts. Claims are members of the payload itself, by their whole name. */
struct jwt_rules {
    const struct span *audiences, *issuers; /* one of them must match; none: not checked */
    size_t n_audiences, n_issuers;
    const char *audience_claim; /* in place of an aud that is absent; NULL: none */
    const char *user_claim;     /* NULL: "sub" */
    int64_t leeway_ms;          /* JWT_LEEWAY_MS, unless there is a reason */
};

struct jwt_claims {
    char user_id[USER_ID_MAX_BYTES]; /* no NUL at its end */
    size_t user_id_len;
    int64_t expires_ms; /* exp, without leeway; may be before now by less than the leeway */
};

/* ERR_OK and *ret_claims; ERR_EXPIRED: all is well but exp; ERR_UNAUTHORIZED: anything else that is
 * wrong with the token; ERR_NO_MEMORY, which OpenSSL may not tell from a bad signature. Unless
 * ERR_OK, *ret_detail is a constant sentence that holds nothing of the token. Leaves OpenSSL's
 * error queue as it was. The sentences are at most 123 bytes long, each for one cause. */
MUST_CHECK enum err jwt_verify(const struct jwt_keys *keys, struct span token,
                               const struct jwt_rules *rules, int64_t now_ms,
                               struct jwt_claims *ret_claims, const char **ret_detail);

#endif
