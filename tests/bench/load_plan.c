/* What is done next. In the open loop (--rate) each push, or ping, is stamped with the moment at
 * which it was due, so that a gateway that stalls the generator is charged with the wait; what was
 * due in the measured window is sent after its end, if it could not be sent before. No user has two
 * pushes under way in two requests, so that order is defined. */
#include "load.h"

static bool is_on;
static uint64_t due_ns, interval_ns;

void plan_start(void)
{
    is_on = true;
    interval_ns = options.rate > 0 ? SECOND / (uint64_t)options.rate : 0;
    due_ns = now_ns();
}

void plan_stop(void)
{
    is_on = false;
}

bool plan_is_late(void)
{
    return interval_ns > 0 && due_ns < tally.to_ns;
}

static uint64_t random_next(void)
{
    static uint64_t state = 0x2545f4914f6cdd1d;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

uint32_t plan_user_of(uint32_t publisher)
{
    uint64_t publishers = (uint64_t)options.publishers;
    uint64_t share = (uint64_t)options.subscribers / publishers;
    return (uint32_t)(random_next() % share * publishers + publisher);
}

static bool choose_random(uint64_t users, uint32_t *ret_user)
{
    for (int tries = 0; tries < 100; tries++) {
        *ret_user = (uint32_t)(random_next() % users);
        if (!http_is_busy(*ret_user))
            return true;
    }
    return false;
}

static bool choose_next(uint64_t users, uint32_t *ret_user)
{
    static uint64_t next;
    *ret_user = (uint32_t)(next % users);
    bool is_free = !http_is_busy(*ret_user);
    next += is_free;
    return is_free;
}

/* A frame that meets an unread one at its socket costs the server less. So that no server profits
 * from a generator that is kept from reading, a fan-out begins when the last one has arrived
 * everywhere, and the lines that have not arrived are at most those of one request a publisher. */
static bool choose_user(uint32_t *ret_user)
{
    uint64_t users = (uint64_t)(options.subscribers - options.stuck);
    switch (options.mode) {
    case MODE_FLUSH:
        *ret_user = (uint32_t)(http.sent % users);
        return http.sent < users * (uint64_t)options.per_user && !http_is_busy(*ret_user);
    case MODE_FANOUT:
        *ret_user = USER_ALL;
        return tally.received == http.sent * users;
    case MODE_LINES:
    case MODE_PING:
        *ret_user =
            USER_ALL; /* chosen later: plan_user_of, and whoever has been idle for longest */
        return true;
    default:
        return options.in_turn ? choose_next(users, ret_user) : choose_random(users, ret_user);
    }
}

bool plan_next(uint64_t now, uint32_t *ret_user, uint64_t *ret_stamp)
{
    if (!(is_on || plan_is_late()) || (interval_ns > 0 && due_ns > now) || !choose_user(ret_user))
        return false;
    *ret_stamp = interval_ns > 0 ? due_ns : now;
    due_ns += interval_ns;
    return true;
}

uint64_t plan_due(uint64_t until)
{
    bool is_free = options.mode == MODE_PING ? pings.idle > 0 : http.idle > 0;
    return is_on && interval_ns > 0 && is_free && due_ns < until ? due_ns : until;
}
