/* What presence keeps of each partition, and how a change gets there. For the files of presence
 * alone. */
#ifndef HERALD_EVENTS_PRESENCE_PARTITION_H
#define HERALD_EVENTS_PRESENCE_PARTITION_H

#include "gateway/events/events_struct.h"
#include "gateway/events/presence_table.h"
#include "gateway/node/worker.h"

enum presence_state {
    PRESENCE_RESTS, /* not started */
    PRESENCE_RUNS,
    PRESENCE_LEAVES, /* it writes the rest, and gives the leases back */
    PRESENCE_ENDED,
};

struct presence_partition {
    struct presence *presence;
    unsigned number;

    pthread_mutex_t lock; /* for these two; innermost */
    struct presence_table table;
    bool has_forgotten; /* a change found no room: the client map and the record are compared, once
                         * the table is empty */

    struct letter letter; /* to the partition's worker: look at it */
    atomic_bool is_posted;
    atomic_uint rested_in; /* the round in which all was written (presence->round) */

    /* the partition's worker */
    struct timer timer;
    struct presence_batch batch; /* not empty: it is under way, or to be repeated */
    struct store_presence asked;
    bool is_asking;
    bool has_failed;
    bool has_left;
    atomic_bool is_answered;
    unsigned asked_as; /* presence->n_names then */
    int64_t asked_ms;  /* monotonic */

    /* the listing of who is on record for this node (presence_compare.c) */
    bool must_list;
    enum offline_cause list_cause; /* of those who are not here */
    bool is_listing;
    bool is_page_old; /* the page under way is of a listing before this one */
    atomic_bool is_listed;
    struct store_present listed;
    int64_t list_again_ms; /* monotonic */
    uint8_t after_len;
    char after[USER_ID_MAX_BYTES];
};

/* A worker's way through its clients. Its thread, but for the atomics. */
struct presence_walk {
    struct presence *presence;
    struct worker *worker;
    struct letter letter;
    atomic_bool is_posted;
    atomic_uint wanted; /* partitions of which all users are to be written again, a bit for each */
    atomic_uint active; /* those of the walk under way */
    uint64_t cursor;
};

struct presence_name {
    size_t len;
    char text[STORE_NODE_NAME_MAX_BYTES];
};

struct presence {
    struct events *events;
    void (*look)(struct letter *letter); /* of a partition, on its worker (presence.c) */
    bool keeps_users;                    /* user.online or user.offline is kept */
    bool has_adopted; /* its name: users may be on record under it who are not here */
    atomic_int state;
    atomic_bool is_flushing;
    atomic_uint round; /* rises with each time that somebody waits until all is written */
    unsigned n_names;  /* 1 or 2: the last one is in force */
    struct presence_name names[2];
    struct presence_walk *walks; /* a worker each; made in presence_start */
    struct presence_partition partitions[STORE_PARTITIONS];
};

static inline enum presence_state presence_state(const struct presence *presence)
{
    return (enum presence_state)atomic_load(&presence->state);
}

/* The name that is in force. */
static inline struct span presence_name_now(const struct presence *presence)
{
    const struct presence_name *name = &presence->names[presence->n_names - 1];
    return (struct span){name->text, name->len};
}

struct worker *presence_worker(const struct presence_partition *partition);
/* Any thread: its worker looks at it soon. */
void presence_poke(struct presence_partition *partition);
/* The user has come: into the table of the partition, with the data of user.online where that is
 * kept; `is_new`: unless the table has an entry already. What there is no room or memory for is
 * forgotten, and found by a comparison. Home worker. */
void presence_note_come(struct presence_partition *partition, const struct client *client,
                        bool is_new);
/* A change has found no room; the partition is locked. */
void presence_note_error(struct presence_partition *partition, enum err error);

#endif
