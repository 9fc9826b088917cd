#include "gateway/session/session_leaving.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_age.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_write.h"

enum { HURRY_MS = 500 };

static void set_moment(struct session *session, uint32_t drain_at_ms, bool is_aging)
{
    metrics_gauge_add(METRIC_LEAVING, !session->is_draining);
    session->is_draining = true;
    session->is_aging = is_aging;
    session->drain_at_ms = drain_at_ms;
    session_set_timer(session);
}

void session_drain_at(struct session *session, uint32_t drain_at_ms)
{
    set_moment(session, drain_at_ms, false);
}

void session_drain_in(struct session *session, uint32_t delay_ms)
{
    set_moment(session, session_clock(session) + delay_ms, false);
    if (session->level == LEVEL_V1)
        session_send_goaway(session, delay_ms, "drain");
}

void session_drain(struct session *session)
{
    struct worker *worker = session_worker(session);
    int64_t left_ms = atomic_load(&worker->node->drain_ends_ms) - worker_now_ms(worker);
    session_drain_in(session,
                     left_ms <= 0 ? 0 : (uint32_t)(worker_random(worker) % (uint64_t)left_ms));
}

static void take_back(struct session *session)
{
    metrics_gauge_add(METRIC_LEAVING, -1);
    session->is_draining = false;
    session->is_aging = false;
    session_set_timer(session);
    if (session->level == LEVEL_V1)
        session_send_stay(session);
}

void session_stay(struct session *session)
{
    if (session->is_draining && !session->is_aging)
        take_back(session);
}

bool session_age_is_near(const struct session *session)
{
    return !session->is_draining && session_age_left_ms(session) <= SESSION_AGE_AHEAD_MS;
}

/* Many have reached it at once where the option has just been set, another process has handed them
 * over, or the clock was set: they are spread anew. */
void session_begin_aging(struct session *session)
{
    struct worker *worker = session_worker(session);
    int64_t left_ms = session_age_left_ms(session);
    if (left_ms < -SESSION_AGE_AHEAD_MS)
        left_ms = (int64_t)(worker_random(worker) %
                            ((uint64_t)session_options(session)->max_session_age * 2 / 5 + 1));
    uint32_t delay_ms = left_ms > 0 ? (uint32_t)left_ms : 0;
    set_moment(session, session_clock(session) + delay_ms, true);
    if (session->level == LEVEL_V1)
        session_send_goaway(session, delay_ms, "age");
}

bool session_leaving_is_over(const struct session *session)
{
    return session->is_draining && session_has_come(session_clock(session), session->drain_at_ms);
}

/* Where another node is up, a client need not wait: it is out of reach until it comes again. */
static uint32_t come_again_ms(struct session *session)
{
    struct worker *worker = session_worker(session);
    const struct node *node = worker->node;
    if (store_now_ms(node->store) < atomic_load(&node->others_up_until_ms))
        return 1 + (uint32_t)(worker_random(worker) % HURRY_MS);
    return session_retry_ms(session);
}

void session_end_leaving(struct session *session)
{
    if (session->is_aging && session_age_left_ms(session) > SESSION_AGE_AHEAD_MS)
        take_back(session);
    else
        session_close_with(session, session->is_aging ? ERR_AGE : ERR_RESTART,
                           SPAN_LITERAL("restart"), come_again_ms(session));
}
