/* One user's ordered queue of inbox events on their way from the store, or from a push with ttl 0,
 * to the user's home worker.
 * Threads: any thread offers and only the home worker takes, both under the lock of the user's
 * shard. Memory: the channel holds one reference to each event in it. Limits: it is bounded in
 * bytes. What does not fit stays in the inbox, and the sessions read it there. Even so the channel
 * keeps a withdrawal of the number that such a notification has replaced, because a page of the
 * inbox does not show that a number which a session was already sent is gone. */
#ifndef HERALD_CHANNEL_H
#define HERALD_CHANNEL_H

#include "proto/note/inbox_event.h"

struct channel {
    struct inbox_event first; /* the usual case is one: no array for it */
    struct inbox_event *more;
    uint32_t n;
    uint32_t cap;        /* of more */
    uint32_t bytes;      /* of data, and CHANNEL_NOTE_BYTES per notification */
    bool has_overflowed; /* something was left to the inbox since the last take */
    bool has_withdrawn;  /* withdrawals, or notifications that replace others, are among them */
    uint16_t n_shed;     /* withdrawals that were made of what did not fit */
};

/* What a notification weighs besides its data: its own memory, and its slot in the channel. */
enum { CHANNEL_NOTE_BYTES = 128 };

/* ERR_OK: the channel holds a reference of its own. ERR_FULL: it would pass max_bytes (one
 * notification always fits, and so do withdrawals); a numbered one sets has_overflowed, and one
 * that replaces another leaves a withdrawal (up to CHANNEL_WITHDRAWALS_MAX; adjoining ones are
 * merged). ERR_NO_MEMORY: as ERR_FULL. */
enum { CHANNEL_WITHDRAWALS_MAX = 1000 };
MUST_CHECK enum err channel_offer(struct channel *channel, struct inbox_event event,
                                  uint32_t max_bytes);

static inline struct inbox_event channel_at(const struct channel *channel, uint32_t i)
{
    return i == 0 ? channel->first : channel->more[i - 1];
}

/* Does anything in the channel withdraw that number, or replace it? GAP_NONE: no. */
enum gap_cause channel_withdrawn(const struct channel *channel, uint64_t seq);

/* Leaves nothing but the withdrawals, including those of what the notifications have replaced. */
void channel_shed(struct channel *channel);

/* Gives back every reference. */
void channel_clear(struct channel *channel);

/* An empty one. NULL: out of memory. */
struct channel *channel_new(void);

/* Clears it and frees it. NULL is fine. */
void channel_free(struct channel *channel);

#endif
