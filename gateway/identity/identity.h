/* Who a request is from, by --auth none or jwt: the user that its query names, or its token's.
 * (A ticket is looked up in the store: port/subscribe.c.) Any thread. */
#ifndef HERALD_IDENTITY_H
#define HERALD_IDENTITY_H

#include "gateway/identity/auth.h"
#include "proto/bytes/user_id.h"

struct identity {
    char user_id[USER_ID_MAX_BYTES]; /* in: the query's, which may be left out; out: the user */
    size_t user_id_len;
    int64_t expires_ms; /* out: since 1970: when the token ends; 0: never */
    int64_t work_us;    /* out: as of identity_verify; 0: no token was verified */
};

/* `bytes` are those of the head. ERR_OK; ERR_INVALID_FIELD: the userId is missing; ERR_NOT_FOUND:
 * there is no token; ERR_BAD_HEAD, ERR_UNAUTHORIZED, ERR_EXPIRED. *ret_detail is a constant. */
MUST_CHECK enum err identify(struct auth *auth, const struct http_head *head, const char *bytes,
                             struct identity *identity, const char **ret_detail);

/* As auth_verify. *ret_work_us is the processor time that it took, on success and on error: the
 * caller counts it against its worker's share for work (conn_loop_count_work). */
MUST_CHECK enum err identity_verify(struct auth *auth, struct span token,
                                    struct jwt_claims *ret_claims, int64_t *ret_work_us,
                                    const char **ret_detail);

/* Takes a token's claims over, unless the query has named another user: ERR_UNAUTHORIZED. */
MUST_CHECK enum err identity_apply_claims(struct identity *identity,
                                          const struct jwt_claims *claims, const char **ret_detail);

/* Has the time of a session ended whose credentials end at expires_ms? Without the leeway that
 * tokens have: a session that begins within it would be closed at once. */
bool identity_has_ended(int64_t expires_ms);

#endif
