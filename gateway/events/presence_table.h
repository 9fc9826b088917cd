/* Which users of a partition have come to this node or left it, as far as that is not written yet.
 * A user has one entry at most: `came`, `left`, or both, one after the other. Who leaves and is
 * back before that was written has none. What is taken out as a batch is written first, as often as
 * that needs, before anything that comes into the table after it.
 *
 * One thread at a time. */
#ifndef HERALD_EVENTS_PRESENCE_TABLE_H
#define HERALD_EVENTS_PRESENCE_TABLE_H

#include "gateway/base/hash_table.h"
#include "gateway/base/list.h"
#include "gateway/store/store_event_request.h"

/* Users that a table holds; of more it forgets the change, and says so. */
enum { PRESENCE_TABLE_MAX = 4096 };

/* The changes of a batch, and about how many bytes their texts may have. */
enum { PRESENCE_BATCH_MAX = 512, PRESENCE_BATCH_BYTES = 256 << 10 };

struct presence_table {
    struct hash_table users;
    struct list order; /* the oldest change first */
    size_t n;
};

struct presence_batch {
    struct list entries; /* the texts of the changes */
    size_t n;
    struct store_presence_change changes[PRESENCE_BATCH_MAX];
};

MUST_CHECK enum err presence_table_init(struct presence_table *table);
void presence_table_fini(struct presence_table *table);

/* The user's first session has entered at came_ms (0: it is not known); `event` is the data of
 * user.online, or empty. ERR_FULL, ERR_NO_MEMORY: the change is forgotten. */
MUST_CHECK enum err presence_table_came(struct presence_table *table, struct span user_id,
                                        struct span event, int64_t came_ms);
/* The last one has left. `is_unsure`: the record may not have the user, so that leaving and coming
 * again is not nothing. Errors as above. */
MUST_CHECK enum err presence_table_left(struct presence_table *table, struct span user_id,
                                        int64_t last_seen_ms, enum offline_cause cause,
                                        bool is_unsure);
/* From now on all who have left are unsure. */
void presence_table_doubt(struct presence_table *table);
/* Forgets all. */
void presence_table_clear(struct presence_table *table);

/* Has the user an entry? */
bool presence_table_has(const struct presence_table *table, struct span user_id);

void presence_batch_init(struct presence_batch *batch);
/* Fills an empty batch with the oldest entries. */
void presence_batch_take(struct presence_batch *batch, struct presence_table *table);
void presence_batch_clear(struct presence_batch *batch);

#endif
