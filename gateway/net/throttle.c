#include "gateway/net/throttle.h"

struct throttle_address {
    struct address here; /* counts its waiting connections */
    struct line lines[THROTTLE_KINDS];
};

/* Credit is kept for at most one millisecond: more would allow a burst later. */
static void count_credit(struct throttle *throttle)
{
    int64_t now_ms = reactor_now_ms(throttle->reactor);
    throttle->credit += (now_ms - throttle->at_ms) * throttle->bytes_per_ms;
    throttle->at_ms = now_ms;
    if (throttle->credit > throttle->bytes_per_ms)
        throttle->credit = throttle->bytes_per_ms;
}

/* NULL: no connection waits. */
static struct throttled *next_in_turn(struct throttle *throttle)
{
    struct list *next = NULL;
    for (int i = 0; i < THROTTLE_KINDS && next == NULL; i++) {
        next = round_next(&throttle->rounds[throttle->turn_of]);
        throttle->turn_of = (throttle->turn_of + 1) % THROTTLE_KINDS;
    }
    return next == NULL ? NULL : CONTAINER_OF(next, struct throttled, link);
}

static void forget_throttled(struct throttle *throttle, struct throttled *throttled)
{
    addresses_leave(&throttle->addresses, &throttled->address->here);
    throttled->address = NULL;
}

static void take_throttled(struct throttle *throttle, struct throttled *throttled)
{
    enum throttle_kind kind = throttled->kind;
    round_take(&throttle->rounds[kind], &throttled->address->lines[kind], &throttled->link);
    forget_throttled(throttle, throttled);
}

static void read_in_turn(struct reactor_task *task)
{
    struct throttle *throttle = CONTAINER_OF(task, struct throttle, task);
    struct throttled *next = NULL;
    count_credit(throttle);
    while (throttle->credit > 0 && (next = next_in_turn(throttle)) != NULL) {
        take_throttled(throttle, next);
        throttle->read(next);
    }
    if (round_next(&throttle->rounds[THROTTLE_READ]) != NULL ||
        round_next(&throttle->rounds[THROTTLE_WORK]) != NULL)
        reactor_in_next_ms(throttle->reactor, &throttle->task);
}

enum err throttle_init(struct throttle *throttle, struct reactor *reactor, int64_t bytes_per_ms,
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
    for (int kind = 0; kind < THROTTLE_KINDS; kind++)
        round_init(&throttle->rounds[kind]);
    list_init(&throttle->task.link);
    return addresses_init(&throttle->addresses);
}

void throttle_fini(struct throttle *throttle)
{
    reactor_task_cancel(&throttle->task);
    addresses_fini(&throttle->addresses);
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
    return throttle->credit > 0 && round_next(&throttle->rounds[THROTTLE_WORK]) == NULL;
}

enum err throttle_wait(struct throttle *throttle, struct throttled *throttled,
                       enum throttle_kind kind, const struct ip *ip)
{
    struct address *here = addresses_enter(&throttle->addresses, ip, sizeof *throttled->address);
    if (here == NULL)
        return ERR_NO_MEMORY;
    struct throttle_address *address = CONTAINER_OF(here, struct throttle_address, here);
    for (int i = 0; here->n_here == 1 && i < THROTTLE_KINDS; i++)
        line_init(&address->lines[i]);
    throttled->address = address;
    throttled->kind = kind;
    list_init(&throttled->link);
    round_wait(&throttle->rounds[kind], &address->lines[kind], &throttled->link);
    reactor_in_next_ms(throttle->reactor, &throttle->task);
    return ERR_OK;
}

void throttle_leave(struct throttle *throttle, struct throttled *throttled)
{
    if (throttled->address == NULL)
        return;
    round_leave(&throttled->address->lines[throttled->kind], &throttled->link);
    forget_throttled(throttle, throttled);
}
