#include "gateway/session/session_age.h"

#include "gateway/base/clock.h"

enum { SECOND_MS = 1000 };

/* Neighbouring ids have nothing in common (the finalizer of SplitMix64). */
static uint64_t scatter(uint64_t id)
{
    id = (id ^ (id >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    id = (id ^ (id >> 27)) * UINT64_C(0x94d049bb133111eb);
    return id ^ (id >> 31);
}

bool session_age_counts(const struct session *session)
{
    bool has_user = session->state == SESSION_NEW || session->state == SESSION_ENTERED;
    return has_user && session_options(session)->max_session_age > 0 &&
           atomic_load(&session_worker(session)->node->is_store_up);
}

int64_t session_age_left_ms(const struct session *session)
{
    struct node *node = session_worker(session)->node;
    int64_t age_ms = session_options(session)->max_session_age;
    if (!session_age_counts(session))
        return INT64_MAX;
    /* The second in which it began is known, and not the millisecond. */
    uint64_t range_ms = (uint64_t)age_ms * 2 / 5 - SECOND_MS;
    int64_t lives_ms =
        age_ms * 4 / 5 + SECOND_MS + (int64_t)(scatter(session->id) % (range_ms + 1));
    int64_t now_ms = clock_wall_ms();
    int64_t began_ms = (int64_t)session_since_s(session) * 1000;
    return lives_ms - (now_ms - began_ms) + outages_since(&node->outages, began_ms, now_ms);
}
