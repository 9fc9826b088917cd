#include "gateway/net/throttle.h"

/* Unused credit is not saved up beyond a millisecond's worth: it would come back as a burst. */
static void count_credit(struct throttle *throttle)
{
    int64_t now_ms = reactor_now_ms(throttle->reactor);
    throttle->credit += (now_ms - throttle->at_ms) * throttle->bytes_per_ms;
    throttle->at_ms = now_ms;
    if (throttle->credit > throttle->bytes_per_ms)
        throttle->credit = throttle->bytes_per_ms;
}

static void read_in_turn(struct reactor_task *task)
{
    struct throttle *throttle = CONTAINER_OF(task, struct throttle, task);
    count_credit(throttle);
    while (throttle->credit > 0 && !list_is_empty(&throttle->waiting)) {
        struct throttled *first = CONTAINER_OF(throttle->waiting.next, struct throttled, link);
        list_remove(&first->link);
        throttle->read(first);
    }
    if (!list_is_empty(&throttle->waiting))
        reactor_in_next_ms(throttle->reactor, &throttle->task);
}

void throttle_init(struct throttle *throttle, struct reactor *reactor, int64_t bytes_per_ms,
                   void (*read)(struct throttled *throttled))
{
    *throttle = (struct throttle){
        .reactor = reactor,
        .read = read,
        .task.run = read_in_turn,
        .bytes_per_ms = bytes_per_ms,
        .credit = bytes_per_ms,
        .at_ms = reactor_now_ms(reactor),
    };
    list_init(&throttle->waiting);
    list_init(&throttle->task.link);
}

void throttle_fini(struct throttle *throttle)
{
    reactor_task_cancel(&throttle->task);
}

bool throttle_charge(struct throttle *throttle, size_t bytes)
{
    count_credit(throttle);
    throttle->credit -= (int64_t)bytes;
    if (throttle->credit < -THROTTLE_DEBT_MS * throttle->bytes_per_ms)
        throttle->credit = -THROTTLE_DEBT_MS * throttle->bytes_per_ms;
    return throttle->credit <= 0;
}

void throttle_wait(struct throttle *throttle, struct throttled *throttled)
{
    list_append(&throttle->waiting, &throttled->link);
    reactor_in_next_ms(throttle->reactor, &throttle->task);
}

void throttle_leave(struct throttled *throttled)
{
    list_remove(&throttled->link);
}
