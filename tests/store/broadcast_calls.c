#include "tests/store/broadcast_calls.h"

static void on_broadcast_done(struct store_request *request)
{
    call_answer(&((struct broadcast_call *)(void *)request)->call);
}

void broadcast_begin(struct store *to, struct broadcast_call *call, const char *text)
{
    call_init(&call->call);
    call->broadcast = (struct store_broadcast){.request = {.on_done = on_broadcast_done},
                                               .payload = payload_new(span_of(text))};
    store_broadcast(to, &call->broadcast);
}

void broadcast_end(struct broadcast_call *call)
{
    call_wait(&call->call);
    payload_unref(call->broadcast.payload);
}

struct store_broadcast broadcast_one(struct store *to, const char *text)
{
    struct broadcast_call call;
    broadcast_begin(to, &call, text);
    broadcast_end(&call);
    return call.broadcast;
}
