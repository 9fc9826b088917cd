/* Finds the user of a request: the one in its query (--auth none) or in its token (--auth jwt). A
 * ticket is looked up in the store (port/subscribe.c). Any thread. */
#ifndef HERALD_IDENTITY_H
#define HERALD_IDENTITY_H

#include "gateway/identity/auth.h"
#include "proto/bytes/user_id.h"

struct identity {
    char user_id[USER_ID_MAX_BYTES]; /* in: that of the query, if it has one; out: the user */
    size_t user_id_len;
    int64_t expires_ms; /* out: when the token expires, since 1970; 0: never */
    int64_t work_us;    /* out: as of identity_verify; 0: no token was verified */
};

/* `bytes` are the bytes of the head. ERR_OK; ERR_INVALID_FIELD: the userId is missing;
 * ERR_NOT_FOUND: there is no token; ERR_BAD_HEAD, ERR_UNAUTHORIZED, ERR_EXPIRED. *ret_detail is a
 * constant. */
MUST_CHECK enum err identify(struct auth *auth, const struct http_head *head, const char *bytes,
                             struct identity *identity, const char **ret_detail);

/* As auth_verify. *ret_work_us is the processor time that it took, on success and on error: the
 * caller counts it against its worker's share for work (conn_loop_count_work). */
MUST_CHECK enum err identity_verify(struct auth *auth, struct span token,
                                    struct jwt_claims *ret_claims, int64_t *ret_work_us,
                                    const char **ret_detail);

/* Sets the user and the expiry from a token's claims. ERR_UNAUTHORIZED: the query names another
 * user. */
MUST_CHECK enum err identity_apply_claims(struct identity *identity,
                                          const struct jwt_claims *claims, const char **ret_detail);

/* Has a session ended whose credentials expire at expires_ms? The leeway of tokens does not apply
 * here: a session that began within it would be closed at once. */
bool identity_has_ended(int64_t expires_ms);

#endif
