/* One timer serves several deadlines: the next ping, the silence after which the peer is dead, the
 * end of a message that has begun, of credentials, of a drain, of its age, and what an event stream
 * has instead. It is not moved when a frame arrives: it fires, looks, and is set again
 * (session_life.c). */
#include "gateway/session/session_deadlines.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/session/session_age.h"

enum { STOOD_STILL_MS = 1000 };

/* ---- a message that has begun ---- */

static int32_t unfinished_wait_ms(const struct session *session)
{
    if (!session->is_unfinished)
        return INT32_MAX;
    return (int32_t)(session->extra->incoming.begun_ms - session_clock(session)) +
           (int32_t)session_options(session)->slow_timeout;
}

/* The clock alone proves nothing: when it is looked at so late, this process has stood still, and
 * the rest may be there to be read. */
bool session_is_unfinished_late(struct session *session)
{
    int32_t wait_ms = unfinished_wait_ms(session);
    if (wait_ms < -STOOD_STILL_MS) {
        session->extra->incoming.begun_ms += (uint32_t)(SESSION_LAST_CHANCE_MS - wait_ms);
        return false;
    }
    metrics_add(METRIC_LIMITED_MESSAGE_TIME, wait_ms <= 0);
    return wait_ms <= 0;
}

/* ---- credentials ---- */

bool session_is_holding(const struct session *session)
{
    return session->extra != NULL && session->extra->hold.token != NULL;
}

/* How long the token waits that is held; INT32_MAX: for its turn, of which no clock knows. */
static int32_t held_wait_ms(const struct session *session)
{
    return session->extra->hold.waits_second ? session_verify_wait_ms(session) : INT32_MAX;
}

bool session_hold_is_over(const struct session *session)
{
    return session_is_holding(session) && held_wait_ms(session) <= 0;
}

/* --auth-timeout runs until a token has been verified. A session that waits after that, for what it
 * has queued to be written, has --slow-timeout instead. */
static bool awaits_token(const struct session *session)
{
    return session->state == SESSION_AUTH && !session_claim_is_known(session);
}

bool session_auth_is_over(const struct session *session, enum err *ret_error)
{
    if (session_is_holding(session))
        return false; /* the message came in time, although it is not verified yet */
    if (awaits_token(session) &&
        session_has_come(session_clock(session), session->extra->auth.by_ms)) {
        *ret_error = ERR_AUTH_TIMEOUT;
        return true;
    }
    *ret_error = ERR_EXPIRED;
    return session->until_s != 0 && clock_wall_ms() / 1000 >= (int64_t)session->until_s;
}

static int32_t auth_wait_ms(const struct session *session)
{
    int64_t wait_ms = INT32_MAX;
    if (session_is_holding(session))
        return held_wait_ms(session);
    if (session->until_s != 0)
        wait_ms = (int64_t)session->until_s * 1000 - clock_wall_ms();
    if (awaits_token(session)) {
        int32_t by_ms = (int32_t)(session->extra->auth.by_ms - session_clock(session));
        wait_ms = by_ms < wait_ms ? by_ms : wait_ms;
    }
    if (wait_ms < 0)
        return 0;
    return wait_ms < INT32_MAX ? (int32_t)wait_ms : INT32_MAX;
}

/* ---- the timer ---- */

static int32_t websocket_wait_ms(const struct session *session, uint32_t now_ms)
{
    int32_t silence =
        (int32_t)(session->heard_ms - now_ms) + (int32_t)session_options(session)->silence_timeout;
    int32_t ping = (int32_t)(session->next_ping_ms - now_ms);
    return silence < ping ? silence : ping;
}

static int32_t stream_wait_ms(const struct session *session, uint32_t now_ms)
{
    int32_t wait = (int32_t)(session->next_ping_ms - now_ms);
    int32_t check = (int32_t)(session->extra->stream.check_ms - now_ms);
    return session->extra->stream.mark_seq != 0 && check < wait ? check : wait;
}

/* To the end of --slow-timeout, while something waits that the socket does not take. */
static int64_t stuck_wait_ms(const struct session *session)
{
    int64_t moved_ms = conn_moved_ms(&session->conn);
    if (moved_ms == 0)
        return INT32_MAX;
    return moved_ms + session_options(session)->slow_timeout -
           worker_now_ms(session_worker(session));
}

/* Until it is closed; or until it is told that its age will close it. */
static int64_t leaving_wait_ms(const struct session *session, uint32_t now_ms)
{
    if (session->is_draining)
        return (int32_t)(session->drain_at_ms - now_ms);
    return session_age_left_ms(session) - SESSION_AGE_AHEAD_MS;
}

void session_set_timer(struct session *session)
{
    struct worker *worker = session_worker(session);
    uint32_t now_ms = session_clock(session);
    if (session_is_held(session))
        return;
    int64_t waits_ms[] = {
        session->level == LEVEL_SSE ? stream_wait_ms(session, now_ms)
                                    : websocket_wait_ms(session, now_ms),
        stuck_wait_ms(session),
        unfinished_wait_ms(session),
        auth_wait_ms(session),
        leaving_wait_ms(session, now_ms),
    };
    int64_t wait_ms = waits_ms[0];
    for (size_t i = 1; i < sizeof waits_ms / sizeof waits_ms[0]; i++)
        wait_ms = waits_ms[i] < wait_ms ? waits_ms[i] : wait_ms;
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + (wait_ms > 0 ? wait_ms : 0));
}
