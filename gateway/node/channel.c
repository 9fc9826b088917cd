#include "gateway/node/channel.h"

#include <stdlib.h>

static enum err grow_channel(struct channel *channel)
{
    if (channel->n - 1 < channel->cap)
        return ERR_OK;
    uint32_t cap = channel->cap == 0 ? 8 : channel->cap * 2;
    struct inbox_event *more = realloc(channel->more, cap * sizeof *more);
    if (more == NULL)
        return ERR_NO_MEMORY;
    channel->more = more;
    channel->cap = cap;
    return ERR_OK;
}

static uint32_t weight_of(struct inbox_event event)
{
    return event.kind == INBOX_WITHDRAWAL ? 0 : event.note->payload->len + CHANNEL_NOTE_BYTES;
}

/* The number that a notification has replaced; 0: none. */
static uint64_t replaced_by(struct inbox_event event)
{
    return event.kind == INBOX_NOTIFICATION ? event.note->replaces : 0;
}

static struct inbox_event *slot_of(struct channel *channel, uint32_t i)
{
    return i == 0 ? &channel->first : &channel->more[i - 1];
}

static enum err append_event(struct channel *channel, struct inbox_event event)
{
    if (channel->n > 0 && grow_channel(channel) != ERR_OK)
        return ERR_NO_MEMORY;
    *slot_of(channel, channel->n++) = inbox_event_ref(event);
    channel->bytes += weight_of(event);
    channel->has_withdrawn |= event.kind == INBOX_WITHDRAWAL || event.note->replaces != 0;
    return ERR_OK;
}

/* Does the channel end with a withdrawal that `replaced` can be added to? */
static bool can_extend(const struct inbox_event *last, struct epoch epoch, uint64_t replaced)
{
    return last != NULL && last->kind == INBOX_WITHDRAWAL &&
           last->withdrawal->cause == GAP_COLLAPSED && last->withdrawal->to + 1 == replaced &&
           epoch_equal(last->withdrawal->epoch, epoch);
}

/* Queues a withdrawal of a number that was replaced. false: memory is short, or there are too many.
 */
static bool queue_replaced(struct channel *channel, struct epoch epoch, uint64_t replaced)
{
    struct inbox_event *last = channel->n == 0 ? NULL : slot_of(channel, channel->n - 1);
    bool is_longer = can_extend(last, epoch, replaced);
    if (!is_longer && channel->n_shed == CHANNEL_WITHDRAWALS_MAX)
        return false;
    struct withdrawal *made = withdrawal_new(epoch, is_longer ? last->withdrawal->from : replaced,
                                             replaced, GAP_COLLAPSED);
    bool is_queued = made != NULL;
    if (is_queued && is_longer) {
        inbox_event_unref(*last);
        last->withdrawal = withdrawal_ref(made);
    } else if (is_queued) {
        is_queued = append_event(channel, inbox_event_of_withdrawal(made)) == ERR_OK;
        channel->n_shed += is_queued;
    }
    withdrawal_unref(made);
    return is_queued;
}

/* For an event that does not fit: what it withdraws must not be forgotten. */
static void keep_withdrawn(struct channel *channel, struct inbox_event event)
{
    uint64_t replaced = replaced_by(event);
    if (event.kind == INBOX_WITHDRAWAL ||
        (replaced != 0 && !queue_replaced(channel, event.note->epoch, replaced)))
        channel->has_lost_withdrawn = true;
}

enum err channel_offer(struct channel *channel, struct inbox_event event, uint32_t max_bytes)
{
    enum err error = ERR_FULL;
    uint32_t weight = weight_of(event);
    if (channel->n == 0 || weight == 0 || (uint64_t)channel->bytes + weight <= max_bytes)
        error = append_event(channel, event);
    if (error == ERR_OK)
        return ERR_OK;
    channel->has_overflowed |= inbox_event_seq(event) != 0;
    keep_withdrawn(channel, event);
    return error;
}

void channel_shed(struct channel *channel)
{
    struct channel left = {.n_shed = channel->n_shed,
                           .has_overflowed = channel->has_overflowed,
                           .has_lost_withdrawn = channel->has_lost_withdrawn};
    for (uint32_t i = 0; channel->has_withdrawn && i < channel->n; i++) {
        struct inbox_event event = channel_at(channel, i);
        if (event.kind == INBOX_NOTIFICATION || append_event(&left, event) != ERR_OK)
            keep_withdrawn(&left, event);
    }
    channel_clear(channel);
    *channel = left;
}

static void drop_events(struct channel *channel)
{
    for (uint32_t i = 0; i < channel->n; i++)
        inbox_event_unref(channel_at(channel, i));
    free(channel->more);
}

void channel_clear(struct channel *channel)
{
    drop_events(channel);
    *channel = (struct channel){0};
}

/* Not calloc: a channel is made for nearly every push, and glibc's calloc has no thread cache. */
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
    drop_events(channel);
    free(channel);
}

enum gap_cause channel_withdrawn(const struct channel *channel, uint64_t seq)
{
    for (uint32_t i = 0; channel != NULL && channel->has_withdrawn && i < channel->n; i++) {
        struct inbox_event event = channel_at(channel, i);
        if (event.kind == INBOX_WITHDRAWAL && withdrawal_has(event.withdrawal, seq))
            return event.withdrawal->cause;
        if (seq != 0 && replaced_by(event) == seq)
            return GAP_COLLAPSED;
    }
    return GAP_NONE;
}
