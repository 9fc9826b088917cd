/* A session has at most one token verified in a second, because to verify a signature costs a
 * hundred times what it costs to ask for it, and none beyond the share of the busy connections
 * (net/throttle.h). An auth message that comes too early is kept, and nothing after it is read,
 * until its second has come and then its turn. It is not refused: the deadlines of the session's
 * credentials wait as long. Meanwhile the peer does not count as silent, because its bytes are not
 * read, nor as alive because of bytes that came long ago (session_deadlines.c, session_life.c). */
#include "gateway/session/session_hold.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_deadlines.h"

#include <stdlib.h>

static void keep_token(struct session *session, struct span token)
{
    session->extra->hold.token = session_copy(token);
    session->extra->hold.len = token.len;
    if (session->extra->hold.token == NULL)
        session_give_up(session);
    else
        session_set_timer(session);
}

bool session_may_verify(struct session *session, struct span token)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL) {
        session_give_up(session);
        return false;
    }
    if (session_verify_wait_ms(session) > 0) {
        metrics_count(METRIC_CREDENTIALS_SECOND);
        extra->hold.waits_second = true;
        conn_pause(&session->conn);
        keep_token(session, token);
        return false;
    }
    if (!conn_take_turn(&session->conn)) {
        metrics_count(METRIC_CREDENTIALS_SHARE);
        keep_token(session, token);
        return false;
    }
    session_note_verified(session);
    return true;
}

void session_note_verified(struct session *session)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return; /* out of memory: the next one comes a second too early */
    extra->hold.has_verified = true;
    extra->hold.verified_ms = session_clock(session);
}

char *session_take_held(struct session *session, struct span *ret_token)
{
    struct session_hold *held = &session->extra->hold;
    char *token = held->token;
    *ret_token = (struct span){token, held->len};
    held->token = NULL;
    return token;
}

void session_hold_resume(struct session *session)
{
    session->extra->hold.waits_second = false;
    conn_resume(&session->conn);
    session_set_timer(session);
}

void session_hold_drop(struct session *session)
{
    struct span token;
    if (!session_is_holding(session))
        return;
    free(session_take_held(session, &token));
    session->extra->hold.waits_second = false;
    conn_resume(&session->conn); /* the peer's close frame is yet to come */
}
