/* Credentials of sessions. A herald.v1 client may bring its token in its first message; until then
 * the session waits in AUTH on the worker that accepted it. When the token has said who it is, the
 * session stops reading, writes what waits, and reports that it is identified: its socket then goes
 * to the user's home worker (port/handover.c) and becomes another session, whether that worker is
 * this one or not. Later auth messages renew: for the same user, or the session is closed. Whatever
 * the level, the session is closed when its credentials end. */
#include "gateway/session/session_parts.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/identity/auth.h"
#include "gateway/identity/identity.h"
#include "gateway/net/listener.h"
#include "gateway/node/refusals.h"
#include "proto/note/envelope.h"

#include <stdlib.h>

static struct session_wish *wish_of(const struct session *session)
{
    return session->state == SESSION_AUTH && session->extra != NULL ? session->extra->wish : NULL;
}

uint32_t session_until_s(int64_t until_ms)
{
    int64_t until_s = until_ms / 1000; /* a part of a second early is within the second */
    if (until_ms == 0)
        return 0;
    if (until_s >= UINT32_MAX)
        return UINT32_MAX; /* in 2106 */
    return until_s > 0 ? (uint32_t)until_s : 1;
}

enum err session_await_auth(struct session *session, struct span user_id, struct span device)
{
    struct session_extra *extra = session_extra(session);
    struct worker *worker = session_worker(session);
    if (extra != NULL)
        extra->wish = calloc(1, sizeof *extra->wish);
    if (extra == NULL || extra->wish == NULL)
        return ERR_NO_MEMORY;
    session_become(session, SESSION_AUTH);
    memcpy(extra->wish->user_id, user_id.bytes, user_id.len);
    extra->wish->user_id_len = user_id.len;
    if (device.len > 0)
        memcpy(extra->wish->device, device.bytes, device.len);
    extra->wish->device_len = device.len;
    extra->auth_by_ms = session_clock(session) + (uint32_t)session_options(session)->auth_timeout;
    list_append(&worker->strangers, &session->link);
    session_set_timer(session);
    return ERR_OK;
}

bool session_is_moving(const struct session *session)
{
    const struct session_wish *wish = wish_of(session);
    return wish != NULL && wish->is_known;
}

bool session_auth_is_over(const struct session *session, enum err *ret_error)
{
    if (session_is_holding(session))
        return false; /* what was said in time counts, though nobody has looked at it yet */
    if (session->state == SESSION_AUTH &&
        session_has_come(session_clock(session), session->extra->auth_by_ms)) {
        *ret_error = ERR_AUTH_TIMEOUT;
        return true;
    }
    *ret_error = ERR_EXPIRED;
    return session->until_s != 0 && clock_wall_ms() / 1000 >= (int64_t)session->until_s;
}

int32_t session_auth_wait_ms(const struct session *session)
{
    int64_t wait_ms = INT32_MAX;
    if (session_is_holding(session))
        return session_hold_wait_ms(session);
    if (session->until_s != 0)
        wait_ms = (int64_t)session->until_s * 1000 - clock_wall_ms();
    if (session->state == SESSION_AUTH) {
        int32_t by_ms = (int32_t)(session->extra->auth_by_ms - session_clock(session));
        wait_ms = by_ms < wait_ms ? by_ms : wait_ms;
    }
    if (wait_ms < 0)
        return 0;
    return wait_ms < INT32_MAX ? (int32_t)wait_ms : INT32_MAX;
}

void session_send_auth(struct session *session)
{
    struct buf text;
    buf_init(&text, 128);
    if (envelope_auth(&text, (int64_t)session->until_s * 1000) == ERR_OK)
        session_say_text(session, SAY_ANSWER, buf_span(&text));
    else
        session_give_up(session);
    buf_fini(&text);
}

void session_who(const struct session *session, struct refused_who *ret_who)
{
    const struct session_wish *wish = wish_of(session);
    struct span user = {0};
    if (wish != NULL)
        user = (struct span){wish->user_id, wish->user_id_len};
    else if (session->client != NULL)
        user = client_user_id(session->client);
    if (user.len > 0)
        memcpy(ret_who->user, user.bytes, user.len);
    ret_who->user_len = user.len;
    if (!peer_describe(session->peer, ret_who->address, sizeof ret_who->address))
        listener_peer(session->conn.watch.fd, ret_who->address, sizeof ret_who->address);
}

void session_refuse_auth(struct session *session, enum err error, const char *why)
{
    struct refused_who who = {.place = SPAN_LITERAL("the auth message")};
    session_who(session, &who);
    refused_credentials(&who, why);
    session_close(session, error, span_of(why), 0);
}

/* That a token ends is as it should be; that none comes, somebody wants to know. */
void session_end_auth(struct session *session, enum err error)
{
    if (error == ERR_AUTH_TIMEOUT)
        session_refuse_auth(session, error, error_title(error));
    else
        session_close(session, error, (struct span){0}, 0);
}

/* ---- the first message ---- */

static void become_known(struct session *session, const struct jwt_claims *claims)
{
    struct session_wish *wish = session->extra->wish;
    struct identity identity = {.user_id_len = wish->user_id_len};
    const char *detail;
    memcpy(identity.user_id, wish->user_id, wish->user_id_len);
    enum err error = identity_claim(&identity, claims, &detail);
    if (error != ERR_OK) {
        session_refuse_auth(session, error, detail);
        return;
    }
    memcpy(wish->user_id, identity.user_id, identity.user_id_len);
    wish->user_id_len = identity.user_id_len;
    wish->is_known = true;
    session->until_s = session_until_s(identity.expires_ms);
    conn_pause(&session->conn); /* what comes from now on is the new session's */
    conn_mark(&session->conn);  /* it moves at the end of the turn */
}

void session_auth_go(struct session *session)
{
    if (conn_queued_bytes(&session->conn) == 0)
        session_events_of(session)->on_identified(session);
}

/* ---- auth messages ---- */

static void renew(struct session *session, const struct jwt_claims *claims)
{
    struct span user = {claims->user_id, claims->user_id_len};
    if (!span_equal(user, client_user_id(session->client))) {
        session_refuse_auth(session, ERR_UNAUTHORIZED, "the new token is for another user");
        return;
    }
    session->until_s = session_until_s(claims->expires_ms);
    metrics_count(METRIC_RENEWALS);
    session_send_auth(session);
    session_set_timer(session);
}

static void verify(struct session *session, struct span token)
{
    struct jwt_claims claims;
    const char *detail = error_title(ERR_EXPIRED);
    struct worker *worker = session_worker(session);
    int64_t work_us;
    enum err error = identity_verify(worker->node->auth, token, &claims, &work_us, &detail);
    conn_loop_count_work(&worker->loop, work_us);
    if (error == ERR_OK && identity_has_ended(claims.expires_ms))
        error = ERR_EXPIRED;
    if (error != ERR_OK)
        session_refuse_auth(session, error, detail);
    else if (session->state == SESSION_AUTH)
        become_known(session, &claims);
    else
        renew(session, &claims);
}

void session_on_auth(struct session *session, struct span token)
{
    if (auth_kind(session_worker(session)->node->auth) != AUTH_JWT) {
        metrics_count(METRIC_BAD_MESSAGES);
        session_send_error(session, "auth-off", (struct span){0}, "this server takes no tokens");
        return;
    }
    if (session_may_verify(session, token))
        verify(session, token);
}

void session_on_turn(struct session *session)
{
    struct span token;
    char *held = session_take_held(session, &token);
    session_on_auth(session, token);
    free(held);
}
