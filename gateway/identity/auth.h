/* The settings by which subscribers are identified (CONTRACT 2, Identity): --auth, and the current
 * keys for tokens. Any thread. */
#ifndef HERALD_AUTH_H
#define HERALD_AUTH_H

#include "gateway/base/options.h"
#include "proto/http/credentials.h"
#include "proto/token/jwt.h"

enum auth_kind { AUTH_NONE, AUTH_JWT, AUTH_TICKET };

struct auth;

/* ERR_INVALID_FIELD: *why names the option, and the file if the fault is in it. ERR_NO_MEMORY. The
 * options must stay valid until auth_close. */
MUST_CHECK enum err auth_open(const struct options *options, struct auth **ret_auth, char *why,
                              size_t why_cap);
void auth_close(struct auth *auth); /* NULL is fine */

enum auth_kind auth_kind(const struct auth *auth);

/* Like credentials_token (http/credentials.h), in the parts of the request that the options
 * allow. */
MUST_CHECK enum err auth_find_token(const struct auth *auth, const struct http_head *head,
                                    const char *bytes, char room[CREDENTIALS_ROOM_BYTES],
                                    struct span *ret_token, const char **ret_detail);

/* Like jwt_verify, with the current keys and the rules of the options. */
MUST_CHECK enum err auth_verify(struct auth *auth, struct span token, struct jwt_claims *ret_claims,
                                const char **ret_detail);

/* Reads the keys again, if their file has changed or `must`. A bad file is logged, and the keys
 * stay as they were. They also stay when the file has become a bare secret and was not one before:
 * that takes a restart. One thread at a time. */
void auth_reload(struct auth *auth, bool must);

#endif
