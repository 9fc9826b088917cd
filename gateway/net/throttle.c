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

/* NULL: nobody waits. */
static struct throttled *next_in_turn(struct throttle *throttle)
{
    struct list *lists[] = {&throttle->waiting, &throttle->with_work};
    struct list *list = lists[throttle->is_turn_of_work];
    throttle->is_turn_of_work = !throttle->is_turn_of_work;
    if (list_is_empty(list))
        list = lists[throttle->is_turn_of_work];
    return list_is_empty(list) ? NULL : CONTAINER_OF(list->next, struct throttled, link);
}

static void read_in_turn(struct reactor_task *task)
{
    struct throttle *throttle = CONTAINER_OF(task, struct throttle, task);
    struct throttled *next = NULL;
    count_credit(throttle);
    while (throttle->credit > 0 && (next = next_in_turn(throttle)) != NULL) {
        list_remove(&next->link);
        throttle->read(next);
    }
    if (!list_is_empty(&throttle->waiting) || !list_is_empty(&throttle->with_work))
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
    list_init(&throttle->with_work);
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

bool throttle_is_free(struct throttle *throttle)
{
    count_credit(throttle);
    return throttle->credit > 0 && list_is_empty(&throttle->with_work);
}

void throttle_wait(struct throttle *throttle, struct throttled *throttled, bool has_work)
{
    list_append(has_work ? &throttle->with_work : &throttle->waiting, &throttled->link);
    reactor_in_next_ms(throttle->reactor, &throttle->task);
}

void throttle_leave(struct throttled *throttled)
{
    list_remove(&throttled->link);
}
