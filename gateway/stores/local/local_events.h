/* Steps that the requests of the event log share. For the local_*.c files. */
#ifndef HERALD_STORE_LOCAL_EVENTS_H
#define HERALD_STORE_LOCAL_EVENTS_H

#include "gateway/store/store_event_request.h"
#include "gateway/stores/local/local_state.h"

/* NULL: it is no reserved user. */
struct partition *local_partition_of(const struct local_state *state, struct span user_id);

/* Can records be added? What only takes away needs is_up alone. */
static inline bool local_can_add(const struct local_state *state)
{
    return state->is_up && !state->is_full;
}

/* Gives a partition that has none its epoch. */
MUST_CHECK enum err local_begin_partition(struct local_state *state, struct partition *partition);

/* Is it three quarters full? Then what was accepted before could be pushed out soon. Before it says
 * so, what no consumer will read leaves. */
bool local_is_partition_filling(struct local_state *state, struct partition *partition);

/* An event on its way into the partition, without a number. NULL: no memory. */
struct notification *local_make_event(const struct local_state *state,
                                      const struct partition *partition, struct span data,
                                      int64_t now_ms);

/* Room on the disk for records of the event log. ERR_STORE_UNAVAILABLE. */
MUST_CHECK enum err local_take_event_room(struct local_state *state, uint64_t bytes);

/* Room for n events with so many bytes of data, on the disk and in memory, so that local_put_event
 * cannot fail. ERR_STORE_UNAVAILABLE: nothing was done. */
MUST_CHECK enum err local_reserve_events(struct local_state *state, struct partition *partition,
                                         size_t n, uint64_t bytes);

/* Numbers it, and keeps it; the oldest leave if they must. Takes over the reference. */
void local_put_event(struct local_state *state, struct partition *partition,
                     struct notification *note);

/* What all consumers have read leaves. Room in the group is reserved for all entries. */
void local_drop_read(struct local_state *state, struct partition *partition);

/* Drops what has expired, from the low end, and forgets consumers that nobody has heard of for
 * long. Once a second. */
void local_sweep_events(struct local_state *state, int64_t now_ms);

/* The part of store_serve that is about who is online. */
void local_judge_presence(struct local_state *state, struct store_serve *serve, int64_t now_ms);

/* store_page, store_ack and store_peek of a reserved user. */
void local_page_partition(struct local_state *state, struct store_page *page,
                          struct partition *partition);
void local_ack_partition(struct local_state *state, struct store_ack *ack,
                         struct partition *partition);
void local_peek_partition(struct local_state *state, struct store_peek *peek,
                          struct partition *partition);

#endif
