/* What a client needs only now and then is apart from it, because there are far more clients than
 * there are who need it at one moment. */
#include "gateway/node/client.h"

#include <stdlib.h>

/* The allocator gives out 16 n + 8 bytes: this is 136 with a userId of nine bytes. */
_Static_assert(offsetof(struct client, user_id) <= 127, "one for each user who is online");

struct client *client_new(struct span user_id, uint32_t hash, struct client_more *empty)
{
    size_t len = offsetof(struct client, user_id) + user_id.len; /* the padding is used */
    struct client *client = calloc(1, len < sizeof *client ? sizeof *client : len);
    if (client == NULL)
        return NULL;
    client->hash = hash;
    client->more = empty;
    list_init(&client->sessions);
    client->user_id_len = (uint8_t)user_id.len;
    memcpy(client->user_id, user_id.bytes, user_id.len);
    return client;
}

void client_free(struct client *client)
{
    channel_free(client->channel);
    if (client->more != client->more->empty) {
        free(client->more->latencies.followed);
        free(client->more);
    }
    free(client);
}

struct client_more *client_more(struct client *client)
{
    struct client_more *empty = client->more->empty;
    if (client->more != empty)
        return client->more;
    struct client_more *more = malloc(sizeof *more);
    if (more == NULL)
        return NULL;
    *more = *empty;
    client->more = more;
    return more;
}

void client_trim(struct client *client)
{
    struct client_more *more = client->more;
    bool is_needed =
        more->devices != NULL || more->kept != NULL || more->latencies.first < more->latencies.end;
    if (is_needed || more == more->empty)
        return;
    client->more = more->empty;
    free(more->latencies.followed);
    free(more);
}

enum err client_keep(struct client *client)
{
    struct client_more *more = client_more(client);
    if (more == NULL)
        return ERR_NO_MEMORY;
    if (more->kept == NULL)
        more->kept = channel_new();
    if (more->kept != NULL)
        return ERR_OK;
    client_trim(client);
    return ERR_NO_MEMORY;
}

void client_drop_kept(struct client *client)
{
    if (client->more->kept == NULL)
        return;
    channel_free(client->more->kept);
    client->more->kept = NULL;
    client_trim(client);
}
