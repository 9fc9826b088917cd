/* One user's ordered queue of inbox events on their way from the store, or from a push with ttl 0,
 * to the user's home worker.
 * Threads: any thread offers and only the home worker takes, both under the lock of the user's
 * shard. Memory: the channel holds one reference to each event in it. Limits: it is bounded in
 * bytes. Events that do not fit stay in the inbox, where the sessions read them. If such a
 * notification has replaced another one, the channel keeps a withdrawal of the replaced number,
 * because a page of the inbox does not show that a number which was already sent to a session is
 * gone. */
#ifndef HERALD_CHANNEL_H
#define HERALD_CHANNEL_H

#include "proto/note/inbox_event.h"

struct channel {
    struct inbox_event first; /* most channels have one event, which needs no array */
    struct inbox_event *more;
    uint32_t n;
    uint32_t cap;            /* of more */
    uint32_t bytes;          /* of the data, and CHANNEL_NOTE_BYTES per notification */
    bool has_overflowed;     /* an event did not fit since the last take */
    bool has_withdrawn;      /* it has withdrawals, or notifications that replace others */
    bool has_lost_withdrawn; /* some that did not fit are not in it */
    uint16_t n_shed;         /* withdrawals made from notifications that did not fit */
};

/* What a notification adds to `bytes` besides its data: its own memory and its slot in the
 * channel. */
enum { CHANNEL_NOTE_BYTES = 128 };

/* Queues an event. ERR_OK: the channel has added a reference. ERR_FULL: the channel would exceed
 * max_bytes (one notification always fits, and so do withdrawals). Then a notification with a
 * number sets has_overflowed, and one that replaces another leaves a withdrawal (up to
 * CHANNEL_WITHDRAWALS_MAX; adjacent ones are merged). ERR_NO_MEMORY: as ERR_FULL. Where a
 * withdrawal could not be left, has_lost_withdrawn is set. */
enum { CHANNEL_WITHDRAWALS_MAX = 1000 };
MUST_CHECK enum err channel_offer(struct channel *channel, struct inbox_event event,
                                  uint32_t max_bytes);

static inline struct inbox_event channel_at(const struct channel *channel, uint32_t i)
{
    return i == 0 ? channel->first : channel->more[i - 1];
}

/* Does an event in the channel withdraw or replace the number? GAP_NONE: no. */
enum gap_cause channel_withdrawn(const struct channel *channel, uint64_t seq);

/* Drops the notifications. Withdrawals remain, including those of numbers that the dropped
 * notifications have replaced. */
void channel_shed(struct channel *channel);

/* Drops all events and their references. */
void channel_clear(struct channel *channel);

/* Makes an empty channel. NULL: out of memory. */
struct channel *channel_new(void);

/* Clears it and frees it. NULL is fine. */
void channel_free(struct channel *channel);

#endif
