/* A block is kept before the sessions are closed. A session that enters before it is kept is in the
 * client map when the sessions are closed; one that enters after it reads the block with its first
 * page. So none slips in between. What waits is purged last, and only if the block was kept. */
#include "gateway/requests/requests.h"

#include "gateway/base/log.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/node/node.h"
#include "gateway/session/session_close.h"

#include <stdlib.h>

struct kick_work {
    struct letter letter;
    struct store_block block;
    struct store_withdraw purge;
    struct node *node;
    struct gateway_kick *kick;
};

static void finish_kick(struct kick_work *work)
{
    struct gateway_kick *kick = work->kick;
    free(work);
    log_event(LOG_INFO, "user kicked", LOG_SPAN("user", kick->user_id),
              LOG_INT("closed", kick->closed), LOG_INT("purged", kick->purged),
              LOG_INT("blocked_until_ms", kick->blocked_until_ms),
              LOG_TEXT("error", kick->error != ERR_OK ? error_title(kick->error) : "none"));
    kick->on_done(kick);
}

static void on_purged(struct store_request *request)
{
    struct kick_work *work = CONTAINER_OF(request, struct kick_work, purge.request);
    work->kick->error = work->purge.error;
    work->kick->purged = work->purge.n_removed;
    finish_kick(work);
}

static void remember_streams(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (CONTAINER_OF(link, struct session, link)->level == LEVEL_SSE)
            kicked_streams_remember(client_worker(client), client_user_id(client));
    }
}

static void on_kick_letter(struct letter *letter)
{
    struct kick_work *work = CONTAINER_OF(letter, struct kick_work, letter);
    struct gateway_kick *kick = work->kick;
    struct client *client = client_map_find(work->node->map, kick->user_id);
    if (client != NULL) {
        kick->closed = client->n_sessions;
        remember_streams(client);
        session_close_all(client, ERR_KICKED, kick->reason);
    }
    if (!kick->is_purge || kick->error != ERR_OK) {
        finish_kick(work);
        return;
    }
    if (atomic_load(&work->node->is_stopping)) { /* the store may be closed already */
        kick->error = ERR_STORE_UNAVAILABLE;
        finish_kick(work);
        return;
    }
    work->purge = (struct store_withdraw){
        .request = {.on_done = on_purged, .lane = node_home(work->node, kick->user_id)->index},
        .user_id = kick->user_id,
        .is_all = true,
    };
    store_withdraw(work->node->store, &work->purge);
}

static void on_blocked(struct store_request *request)
{
    struct kick_work *work = CONTAINER_OF(request, struct kick_work, block.request);
    work->kick->error = work->block.error;
    work->kick->blocked_until_ms = work->block.until_ms;
    node_ask_home(work->node, work->kick->user_id, &work->letter, on_kick_letter);
}

void gateway_kick(struct node *node, struct gateway_kick *kick)
{
    struct kick_work *work = calloc(1, sizeof *work);
    kick->error = ERR_OK;
    kick->closed = 0;
    kick->purged = 0;
    kick->blocked_until_ms = 0;
    if (work == NULL) {
        kick->error = ERR_NO_MEMORY;
        kick->on_done(kick);
        return;
    }
    work->node = node;
    work->kick = kick;
    if (kick->block_s == 0) {
        node_ask_home(node, kick->user_id, &work->letter, on_kick_letter);
        return;
    }
    work->block = (struct store_block){
        .request = {.on_done = on_blocked, .lane = client_map_home(node->map, kick->user_id)},
        .user_id = kick->user_id,
        .for_s = kick->block_s,
    };
    store_block(node->store, &work->block);
}
