#include "gateway/net/timers.h"

#include <stdlib.h>

enum { WORD_BITS = 64, WORDS = TIMER_SLOTS / WORD_BITS };

static const int64_t most_ticks = INT64_C(86400000) * TIMER_MOST_DAYS / TIMER_SLOT_MS;

/* A timer is in the slot of its due time modulo the wheel. A timer that is due later than one
 * revolution of the wheel (16 s) is skipped until its time has come. */
struct timers {
    struct list slots[TIMER_SLOTS];
    uint64_t used[WORDS]; /* a bit for each slot that may hold a timer */
    int64_t tick;    /* number of the last slot that was checked, counted from the clock's zero */
    struct list due; /* the oldest first */
};

static size_t slot_of(int64_t tick)
{
    return (size_t)((uint64_t)tick % TIMER_SLOTS);
}

enum err timers_new(int64_t now_ms, struct timers **ret_timers)
{
    struct timers *timers = calloc(1, sizeof *timers);
    if (timers == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < TIMER_SLOTS; i++)
        list_init(&timers->slots[i]);
    list_init(&timers->due);
    timers->tick = now_ms / TIMER_SLOT_MS;
    *ret_timers = timers;
    return ERR_OK;
}

void timers_free(struct timers *timers)
{
    free(timers);
}

void timer_init(struct timer *timer, void (*on_due)(struct timer *timer))
{
    list_init(&timer->link);
    timer->due_tick = 0;
    timer->on_due = on_due;
}

/* Does the one come after the other? The numbers wrap after two years. */
static bool is_after(uint32_t tick, uint32_t other)
{
    return (int32_t)(tick - other) > 0;
}

static int64_t round_up(int64_t number, int64_t step)
{
    return (number + step - 1) / step * step;
}

/* Of how many slots only the last is used for a timer that many slots ahead. Each slot in use wakes
 * the worker. */
static int64_t grain_of(int64_t ahead)
{
    int64_t grain = 1;
    int64_t near = TIMER_NEAR_MS / TIMER_SLOT_MS;
    for (; ahead > near && grain < TIMER_LATEST_MS / TIMER_SLOT_MS; near *= 2)
        grain *= 2;
    return grain;
}

/* Rounded up, so that it never fires early. */
static int64_t tick_of(int64_t ms)
{
    return round_up(ms, TIMER_SLOT_MS) / TIMER_SLOT_MS;
}

bool timer_is_later(const struct timer *timer, int64_t due_ms)
{
    return is_after(timer->due_tick, (uint32_t)tick_of(due_ms));
}

void timer_set(struct timers *timers, struct timer *timer, int64_t due_ms)
{
    list_remove(&timer->link);
    int64_t tick = tick_of(due_ms);
    if (tick <= timers->tick) /* at the earliest the next slot */
        tick = timers->tick + 1;
    if (tick - timers->tick > most_ticks)
        tick = timers->tick + most_ticks;
    timer->due_tick = (uint32_t)tick;
    tick = round_up(tick, grain_of(tick - timers->tick));
    size_t slot = slot_of(tick);
    list_append(&timers->slots[slot], &timer->link);
    timers->used[slot / WORD_BITS] |= UINT64_C(1) << (slot % WORD_BITS);
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
    (void)timers; /* its bit in `used` is cleared when the slot comes round */
    list_remove(&timer->link);
}

int timers_wait_ms(const struct timers *timers, int64_t now_ms)
{
    if (!list_is_empty(&timers->due))
        return 0;
    for (int64_t ahead = 1; ahead <= TIMER_SLOTS;) {
        size_t slot = slot_of(timers->tick + ahead);
        uint64_t rest = timers->used[slot / WORD_BITS] >> (slot % WORD_BITS);
        if (rest == 0) { /* nothing more in this word: try the next one */
            ahead += (int64_t)(WORD_BITS - slot % WORD_BITS);
            continue;
        }
        ahead += __builtin_ctzll(rest);
        int64_t wait = (timers->tick + ahead) * TIMER_SLOT_MS - now_ms;
        return wait > 0 ? (int)wait : 0;
    }
    return -1;
}

static void collect_slot(struct timers *timers, size_t slot, int64_t now_tick)
{
    bool has_more = false;
    LIST_FOR_EACH_SAFE(link, &timers->slots[slot])
    {
        if (is_after(CONTAINER_OF(link, struct timer, link)->due_tick, (uint32_t)now_tick)) {
            has_more = true;
            continue;
        }
        list_remove(link);
        list_append(&timers->due, link);
    }
    if (!has_more)
        timers->used[slot / WORD_BITS] &= ~(UINT64_C(1) << (slot % WORD_BITS));
}

static void collect_due(struct timers *timers, int64_t now_ms)
{
    int64_t now_tick = now_ms / TIMER_SLOT_MS;
    if (now_tick - timers->tick > TIMER_SLOTS)
        timers->tick =
            now_tick -
            TIMER_SLOTS; /* after a long stall: one revolution of the wheel visits all slots */
    while (timers->tick < now_tick) {
        timers->tick++;
        size_t slot = slot_of(timers->tick);
        if (timers->used[slot / WORD_BITS] & (UINT64_C(1) << (slot % WORD_BITS)))
            collect_slot(timers, slot, now_tick);
    }
}

void timers_fire(struct timers *timers, int64_t now_ms)
{
    collect_due(timers, now_ms);
    for (int n = 0; n < TIMERS_AT_ONCE && !list_is_empty(&timers->due); n++) {
        struct timer *timer = CONTAINER_OF(timers->due.next, struct timer, link);
        list_remove(&timer->link);
        timer->on_due(timer);
    }
}
