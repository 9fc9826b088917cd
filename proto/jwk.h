/* One JSON Web Key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2). Pure. */
#ifndef HERALD_PROTO_JWK_H
#define HERALD_PROTO_JWK_H

#include "proto/jwt_key.h"

/* `object` is the text of one JSON object. ERR_OK with *ret_is_used: the key is *ret_key, for
 * jwt_key_fini; without: it is for something else, and *ret_key is untouched (proto/jwt_keys says
 * which). ERR_INVALID_FIELD: *ret_why is a constant sentence; ERR_NO_MEMORY. */
MUST_CHECK enum err jwk_read(struct span object, struct jwt_key *ret_key, bool *ret_is_used,
                             const char **ret_why);

#endif
