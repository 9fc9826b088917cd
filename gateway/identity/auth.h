/* Who a subscriber is (CONTRACT 2, Identity): what --auth says, and the keys that tokens are
 * verified with, as they stand now. Any thread. */
#ifndef HERALD_AUTH_H
#define HERALD_AUTH_H

#include "gateway/base/options.h"
#include "proto/http/credentials.h"
#include "proto/token/jwt.h"

enum auth_kind { AUTH_NONE, AUTH_JWT, AUTH_TICKET };

struct auth;

/* ERR_INVALID_FIELD: *why names the option, and the file where it is that. The options stay. */
MUST_CHECK enum err auth_open(const struct options *options, struct auth **ret_auth, char *why,
                              size_t why_cap);
void auth_close(struct auth *auth); /* NULL is fine */

enum auth_kind auth_kind(const struct auth *auth);

/* As credentials_token, by the options. */
MUST_CHECK enum err auth_find_token(const struct auth *auth, const struct http_head *head,
                                    const char *bytes, char room[CREDENTIALS_ROOM_BYTES],
                                    struct span *ret_token, const char **ret_detail);

/* As jwt_verify, with the present keys and the options' rules. */
MUST_CHECK enum err auth_verify(struct auth *auth, struct span token, struct jwt_claims *ret_claims,
                                const char **ret_detail);

/* Reads the keys again, if their file has changed or `must`. A bad file is logged, and what was
 * read before goes on counting. So it is with a file that is nothing but a secret where the one
 * before was more than that: it takes a restart. One thread at a time. */
void auth_reload(struct auth *auth, bool must);

#endif
