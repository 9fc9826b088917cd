#include "gateway/identity/identity.h"

#include "gateway/base/clock.h"

enum err identity_apply_claims(struct identity *identity, const struct jwt_claims *claims,
                               const char **ret_detail)
{
    struct span named = {identity->user_id, identity->user_id_len};
    struct span user = {claims->user_id, claims->user_id_len};
    if (named.len > 0 && !span_equal(named, user)) {
        *ret_detail = "the token is for another user than userId says";
        return ERR_UNAUTHORIZED;
    }
    memcpy(identity->user_id, user.bytes, user.len);
    identity->user_id_len = user.len;
    identity->expires_ms = claims->expires_ms;
    return ERR_OK;
}

bool identity_has_ended(int64_t expires_ms)
{
    return expires_ms != 0 && expires_ms <= clock_wall_ms();
}

enum err identity_verify(struct auth *auth, struct span token, struct jwt_claims *ret_claims,
                         int64_t *ret_work_us, const char **ret_detail)
{
    int64_t begin_us = clock_thread_us();
    enum err error = auth_verify(auth, token, ret_claims, ret_detail);
    *ret_work_us = clock_thread_us() - begin_us;
    return error;
}

enum err identify(struct auth *auth, const struct http_head *head, const char *bytes,
                  struct identity *identity, const char **ret_detail)
{
    char room[CREDENTIALS_ROOM_BYTES];
    struct span token;
    struct jwt_claims claims;
    identity->expires_ms = 0;
    identity->work_us = 0;
    if (auth_kind(auth) == AUTH_NONE) {
        *ret_detail = "userId is missing";
        return identity->user_id_len > 0 ? ERR_OK : ERR_INVALID_FIELD;
    }
    if (auth_kind(auth) == AUTH_TICKET) {
        *ret_detail = "with --auth ticket only WebSockets can say who they are";
        return ERR_UNAUTHORIZED;
    }
    enum err error = auth_find_token(auth, head, bytes, room, &token, ret_detail);
    if (error == ERR_NOT_FOUND)
        *ret_detail = "a token is needed";
    if (error == ERR_OK)
        error = identity_verify(auth, token, &claims, &identity->work_us, ret_detail);
    return error == ERR_OK ? identity_apply_claims(identity, &claims, ret_detail) : error;
}
