/* One user's ordered queue of notifications on their way from whoever numbers them to the user's
 * home worker. Any thread offers and only the home worker takes, both under the lock of the user's
 * shard. The channel holds one reference to each notification in it. It is bounded in bytes: what
 * does not fit stays in the inbox, and the sessions read it there. What it has replaced is told all
 * the same, because the inbox does not show that of a number that a session was written already. */
#ifndef HERALD_CHANNEL_H
#define HERALD_CHANNEL_H

#include "proto/note/gap.h"
#include "proto/note/notification.h"

struct channel {
    struct notification *first; /* the usual case is one: no array for it */
    struct notification **more;
    uint32_t n;
    uint32_t cap;        /* of more */
    uint32_t bytes;      /* of data, and CHANNEL_NOTE_BYTES a notification */
    bool has_overflowed; /* something was left to the inbox since the last take */
    bool has_withdrawn;  /* withdrawals, or notifications that replace others, are among them */
    uint16_t n_shed;     /* withdrawals that were made of what did not fit */
};

/* What a notification weighs besides its data: itself, and its place. */
enum { CHANNEL_NOTE_BYTES = 128 };

/* ERR_OK: the channel holds a reference of its own. ERR_FULL: it would pass max_bytes (one
 * notification always fits, and withdrawals do); a numbered one sets has_overflowed, and a
 * withdrawal is left of one that replaces another (up to CHANNEL_WITHDRAWALS_MAX; adjoining ones
 * are one). ERR_NO_MEMORY: as ERR_FULL. */
enum { CHANNEL_WITHDRAWALS_MAX = 1000 };
MUST_CHECK enum err channel_offer(struct channel *channel, struct notification *note,
                                  uint32_t max_bytes);

static inline struct notification *channel_at(const struct channel *channel, uint32_t i)
{
    return i == 0 ? channel->first : channel->more[i - 1];
}

/* Does anything in the channel withdraw that number, or replace it? GAP_NONE: no. */
enum gap_cause channel_withdrawn(const struct channel *channel, uint64_t seq);

/* Leaves nothing but the withdrawals, also of what the notifications have replaced. */
void channel_shed(struct channel *channel);

/* Gives back every reference. */
void channel_clear(struct channel *channel);

/* An empty one. NULL: out of memory. */
struct channel *channel_new(void);

/* Clears it and frees it. NULL is fine. */
void channel_free(struct channel *channel);

#endif
