/* Reads one JSON Web Key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2). Pure. */
#ifndef HERALD_PROTO_JWK_H
#define HERALD_PROTO_JWK_H

#include "proto/token/jwt_key.h"

/* `object` is the text of one JSON object; a member that is null counts as absent. ERR_OK: the
 * caller frees *ret_key with jwt_key_fini. ERR_NOT_FOUND: the key is not for verifying tokens.
 * ERR_INVALID_FIELD: it is malformed, too weak, or private. ERR_NO_MEMORY. On the first two
 * failures *ret_why is a constant sentence, and *ret_key has the kid, if it can be read, and
 * nothing that must be freed.
 *
 * An RSA key without alg verifies RS256 and nothing else: a key has exactly one algorithm (RFC
 * 8725, 3.1), and the token must not choose it. */
MUST_CHECK enum err jwk_read(struct span object, struct jwt_key *ret_key, const char **ret_why);

#endif
