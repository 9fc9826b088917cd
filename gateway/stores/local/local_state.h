/* What a request of a local store works on, and the steps that several of them share. For the
 * local_*.c files; for one thread at a time. */
#ifndef HERALD_STORE_LOCAL_STATE_H
#define HERALD_STORE_LOCAL_STATE_H

#include "gateway/stores/local/local_backing.h"

enum { STORE_FORGET_DAYS = 30 };

/* The wall clock, or a simulation's. */
struct store_clock {
    int64_t (*now_ms)(void *owner);
    void *owner;
};

/* Whose the records are (store_upgrade.h). */
enum local_tenure {
    LOCAL_HERE,
    LOCAL_AWAITED, /* still the process's before this one */
    LOCAL_LET_GO   /* the next process's */
};

struct local_state {
    struct backing *backing;
    enum local_tenure tenure; /* unless LOCAL_HERE it is neither up nor readable */
    uint32_t inbox_max;
    uint64_t inbox_max_bytes;
    uint32_t events_max; /* a partition */
    uint64_t events_max_bytes;
    int64_t event_ttl_ms;
    uint32_t alerts_max;
    int64_t idempotency_window_ms;
    size_t idempotency_max;
    struct store_clock clock;
    struct local_index index;
    struct group group;
    struct expiring_table *tickets;
    bool is_up;   /* groups can be committed */
    bool is_full; /* but only those that add nothing: the backing has no room, and said why */
    char why_full[STORE_WHY_MAX_BYTES];
    bool is_unfinished; /* a request has more to change than the group may; it is carried out again
                         */
    bool is_at_ceiling; /* the last append was refused for the store's own ceiling */
    bool is_readable;   /* the index is that of what is kept */
    int64_t swept_ms;   /* when the last slice was swept */
};

/* How many records more the group may change: as many as it likes, unless the backing is full. */
static inline size_t local_changes_left(const struct local_state *state)
{
    const struct group *group = &state->group;
    size_t changed = group->n_dels - group->n_event_dels + group->n_users + group->n_partitions;
    size_t max = state->is_full ? state->backing->full_changes : SIZE_MAX;
    return changed < max ? max - changed : 0;
}

static inline int64_t local_now_ms(const struct local_state *state)
{
    return state->clock.now_ms(state->clock.owner);
}

uint16_t local_day_of(int64_t time_ms); /* in days since 1970, as signs of life are kept */

/* NULL: no memory, or no randomness. */
struct inbox *local_add_user(struct local_state *state, struct span user_id, int64_t now_ms);

/* Does the caller know a higher number of this epoch than we ever gave? Then the file is an older
 * one. A caller that knows another epoch learns of the present one by the answer. */
bool local_has_lost_numbers(const struct inbox *inbox, struct epoch known_epoch,
                            uint64_t known_head);
MUST_CHECK enum err local_begin_epoch(struct local_state *state, struct inbox *inbox);

/* The entry at this place leaves unacknowledged. Room in the group is reserved for it. */
void local_remove(struct local_state *state, struct inbox *inbox, size_t place,
                  enum gap_cause cause);

/* As many as the group may change. Room in it is reserved for all entries. */
void local_drop_expired(struct local_state *state, struct inbox *inbox, int64_t now_ms);

/* Drops what has expired, before the inbox is read: what has left need not be passed over again by
 * each that reads. While nothing can be written, or without memory, it stays. */
void local_drop_due(struct local_state *state, struct inbox *inbox, int64_t now_ms);

/* `acked` rises to this number, not above head, and what it covers leaves, as expired where that
 * came first; a lower one changes nothing. It rises as far as the group may change, then the
 * request is unfinished. The user's record is written. ERR_STORE_UNAVAILABLE: no memory, nothing
 * changed. */
MUST_CHECK enum err local_advance(struct local_state *state, struct inbox *inbox, uint64_t acked);

/* The same, but the user's record is written only if something has expired: a note of this group,
 * or else the caller with group_write_user, for which there is room, must record `acked`. */
MUST_CHECK enum err local_carry(struct local_state *state, struct inbox *inbox, uint64_t acked);

/* What became of a number; the user's inbox may be NULL. ERR_NOT_FOUND: it was never given, and
 * *ret_found is not written. */
MUST_CHECK enum err local_find_fate(const struct inbox *inbox, struct epoch epoch, uint64_t seq,
                                    int64_t now_ms, struct store_found *ret_found);

/* Reads an entry as a page shows it: a replay. The caller unrefs it. */
MUST_CHECK enum err local_read_replay(struct local_state *state, const struct inbox *inbox,
                                      const struct waiting_entry *entry,
                                      struct notification **ret_note);

#endif
