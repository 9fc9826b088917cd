/* Whom a request is from, by --auth none or jwt: what the query says, or the token. (Tickets are
 * taken by subscribe.c.) On the HTTP connection's worker. */
#ifndef HERALD_IDENTITY_H
#define HERALD_IDENTITY_H

#include "gateway/http/http_conn.h"
#include "gateway/identity/auth.h"

struct identity {
    char user_id[USER_ID_MAX_BYTES]; /* in: the query's, which may be left out; out: the user */
    size_t user_id_len;
    int64_t expires_ms; /* out: since 1970: when the token ends; 0: never */
};

/* ERR_OK; ERR_INVALID_FIELD: the userId is missing; ERR_NOT_FOUND: there is no token;
 * ERR_BAD_HEAD, ERR_UNAUTHORIZED, ERR_EXPIRED: *ret_detail is a constant. */
MUST_CHECK enum err identify(struct http_conn *http_conn, struct identity *identity,
                             const char **ret_detail);

/* As auth_verify; the time that it takes counts against the worker's share for work. On its thread.
 */
MUST_CHECK enum err identity_verify(struct worker *worker, struct span token,
                                    struct jwt_claims *ret_claims, const char **ret_detail);

/* Takes a token's claims over, unless the query has named another user: ERR_UNAUTHORIZED. */
MUST_CHECK enum err identity_claim(struct identity *identity, const struct jwt_claims *claims,
                                   const char **ret_detail);

/* Tells the operator which check failed; detail NULL: the error's own sentence. */
void identity_refused(const struct http_conn *http_conn, enum err error, const char *detail);

/* Has a session's time ended? The leeway of tokens is not a session's: it would be closed at once.
 */
bool identity_has_ended(int64_t expires_ms);

#endif
