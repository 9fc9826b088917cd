/* Public keys out of PEM and DER (RFC 7468). `file` is shorter than 2 GiB. Pure. */
#ifndef HERALD_PROTO_JWT_PEM_H
#define HERALD_PROTO_JWT_PEM_H

#include "proto/token/jwt_key.h"

bool jwt_pem_is(struct span file); /* "-----BEGIN " stands in it */

/* Does a public key or a certificate stand in it in another form: DER, base64 or damaged lines of
 * PEM, a JWK, a line of ssh? */
bool jwt_pem_is_bare_key(struct span file);

/* Called for each block in the order of the file; owns *key from then on. `key` is NULL for one
 * that is no key to be used: `why` is a constant sentence. Anything but ERR_OK ends the reading and
 * is answered. */
typedef enum err (*jwt_pem_on_block_fn)(void *to, size_t number, struct jwt_key *key,
                                        const char *why);

/* Reads every block of the file. ERR_INVALID_FIELD: block number *ret_block, from 1, is not whole;
 * ERR_NO_MEMORY; and what on_block answers. */
MUST_CHECK enum err jwt_pem_read(struct span file, jwt_pem_on_block_fn on_block, void *to,
                                 size_t *ret_block);

#endif
