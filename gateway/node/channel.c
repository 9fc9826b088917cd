#include "gateway/node/channel.h"

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
    return note->is_withdrawal ? 0 : note->payload->len + CHANNEL_NOTE_BYTES;
}

static struct notification **place_of(struct channel *channel, uint32_t i)
{
    return i == 0 ? &channel->first : &channel->more[i - 1];
}

static enum err append(struct channel *channel, struct notification *note)
{
    if (channel->n > 0 && grow(channel) != ERR_OK)
        return ERR_NO_MEMORY;
    *place_of(channel, channel->n++) = notification_ref(note);
    channel->bytes += weight_of(note);
    channel->has_withdrawn |= note->is_withdrawal || note->replaces != 0;
    return ERR_OK;
}

static bool adjoins(const struct notification *last, const struct notification *note)
{
    return last->is_withdrawal && last->cause == GAP_COLLAPSED && last->seq + 1 == note->replaces &&
           epoch_equal(last->epoch, note->epoch);
}

/* Of a notification that does not fit: what it has replaced. Out of memory it is left out. */
static void leave_withdrawal(struct channel *channel, const struct notification *note)
{
    if (note->is_withdrawal || note->replaces == 0)
        return;
    struct notification **last = channel->n == 0 ? NULL : place_of(channel, channel->n - 1);
    bool is_longer = last != NULL && adjoins(*last, note);
    if (!is_longer && channel->n_shed == CHANNEL_WITHDRAWALS_MAX)
        return;
    struct notification *left = notification_new_withdrawal(
        note->epoch, is_longer ? (*last)->replaces : note->replaces, note->replaces);
    if (left == NULL)
        return;
    left->cause = GAP_COLLAPSED;
    if (is_longer) {
        notification_unref(*last);
        *last = notification_ref(left);
    } else if (append(channel, left) == ERR_OK) {
        channel->n_shed++;
    }
    notification_unref(left);
}

enum err channel_offer(struct channel *channel, struct notification *note, uint32_t max_bytes)
{
    enum err error = ERR_FULL;
    if (channel->n == 0 || weight_of(note) == 0 ||
        (uint64_t)channel->bytes + weight_of(note) <= max_bytes)
        error = append(channel, note);
    if (error == ERR_OK)
        return ERR_OK;
    channel->has_overflowed |= note->seq != 0;
    leave_withdrawal(channel, note);
    return error;
}

void channel_shed(struct channel *channel)
{
    struct channel left = {.n_shed = channel->n_shed, .has_overflowed = channel->has_overflowed};
    for (uint32_t i = 0; channel->has_withdrawn && i < channel->n; i++) {
        struct notification *note = channel_at(channel, i);
        if (!note->is_withdrawal)
            leave_withdrawal(&left, note);
        else if (append(&left, note) != ERR_OK)
            break; /* out of memory: the others are left out */
    }
    channel_clear(channel);
    *channel = left;
}

void channel_clear(struct channel *channel)
{
    for (uint32_t i = 0; i < channel->n; i++)
        notification_unref(channel_at(channel, i));
    free(channel->more);
    *channel = (struct channel){0};
}

/* One is made for nearly every push, and glibc's calloc has no thread cache. */
struct channel *channel_new(void)
{
    struct channel *channel = malloc(sizeof *channel);
    if (channel != NULL)
        *channel = (struct channel){0};
    return channel;
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
            return note->cause;
        if (!note->is_withdrawal && note->replaces == seq && seq != 0)
            return GAP_COLLAPSED;
    }
    return GAP_NONE;
}
