/* Credentials of sessions. A herald.v1 client may bring its token in its first message; until then
 * the session waits in AUTH on the worker that accepted it. When the token is verified, the session
 * stops reading, writes what waits, and reports that it is identified: its socket then goes to the
 * user's home worker (port/handover.c) and becomes another session, whether that worker is this one
 * or not. Later auth messages renew: for the same user, or the session is closed. Whatever the
 * level, the session is closed when its credentials end. */
#include "gateway/session/session_auth.h"

#include "gateway/base/metrics.h"
#include "gateway/identity/auth.h"
#include "gateway/identity/identity.h"
#include "gateway/node/refusals.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_hold.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_write.h"
#include "proto/note/envelope.h"

#include <stdlib.h>

enum err session_await_auth(struct session *session, const struct claim *claim)
{
    struct session_extra *extra = session_extra(session);
    struct worker *worker = session_worker(session);
    if (extra != NULL)
        extra->auth.claim = malloc(sizeof *claim);
    if (extra == NULL || extra->auth.claim == NULL)
        return ERR_NO_MEMORY;
    session_become(session, SESSION_AUTH);
    *extra->auth.claim = *claim;
    extra->auth.by_ms = session_clock(session) + (uint32_t)session_options(session)->auth_timeout;
    list_append(&worker->unauthenticated, &session->link);
    session_set_timer(session);
    return ERR_OK;
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

void session_refuse_auth(struct session *session, enum err error, const char *why)
{
    struct refusal_subject who = {.path = SPAN_LITERAL("the auth message")};
    session_who(session, &who);
    refusals_log_credentials(&who, why);
    session_close_with(session, error, span_of(why), 0);
}

/* A token that ends is normal. A client that sends none is not, and is logged as a refusal. */
void session_end_auth(struct session *session, enum err error)
{
    if (error == ERR_AUTH_TIMEOUT)
        session_refuse_auth(session, error, error_title(error));
    else
        session_close(session, error);
}

/* ---- the first message ---- */

static void identify_session(struct session *session, const struct jwt_claims *claims)
{
    struct claim *claim = session->extra->auth.claim;
    const char *detail;
    enum err error = identity_apply_claims(&claim->identity, claims, &detail);
    if (error != ERR_OK) {
        session_refuse_auth(session, error, detail);
        return;
    }
    claim->is_known = true;
    session->until_s = session_until_s(claim->identity.expires_ms);
    conn_pause(&session->conn); /* what comes from now on is the new session's */
    conn_mark(&session->conn);  /* it is handed over at the end of the turn */
}

/* ---- auth messages ---- */

static void renew_credentials(struct session *session, const struct jwt_claims *claims)
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

static void verify_auth_message(struct session *session, struct span token)
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
        identify_session(session, &claims);
    else
        renew_credentials(session, &claims);
}

void session_on_auth(struct session *session, struct span token)
{
    if (auth_kind(session_worker(session)->node->auth) != AUTH_JWT) {
        const struct envelope_error told = {.code = "auth-off",
                                            .detail = "this server takes no tokens"};
        metrics_count(METRIC_BAD_MESSAGES);
        session_send_error(session, &told, false);
        return;
    }
    if (session_may_verify(session, token))
        verify_auth_message(session, token);
}

void session_on_held_auth(struct session *session)
{
    struct span token;
    char *held = session_take_held(session, &token);
    session_on_auth(session, token);
    free(held);
}
