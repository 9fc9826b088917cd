/* What is known of a user, and which users are online. Every node that has the user is asked for
 * his connections, and writes what was acknowledged there and is not in the store yet; then the
 * store is asked about the inbox. */
#include "gateway/requests/requests.h"

#include "gateway/node/node.h"
#include "gateway/requests/connections_json.h"

#include <stdlib.h>

struct user_work {
    struct store_ask ask;
    struct store_peek peek;
    struct node *node;
    struct gateway_user *user;
};

static void finish_user(struct user_work *work, enum err error)
{
    struct gateway_user *user = work->user;
    user->error = error;
    free(work);
    user->on_done(user);
}

static void on_peeked(struct store_request *request)
{
    struct user_work *work = CONTAINER_OF(request, struct user_work, peek.request);
    const struct store_peek *peek = &work->peek;
    struct gateway_user *user = work->user;
    if (peek->error == ERR_OK) {
        user->epoch = peek->epoch;
        user->head = peek->head;
        user->acked = peek->acked;
        user->pending = peek->pending;
        int64_t age_ms = store_now_of(work->node->store, user->user_id) - peek->oldest_time_ms;
        user->oldest_pending_ms = peek->pending > 0 && age_ms > 0 ? age_ms : 0;
        user->blocked_until_ms = peek->blocked_until_ms;
    }
    finish_user(work, peek->error);
}

static void take_connections(struct gateway_user *user, struct store_ask *ask)
{
    size_t n_shown = 0;
    for (struct store_text *text = ask->texts; text != NULL; text = text->next)
        n_shown +=
            connections_json_append((struct span){text->bytes, text->len}, &user->connections);
    store_ask_clear(ask);
    user->n_connections = ask->count;
    user->is_truncated = n_shown < ask->count;
    user->n_asked = ask->n_asked;
    user->n_answered = ask->n_answered;
}

/* At a stop the store may be closed already. */
static void on_nodes_asked(struct store_request *request)
{
    struct user_work *work = CONTAINER_OF(request, struct user_work, ask.request);
    struct gateway_user *user = work->user;
    take_connections(user, &work->ask);
    if (work->ask.error == ERR_NO_MEMORY || atomic_load(&work->node->is_stopping)) {
        finish_user(work, work->ask.error == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_STORE_UNAVAILABLE);
        return;
    }
    work->peek = (struct store_peek){
        .request = {.on_done = on_peeked, .lane = client_map_home(work->node->map, user->user_id)},
        .user_id = user->user_id,
    };
    store_peek(work->node->store, &work->peek);
}

void gateway_user(struct node *node, struct gateway_user *user)
{
    struct user_work *work = calloc(1, sizeof *work);
    user->n_connections = 0;
    user->is_truncated = false;
    user->n_asked = 0;
    user->n_answered = 0;
    user->epoch = (struct epoch){{0}};
    user->head = 0;
    user->acked = 0;
    user->pending = 0;
    user->oldest_pending_ms = 0;
    user->blocked_until_ms = 0;
    buf_init(&user->connections, GATEWAY_CONNECTIONS_MAX_BYTES);
    if (work == NULL) {
        user->error = ERR_NO_MEMORY;
        user->on_done(user);
        return;
    }
    work->node = node;
    work->user = user;
    work->ask = (struct store_ask){.request = {.on_done = on_nodes_asked},
                                   .user_id = user->user_id,
                                   .asked = {.kind = STORE_ASK_DESCRIBE}};
    store_ask(node->store, &work->ask);
}

void gateway_user_clear(struct gateway_user *user)
{
    buf_fini(&user->connections);
}

static void on_online_counted(struct store_request *request)
{
    struct gateway_online *online = CONTAINER_OF(request, struct gateway_online, store.request);
    online->on_done(online);
}

void gateway_online(struct node *node, struct gateway_online *online)
{
    for (size_t i = 0; i < online->n_users; i++)
        online->is_online[i] = client_map_count(node->map, online->users[i]) > 0;
    if (!store_is_shared(node->store)) {
        online->on_done(online);
        return;
    }
    online->store = (struct store_online){
        .request = {.on_done = on_online_counted},
        .n_users = online->n_users,
        .users = online->users,
        .is_online = online->is_online,
    };
    store_online(node->store, &online->store);
}
