#include "gateway/channel.h"

#include <stdlib.h>

static enum err grow(struct channel *channel)
{
    if (channel->n - 1 < channel->cap)
        return ERR_OK;
    uint32_t cap = channel->cap == 0 ? 8 : channel->cap * 2;
    struct notification **more = realloc(channel->more, cap * sizeof(struct notification *));
    if (more == NULL)
        return ERR_NO_MEMORY;
    channel->more = more;
    channel->cap = cap;
    return ERR_OK;
}

enum err channel_offer(struct channel *channel, struct notification *note, uint32_t max_bytes)
{
    enum err error = ERR_OK;
    if (channel->n > 0 && (uint64_t)channel->bytes + note->payload->len > max_bytes)
        error = ERR_FULL;
    else if (channel->n > 0)
        error = grow(channel);
    if (error != ERR_OK) {
        channel->has_overflowed |= note->seq != 0;
        return error;
    }
    if (channel->n == 0)
        channel->first = notification_ref(note);
    else
        channel->more[channel->n - 1] = notification_ref(note);
    channel->n++;
    channel->bytes += note->payload->len;
    return ERR_OK;
}

void channel_clear(struct channel *channel)
{
    for (uint32_t i = 0; i < channel->n; i++)
        notification_unref(channel_at(channel, i));
    free(channel->more);
    *channel = (struct channel){0};
}

void channel_free(struct channel *channel)
{
    if (channel == NULL)
        return;
    channel_clear(channel);
    free(channel);
}
