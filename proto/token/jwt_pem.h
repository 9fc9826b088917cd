/* Reads public keys from PEM and DER (RFC 7468). `file` is shorter than 2 GiB. Pure. */
#ifndef HERALD_PROTO_JWT_PEM_H
#define HERALD_PROTO_JWT_PEM_H

#include "proto/token/jwt_key.h"

bool jwt_pem_is(struct span file); /* does it contain "-----BEGIN "? */

/* Does the file contain a public key or a certificate in another form: DER, base64 or damaged lines
 * of PEM, a JWK, a line of ssh? */
bool jwt_pem_is_bare_key(struct span file);

/* Called for each block in the order of the file; takes over *key. `key` is NULL for a block that
 * is not a usable key, and `why` is a constant sentence then. An error stops the reading and is
 * returned by jwt_pem_read. */
typedef enum err (*jwt_pem_on_block_fn)(void *to, size_t number, struct jwt_key *key,
                                        const char *why);

/* Reads every block of the file. ERR_INVALID_FIELD: block number *ret_block, from 1, is not whole;
 * ERR_NO_MEMORY; or the error that on_block returned. */
MUST_CHECK enum err jwt_pem_read(struct span file, jwt_pem_on_block_fn on_block, void *to,
                                 size_t *ret_block);

#endif
