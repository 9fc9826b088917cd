#include "gateway/events/event_making.h"

#include "gateway/node/worker.h"

#include <stdio.h>

enum { FIRST = 1u };

static bool is_new(const struct event_making *making)
{
    return (making->missing & FIRST) != 0;
}

static void ask_making(struct event_making *making, unsigned partitions,
                       enum store_consumers_action action,
                       void (*on_done)(struct consumers_call *call))
{
    making->call.on_done = on_done;
    consumers_ask(making->events, &making->call, partitions, action);
}

static void post_answer(struct consumers_call *call, void (*deliver)(struct letter *letter))
{
    struct event_making *making = CONTAINER_OF(call, struct event_making, call);
    worker_post(making->home, &making->letter, deliver);
}

/* Why there is no room for one more consumer, with the names of all. */
static void describe_conflict(struct event_making *making)
{
    const struct store_consumers *answer = making->call.answers;
    while (answer->error != ERR_CONFLICT)
        answer++;
    size_t cap = sizeof making->detail;
    int len = snprintf(
        making->detail, cap,
        "there are %d consumers and webhook endpoints, and no more may be:", STORE_MAX_CONSUMERS);
    for (size_t i = 0; i < answer->n && len > 0 && (size_t)len < cap; i++) {
        const struct store_consumer *consumer = &answer->list[i];
        len += snprintf(making->detail + len, cap - (size_t)len, "%s %.*s", i == 0 ? "" : ",",
                        consumer->key_len - 1, consumer->key + 1);
    }
}

static void on_undone_letter(struct letter *letter)
{
    struct event_making *making = CONTAINER_OF(letter, struct event_making, letter);
    making->on_done(making);
}

static void on_undone(struct consumers_call *call)
{
    post_answer(call, on_undone_letter);
}

static void end_making(struct event_making *making, unsigned made)
{
    making->error = making->call.error;
    if (making->error == ERR_CONFLICT)
        describe_conflict(making);
    bool must_undo = making->error != ERR_OK && is_new(making) && made != 0 &&
                     !atomic_load(&making->events->is_stopped);
    if (must_undo)
        ask_making(making, made, CONSUMERS_REMOVE, on_undone);
    else
        making->on_done(making);
}

static void on_rest_letter(struct letter *letter)
{
    struct event_making *making = CONTAINER_OF(letter, struct event_making, letter);
    end_making(making, making->call.changed | FIRST);
}

static void on_rest_made(struct consumers_call *call)
{
    post_answer(call, on_rest_letter);
}

static void make_rest(struct event_making *making)
{
    making->call.from_now = is_new(making) && making->from_now;
    ask_making(making, making->missing & ~(unsigned)FIRST, CONSUMERS_ADD, on_rest_made);
}

static void on_first_letter(struct letter *letter)
{
    struct event_making *making = CONTAINER_OF(letter, struct event_making, letter);
    bool has_rest = (making->missing & ~(unsigned)FIRST) != 0;
    if (making->call.error == ERR_OK && has_rest && atomic_load(&making->events->is_stopped))
        making->call.error = ERR_STORE_UNAVAILABLE;
    if (making->call.error == ERR_OK && has_rest)
        make_rest(making);
    else
        end_making(making, 0);
}

static void on_first_made(struct consumers_call *call)
{
    post_answer(call, on_first_letter);
}

void event_making_begin(struct event_making *making, unsigned missing)
{
    making->missing = missing;
    making->call.key = making->key;
    if (!is_new(making)) {
        make_rest(making);
        return;
    }
    making->call.from_now = making->from_now;
    ask_making(making, FIRST, CONSUMERS_ADD, on_first_made);
}
