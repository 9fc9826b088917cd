#include "gateway/requests/blocked.h"

#include "gateway/base/log.h"
#include "gateway/node/worker.h"
#include "gateway/session/session_close.h"

#include <stdlib.h>

struct blocked_work {
    struct letter letter;
    struct node *node;
    size_t user_id_len;
    char user_id[];
};

static void close_blocked(struct letter *letter)
{
    struct blocked_work *work = CONTAINER_OF(letter, struct blocked_work, letter);
    struct span user_id = {work->user_id, work->user_id_len};
    struct client *client = client_map_find(work->node->map, user_id);
    if (client != NULL) {
        log_event(LOG_INFO, "sessions of a blocked user closed", LOG_SPAN("user", user_id),
                  LOG_INT("closed", client->n_sessions));
        session_close_all(client, ERR_BLOCKED, SPAN_NONE);
    }
    free(work);
}

void blocked_on_found(void *owner, struct span user_id)
{
    struct node *node = owner;
    struct blocked_work *work = malloc(sizeof *work + user_id.len);
    if (work == NULL)
        return; /* it is found again in a minute */
    work->node = node;
    work->user_id_len = user_id.len;
    memcpy(work->user_id, user_id.bytes, user_id.len);
    node_ask_home(node, user_id, &work->letter, close_blocked);
}
