/* Subscribers of herald.v1 who send its ping and wait for its pong: how long the work for others
 * keeps a session waiting. The one that has been idle for longest asks next, so that all take
 * turns. */
#include "load.h"

static uint64_t *asked_ns;        /* per session; 0: nothing is under way */
static uint32_t *ring, ring_head; /* the idle ones, pings.idle of them from ring_head on */
struct ping_totals pings;

static void ring_put(uint32_t index)
{
    ring[(ring_head + pings.idle++) % (uint32_t)options.subscribers] = index;
}

static uint32_t ring_take(void)
{
    uint32_t index = ring[ring_head];
    ring_head = (ring_head + 1) % (uint32_t)options.subscribers;
    pings.idle--;
    return index;
}

void ping_init(void)
{
    asked_ns = allocate((size_t)options.subscribers, sizeof *asked_ns);
    ring = allocate((size_t)options.subscribers, sizeof *ring);
    for (uint32_t i = 0; i < (uint32_t)options.subscribers; i++)
        ring_put(i);
}

void ping_more(void)
{
    static const char text[] = "{\"type\":\"ping\"}";
    uint32_t user;
    uint64_t stamp;
    while (pings.idle > 0 && plan_next(now_ns(), &user, &stamp)) {
        uint32_t index = ring_take();
        asked_ns[index] = stamp;
        pings.sent++;
        ws_send_text(index, text, sizeof text - 1);
    }
}

void ping_answered(uint32_t index, uint64_t now)
{
    if (!asked_ns || asked_ns[index] == 0)
        die("a pong that nobody asked for");
    tally_count(asked_ns[index], now);
    asked_ns[index] = 0;
    ring_put(index);
}
