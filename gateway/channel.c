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

static uint32_t weight_of(const struct notification *note)
{
    return note->is_withdrawal ? 0 : note->payload->len;
}

enum err channel_offer(struct channel *channel, struct notification *note, uint32_t max_bytes)
{
    enum err error = ERR_OK;
    if (channel->n > 0 && (uint64_t)channel->bytes + weight_of(note) > max_bytes)
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
    channel->bytes += weight_of(note);
    channel->has_withdrawn |= note->is_withdrawal || note->replaces != 0;
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

enum gap_cause channel_withdrawn(const struct channel *channel, uint64_t seq)
{
    for (uint32_t i = 0; channel != NULL && channel->has_withdrawn && i < channel->n; i++) {
        const struct notification *note = channel_at(channel, i);
        if (note->is_withdrawal && note->replaces <= seq && seq <= note->seq)
            return GAP_CANCELLED;
        if (!note->is_withdrawal && note->replaces == seq && seq != 0)
            return GAP_COLLAPSED;
    }
    return GAP_NONE;
}
