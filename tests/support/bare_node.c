#include "tests/support/bare_node.h"

#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/port/handover.h"
#include "gateway/requests/push_waits.h"
#include "gateway/upgrade/upgrade.h"

static const struct session_events session_events = {
    .on_identified = handover_identified,
    .on_acked = positions_acked,
    .on_drained = replay_drained,
    .on_leave = delivery_leave,
};

static const worker_command_fn command_fns[COMMANDS] = {
    [COMMAND_STORE_IS_BACK] = replay_try_again,
    [COMMAND_END_WAITS] = push_waits_stop,
};

void bare_node_init(struct node *node, struct options *options, struct worker **worker)
{
    *options = (struct options){
        .auth = "none",
        .jwt_keys = "",
        .jwt_user_claim = "sub",
        .jwt_audience_claim = "aud",
        .token_cookie = "",
        .insecure = true,
        .ping_interval = 10000,
        .silence_timeout = 20000,
        .slow_timeout = 60000,
        .auth_timeout = 10000,
        .head_timeout = 10000,
        .max_head = 16384,
        .max_message = 65536,
        .session_max_bytes = 262144,
        .max_connections_per_user = 32,
        .inbox_max = 1000,
        .inbox_max_bytes = 1048576,
    };
    *node = (struct node){
        .options = options,
        .workers = worker,
        .n_workers = 1,
        .session_events = &session_events,
        .command_fns = command_fns,
        .delivery_events = {.on_position = push_waits_acked},
        .max_connections = 100,
        .max_sockets = 100,
        .pages_at_once = REPLAY_PAGES_AT_ONCE,
    };
    outages_init(&node->outages);
}

enum err bare_node_open(struct node *node)
{
    uint32_t queue_bytes = (uint32_t)node->options->session_max_bytes;
    enum err error = client_map_new(1, queue_bytes, delivery_on_letter, &node->map);
    if (error != ERR_OK)
        return error;
    error = push_waits_new(1, &node->wait_table);
    if (error != ERR_OK)
        goto free_map;
    error = upgrade_new(&node->upgrade);
    if (error != ERR_OK)
        goto free_waits;
    error = worker_new(node, 0, replay_try_again, &node->workers[0]);
    if (error != ERR_OK)
        goto free_upgrade;
    error = delivery_new(node->workers[0]);
    if (error == ERR_OK)
        return ERR_OK;
    delivery_free(node->workers[0]);
    worker_free(node->workers[0]);
free_upgrade:
    upgrade_free(node->upgrade);
free_waits:
    push_waits_free(node->wait_table);
free_map:
    client_map_free(node->map);
    return error;
}

void bare_node_close(struct node *node)
{
    delivery_free(node->workers[0]);
    worker_free(node->workers[0]);
    upgrade_free(node->upgrade);
    push_waits_free(node->wait_table);
    client_map_free(node->map);
}
