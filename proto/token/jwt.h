/* Verifies JSON Web Tokens: compact JWS (RFC 7515, 7519) with HS256, RS256, RS384, RS512, PS256,
 * PS384, PS512, ES256, ES384, ES512 (RFC 7518) or EdDSA with Ed25519 (RFC 8037; "Ed25519" is the
 * same algorithm's name in RFC 9864).
 *
 * The key decides the algorithm. A token with a kid is tried with the keys of that kid, or, if
 * there are none, with the keys without a kid; a token without a kid is tried with all keys. Only
 * keys of its algorithm count, at most JWT_TRIES_MAX, and one of them must have signed the token
 * (jwt_keys_choose). Keys and addresses of keys inside a token (jwk, jku, x5c, x5u) are ignored; a
 * token with crit or b64 is refused. Nothing of the payload is read before the signature is
 * verified.
 *
 * Strict: base64url without padding, white space or stray bits; JSON without duplicate members (by
 * their decoded names); at most 32 KiB; an ECDSA signature is two raw numbers (RFC 7518, 3.4).
 *
 * Claims: exp is required, nbf and iat are optional; all three are numbers of seconds from 0 to the
 * end of the year 9999. Fractions are cut to milliseconds. A token is valid while now < exp +
 * leeway and now >= nbf - leeway; iat is not compared. The user claim of the rules (sub by default)
 * is required and is the userId; a whole number is taken as its digits. If the rules name issuers,
 * iss must be one of them. If they name audiences, aud (a string or an array of strings) must have
 * one of them; only for a token without any aud the audience claim of the rules is read instead,
 * because an aud that is present must not be ignored (RFC 7519, 4.1.3). Other claims and typ are
 * ignored.
 *
 * Pure. Any thread. */
#ifndef HERALD_PROTO_JWT_H
#define HERALD_PROTO_JWT_H

#include "proto/bytes/user_id.h"
#include "proto/token/jwt_keys.h"

#include <stdint.h>

enum {
    JWT_TOKEN_MAX_BYTES = 32768, /* as long as the largest HTTP head */
    JWT_RULE_MAX_BYTES = 1024,   /* a longer audience or issuer matches nothing */
    JWT_LEEWAY_MS = 30000,
};

/* The texts belong to the caller. A claim is a top-level member of the payload; its name is
 * compared as a whole. */
struct jwt_rules {
    const struct span *audiences, *issuers; /* one of each must match; n is 0: not checked */
    size_t n_audiences, n_issuers;
    const char *audience_claim; /* read if the token has no aud; NULL: none */
    const char *user_claim;     /* NULL: "sub" */
    int64_t leeway_ms;          /* usually JWT_LEEWAY_MS */
};

struct jwt_claims {
    char user_id[USER_ID_MAX_BYTES]; /* no NUL at its end */
    size_t user_id_len;
    int64_t expires_ms; /* exp, without leeway; may be before now by less than the leeway */
};

/* ERR_OK and *ret_claims; ERR_EXPIRED: everything but exp is valid; ERR_UNAUTHORIZED: the token is
 * invalid for another reason; ERR_NO_MEMORY, though OpenSSL may report a lack of memory as a bad
 * signature. Unless ERR_OK, *ret_detail is a constant sentence that has no bytes of the token.
 * Leaves OpenSSL's error queue as it was. The sentences are at most 123 bytes long, each for one
 * cause. */
MUST_CHECK enum err jwt_verify(const struct jwt_keys *keys, struct span token,
                               const struct jwt_rules *rules, int64_t now_ms,
                               struct jwt_claims *ret_claims, const char **ret_detail);

#endif
