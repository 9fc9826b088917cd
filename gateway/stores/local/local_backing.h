/* Where the records of a local store are kept: what store_memory.c and store_file.c implement. */
#ifndef HERALD_STORE_LOCAL_BACKING_H
#define HERALD_STORE_LOCAL_BACKING_H

#include "gateway/stores/local/group.h"
#include "gateway/stores/local/partition.h"

enum { STORE_WHY_MAX_BYTES = 320 };

struct backing;

/* The index: what is kept, without payloads. */
struct local_index {
    struct inbox_table *users;
    struct idempotency_table *keys;
    struct expiring_table *blocks; /* by user */
    struct partitions *events;
};

MUST_CHECK enum err local_index_new(struct local_index *ret_index);
void local_index_clear(struct local_index *index);
void local_index_free(struct local_index *index);

struct backing_ops {
    const char *kind;
    /* The key under which this notification will be kept, and (file) that of a payload that several
     * share: 0 if the backing shares by reference. */
    uint64_t (*note_key)(struct backing *backing, struct notification *note);
    uint64_t (*payload_key)(struct backing *backing);
    /* Room for new records, those of the present group included: `more_bytes` that count towards
     * the store's own ceiling (0: none are asked for), and `event_bytes` of the event log, which do
     * not. ERR_FULL: the ceiling; ERR_STORE_UNAVAILABLE and `why`: nothing gives more. Only what is
     * new is refused: groups that free something are committed all the same. */
    enum err (*take_room)(struct backing *backing, uint64_t more_bytes, uint64_t event_bytes,
                          char *why);
    /* A notification of the index, committed or put by this group, as it was kept or as a replay.
     * The caller unrefs it. */
    enum err (*read)(struct backing *backing, const struct group *group, const struct inbox *inbox,
                     const struct waiting_entry *entry, struct notification **ret_note);
    /* The same of an event; it may be the note as it was kept. */
    enum err (*read_event)(struct backing *backing, const struct group *group,
                           const struct partition *partition, uint64_t seq,
                           struct notification **ret_note);
    /* Lets go of what reads hold; a commit does it as well. NULL: they hold nothing. */
    void (*end_turn)(struct backing *backing);
    /* All of the group or nothing; `why` says what failed. Sets record_key of the users, keys and
     * blocks it wrote. */
    enum err (*commit)(struct backing *backing, struct group *group, char *why);
    /* After a failed commit: fills the empty index with what is really kept. */
    enum err (*rebuild)(struct backing *backing, struct local_index *index, char *why);
    /* Asked once a second while all is well: would what is committed be found again? NULL: always.
     */
    enum err (*check)(struct backing *backing, char *why);
    /* Could a group be committed now? ERR_FULL and `why`: one that frees something. */
    enum err (*probe)(struct backing *backing, char *why);
    /* Closes the records and keeps what shows that they are taken, until `close`; only that is
     * called afterwards. NULL: they cannot pass to another process. */
    void (*let_go)(struct backing *backing);
    int (*lock_fd)(const struct backing *backing); /* what shows it; with let_go */
    void (*close)(struct backing *backing, struct local_index *index);
};

/* First member of each backing's own struct. `why` is STORE_WHY_MAX_BYTES long everywhere. */
struct backing {
    const struct backing_ops *ops;
    size_t full_changes;  /* how many records a group may change since take_room found no room */
    uint64_t event_bytes; /* that the records of the event log take, about: local_*.c and the scan
                           * count them */
    bool wants_commit;    /* also of an empty group, once: it has something of its own to write */
    /* Called by rebuild every few thousand records, so that what comes meanwhile is answered;
     * NULL: nothing is. */
    void (*breathe)(void *breather);
    void *breather;
};

#endif
