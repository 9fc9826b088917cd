#include "gateway/delivery/kicks.h"

#include "gateway/delivery/kicked_streams.h"
#include "gateway/session/session_close.h"

#include <stdlib.h>

struct held_kick {
    struct list link; /* in worker->held_kicks */
    size_t user_id_len;
    size_t reason_len;
    char bytes[]; /* the userId, the reason */
};

static void close_kicked(struct client *client, struct span reason)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (CONTAINER_OF(link, struct session, link)->level == LEVEL_SSE)
            kicked_streams_remember(client_worker(client), client_user_id(client));
    }
    session_close_all(client, ERR_KICKED, reason);
}

static struct held_kick *new_held_kick(struct span user_id, struct span reason)
{
    struct held_kick *kick = malloc(sizeof *kick + user_id.len + reason.len);
    if (kick == NULL)
        return NULL;
    kick->user_id_len = user_id.len;
    kick->reason_len = reason.len;
    memcpy(kick->bytes, user_id.bytes, user_id.len);
    if (reason.len > 0)
        memcpy(kick->bytes + user_id.len, reason.bytes, reason.len);
    return kick;
}

void kicks_close(struct client *client, struct span reason)
{
    struct held_kick *kick =
        session_any_is_held(client) ? new_held_kick(client_user_id(client), reason) : NULL;
    if (kick == NULL)
        close_kicked(client, reason);
    else
        list_append(&client_worker(client)->held_kicks, &kick->link);
}

void kicks_carry_out(struct worker *worker)
{
    while (!list_is_empty(&worker->held_kicks)) {
        struct held_kick *kick = CONTAINER_OF(worker->held_kicks.next, struct held_kick, link);
        struct span user_id = {kick->bytes, kick->user_id_len};
        struct client *client = client_map_find(worker->node->map, user_id);
        if (client != NULL)
            close_kicked(client, (struct span){kick->bytes + user_id.len, kick->reason_len});
        list_remove(&kick->link);
        free(kick);
    }
}

void kicks_free(struct worker *worker)
{
    LIST_FOR_EACH_SAFE(link, &worker->held_kicks)
    {
        free(CONTAINER_OF(link, struct held_kick, link));
    }
    list_init(&worker->held_kicks);
}
