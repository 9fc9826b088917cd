/* A block is kept before the sessions are closed. A session that enters before it is kept is in its
 * node's client map when that is asked to close the sessions; one that enters after it reads the
 * block with its first page. So none slips in between. A node that could not be asked finds the
 * block with its next page. What waits is purged last, and only if the block was kept. */
#include "gateway/requests/requests.h"

#include "gateway/base/log.h"
#include "gateway/node/node.h"

#include <stdlib.h>

struct kick_work {
    struct store_block block;
    struct store_ask ask;
    struct store_withdraw purge;
    struct node *node;
    struct gateway_kick *kick;
};

static void finish_kick(struct kick_work *work)
{
    struct gateway_kick *kick = work->kick;
    free(work);
    log_event(LOG_INFO, "user kicked", LOG_SPAN("user", kick->user_id),
              LOG_INT("closed", (int64_t)kick->closed), LOG_INT("purged", (int64_t)kick->purged),
              LOG_INT("blocked_until_ms", kick->blocked_until_ms),
              LOG_INT("nodes", kick->n_answered),
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

/* The sessions are closed. At a stop the store may be closed as well. */
static void purge_inbox(struct kick_work *work)
{
    struct gateway_kick *kick = work->kick;
    if (!kick->is_purge || kick->error != ERR_OK) {
        finish_kick(work);
        return;
    }
    if (atomic_load(&work->node->is_stopping)) {
        kick->error = ERR_STORE_UNAVAILABLE;
        finish_kick(work);
        return;
    }
    work->purge = (struct store_withdraw){
        .request = {.on_done = on_purged, .lane = client_map_home(work->node->map, kick->user_id)},
        .user_id = kick->user_id,
        .is_all = true,
    };
    store_withdraw(work->node->store, &work->purge);
}

static void on_nodes_asked(struct store_request *request)
{
    struct kick_work *work = CONTAINER_OF(request, struct kick_work, ask.request);
    struct gateway_kick *kick = work->kick;
    struct store_ask *ask = &work->ask;
    store_ask_clear(ask); /* nobody was asked for a text */
    kick->closed = ask->count;
    kick->n_asked = ask->n_asked;
    kick->n_answered = ask->n_answered;
    kick->is_alone = ask->is_alone;
    if (kick->error == ERR_OK)
        kick->error = ask->error;
    purge_inbox(work);
}

static void close_sessions(struct kick_work *work)
{
    const struct gateway_kick *kick = work->kick;
    if (atomic_load(&work->node->is_stopping)) { /* this node closes them all */
        purge_inbox(work);
        return;
    }
    work->ask = (struct store_ask){
        .request = {.on_done = on_nodes_asked},
        .user_id = kick->user_id,
        .asked = {.kind = STORE_ASK_KICK,
                  .reason = kick->reason,
                  .until_ms = kick->blocked_until_ms},
    };
    store_ask(work->node->store, &work->ask);
}

static void on_blocked(struct store_request *request)
{
    struct kick_work *work = CONTAINER_OF(request, struct kick_work, block.request);
    work->kick->error = work->block.error;
    work->kick->blocked_until_ms = work->block.until_ms;
    close_sessions(work);
}

void gateway_kick(struct node *node, struct gateway_kick *kick)
{
    struct kick_work *work = calloc(1, sizeof *work);
    kick->error = ERR_OK;
    kick->closed = 0;
    kick->n_asked = 0;
    kick->n_answered = 0;
    kick->is_alone = false;
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
        close_sessions(work);
        return;
    }
    work->block = (struct store_block){
        .request = {.on_done = on_blocked, .lane = client_map_home(node->map, kick->user_id)},
        .user_id = kick->user_id,
        .for_s = kick->block_s,
    };
    store_block(node->store, &work->block);
}
