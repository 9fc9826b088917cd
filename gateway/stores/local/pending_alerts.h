/* The alerts that are pending in one partition: found by the notification they are for, and by when
 * they are due. Pure; for the thread that runs the store's turns.
 *
 * Memory: 96 bytes an alert and the userId, and 16 to 24 for its places. */
#ifndef HERALD_STORE_PENDING_ALERTS_H
#define HERALD_STORE_PENDING_ALERTS_H

#include "gateway/base/hash_table.h"
#include "gateway/store/store_event_request.h"
#include "gateway/stores/local/due_heap.h"

struct alert {
    struct hash_link link; /* in its table */
    struct due due;
    uint64_t hash;
    uint64_t record_key; /* in the backing; 0: none */
    uint64_t seq;
    int64_t pushed_ms;
    struct epoch epoch;
    uint8_t user_id_len;
    bool is_dirty; /* the present group writes it */
    bool is_gone;  /* it is in the present group alone, which frees it */
    char user_id[];
};

struct pending_alerts {
    struct hash_table entries;
    struct due_heap due;
};

MUST_CHECK enum err pending_alerts_new(struct pending_alerts **ret_alerts);
void pending_alerts_free(struct pending_alerts *alerts); /* NULL is fine */

static inline size_t pending_alerts_count(const struct pending_alerts *alerts)
{
    return alerts == NULL ? 0 : alerts->entries.n_links;
}

static inline struct span alert_user(const struct alert *alert)
{
    return (struct span){alert->user_id, alert->user_id_len};
}

/* NULL: none is pending for this notification. */
struct alert *pending_alerts_find(const struct pending_alerts *alerts, struct span user_id,
                                  struct epoch epoch, uint64_t seq);

/* Not in the table yet; the rest of it is the caller's to set. NULL: no memory. */
struct alert *alert_new(struct span user_id);
/* Room for one more, so that alerts_add cannot fail. */
MUST_CHECK enum err pending_alerts_reserve(struct pending_alerts *alerts);
void pending_alerts_add(struct pending_alerts *alerts, struct alert *alert);
void pending_alerts_remove(struct pending_alerts *alerts,
                           struct alert *alert); /* the caller frees it */

/* Of those that are due by then, at most `max` after the first `skip`, the oldest first; answers
 * how many. *ret_next_ms: when the next one is due, 0: there is none. ERR_NO_MEMORY. */
MUST_CHECK enum err pending_alerts_show_due(struct pending_alerts *alerts, int64_t now_ms,
                                            size_t skip, struct store_alert *out, size_t max,
                                            size_t *ret_n, int64_t *ret_next_ms);

#endif
