#include "tests/store/ask_calls.h"

static void on_asked(struct store_request *request)
{
    call_answer(&((struct ask_call *)(void *)request)->call);
}

void ask_begin(struct store *to, struct ask_call *call, const char *user, struct store_asked asked)
{
    call_init(&call->call);
    call->ask = (struct store_ask){
        .request = {.on_done = on_asked}, .user_id = span_of(user), .asked = asked};
    store_ask(to, &call->ask);
}

void ask_end(struct ask_call *call)
{
    call_wait(&call->call);
}

struct store_ask ask_one(struct store *to, const char *user, struct store_asked asked)
{
    struct ask_call call;
    ask_begin(to, &call, user, asked);
    ask_end(&call);
    store_ask_clear(&call.ask);
    return call.ask;
}

struct send_call {
    struct store_append send;
    struct call call;
};

static void on_sent(struct store_request *request)
{
    call_answer(&((struct send_call *)(void *)request)->call);
}

struct store_target send_one(struct store *to, const char *user, struct span data)
{
    return send_to_connection(to, user, 0, data);
}

struct store_target send_to_connection(struct store *to, const char *user, uint64_t connection,
                                       struct span data)
{
    struct store_target target = {.user_id = span_of(user)};
    struct send_call call = {.send = {.request = {.on_done = on_sent},
                                      .payload = payload_new(data),
                                      .connection = connection,
                                      .n_targets = 1,
                                      .targets = &target}};
    call_init(&call.call);
    is_inside_a_call = true;
    store_send_many(to, &call.send);
    is_inside_a_call = false;
    call_wait(&call.call);
    payload_unref(call.send.payload);
    return target;
}

struct online_call {
    struct store_online online;
    struct call call;
};

static void on_online(struct store_request *request)
{
    call_answer(&((struct online_call *)(void *)request)->call);
}

enum err online_of(struct store *to, const struct span *users, size_t n, bool *is_online)
{
    struct online_call call = {.online = {.request = {.on_done = on_online},
                                          .n_users = n,
                                          .users = users,
                                          .is_online = is_online}};
    call_init(&call.call);
    is_inside_a_call = true;
    store_online(to, &call.online);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.online.error;
}
