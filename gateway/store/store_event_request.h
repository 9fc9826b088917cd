/* What the event log asks of a store, beside what it has in common with inboxes: a partition is
 * read with store_page and acknowledged with store_ack, with its reserved user (store_partition.h)
 * and the consumer as the device.
 *
 * A partition is an inbox from which events leave at its low end only: acknowledged by every
 * consumer, expired, or pushed out by overflow. So its numbers have no holes. At least 128 a second
 * expire, and one with each event that comes, so one is a minute late at most where no more than
 * 7 680 expire at once. Its ceilings and its time to live are those of store_config, and what is
 * counted or listed of users does not count it. Beside the events it keeps who is online, the
 * alerts that are pending, and (a shared store) the leases of nodes.
 *
 * Each request is one step: its whole effect is committed before on_done runs, or nothing of it.
 * As everywhere (store.h): ERR_STORE_UNAVAILABLE can hide a step that was done, and each of these
 * may be repeated: what was done already changes nothing the second time, except that an event
 * appended by store_event_append comes twice.
 *
 * Lane: store_partition_lane. Memory, threads and units as in store_request.h. Times are by the
 * clock of the partition's part of the store: store_now_of(store, store_partition_user(P)). */
#ifndef HERALD_STORE_STORE_EVENT_REQUEST_H
#define HERALD_STORE_STORE_EVENT_REQUEST_H

#include "gateway/store/store_partition.h"
#include "gateway/store/store_request.h"
#include "proto/note/event.h"

struct store;

/* Consumers of a partition: those who pull, and webhook endpoints. */
enum { STORE_MAX_CONSUMERS = 15, STORE_CONSUMER_MAX_BYTES = 64 };
enum store_consumer_kind { STORE_PULL = 'p', STORE_WEBHOOK = 'w' };

/* A consumer as store_page.device and store_ack.device name it: its kind, then its name. */
enum { STORE_CONSUMER_KEY_MAX_BYTES = 1 + STORE_CONSUMER_MAX_BYTES };

/* The worker on whose thread a partition is served, and store_request.lane. */
static inline unsigned store_partition_lane(unsigned partition, unsigned lanes)
{
    return partition % lanes;
}

/* Numbers events and keeps them, all or none, one after the other. */
enum { STORE_EVENTS_AT_ONCE = 100 };
struct store_event_append {
    struct store_request request;
    unsigned partition;
    bool is_bounded; /* refused with ERR_FULL from three quarters of the ceilings on, so that what
                      * was accepted is not pushed out at once by what comes next. What all
                      * consumers have passed over leaves before */
    size_t n;        /* 1..STORE_EVENTS_AT_ONCE */
    const struct span *events; /* the data of each: proto/note/event.h */
    enum err error;            /* out: ERR_OK, ERR_FULL, ERR_STORE_UNAVAILABLE */
    struct epoch epoch;        /* out */
    uint64_t first_seq;        /* out: the number of the first */
    int64_t time_ms;           /* out: of all */
};

struct store_consumer {
    char key[STORE_CONSUMER_KEY_MAX_BYTES];
    uint8_t key_len;
    uint64_t position; /* the number up to which it has acknowledged */
    uint64_t lag;      /* events that are kept above it */
    int64_t oldest_ms; /* the time of the first of these; 0: none */
    int64_t seen_ms;   /* its last call, to the day at least */
};

/* Adds or removes a consumer, and in any case shows the partition. */
struct store_consumers {
    struct store_request request;
    unsigned partition;
    enum store_consumers_action { CONSUMERS_LIST, CONSUMERS_ADD, CONSUMERS_REMOVE } action;
    struct span key;    /* ADD, REMOVE */
    bool from_now;      /* ADD: it begins after the newest event; else with the oldest one kept */
    enum err error;     /* out: ERR_OK (ADD: it is there, new or not; REMOVE: it was or was not),
                         * ERR_CONFLICT: there are STORE_MAX_CONSUMERS already,
                         * ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    bool is_changed;    /* out: it was added, or removed */
    uint64_t unread;    /* out, REMOVE: events that it had not acknowledged */
    struct epoch epoch; /* out; none: nothing was ever written */
    uint64_t head;      /* out */
    uint64_t count;     /* out: events kept, head - count + 1 is the first one's number */
    uint64_t bytes;     /* out: of their data */
    int64_t oldest_ms;  /* out: the time of the oldest event; 0: none */
    size_t n;           /* out: all consumers after the action, in no order */
    struct store_consumer list[STORE_MAX_CONSUMERS];
};

/* A user comes to a node, or leaves it. */
struct store_presence_change {
    struct span user_id;
    bool is_here;         /* the node has a session of the user; else it has none any more */
    struct span event;    /* is_here: the data of user.online, appended if the user was offline;
                           * empty: none is kept */
    int64_t came_ms;      /* is_here: when the first session was there; 0: it is not known */
    int64_t last_seen_ms; /* not is_here: when the last session ended; offline after the grace time
                           * that counts from here... */
    enum offline_cause cause; /* ...for this reason */
};

/* Writes which users a node has, in the order given, and renews the node's lease in the partition,
 * which a node does each STORE_PRESENCE_RENEW_MS. A user is on record from coming until
 * user.offline is appended (store_serve), with the nodes that have sessions of the user; a change
 * that says what the record says already changes nothing. A user whose grace time was over when the
 * session was there (came_ms), and whom nobody has ended yet, was offline: user.offline is appended
 * first, where this node could judge (store_serve; a local store: it has judged before). */
enum { STORE_PRESENCE_LEASE_MS = 15000, STORE_PRESENCE_RENEW_MS = 5000 };
struct store_presence {
    struct store_request request;
    unsigned partition;
    struct span node; /* under which presence is kept: store_config.name of the first process of an
                       * upgrade, 1..STORE_NODE_NAME_MAX_BYTES */
    uint32_t offline_after_ms; /* the grace time */
    bool is_leaving;           /* the lease ends with this; users who are still on record for the
                                * node are ended as after a death */
    bool keeps_offline;        /* user.offline is an event that is kept */
    size_t n_changes;          /* may be 0 */
    const struct store_presence_change *changes;
    enum err error; /* out: ERR_OK, ERR_STORE_UNAVAILABLE */
    bool is_new;    /* out: the node had no lease before: it is the first call, the store has lost
                     * it, or the node's users were ended; or the store may have lost what it had
                     * answered: its link has come up since the last call. The caller puts the
                     * record right, for who is here and who is not, as it does after an error,
                     * behind which that may have been the answer */
};

/* Users on record, rising by the bytes of their userIds. */
struct store_present {
    struct store_request request;
    unsigned partition;
    struct span node;   /* those of this node; empty: all, also those whose grace time runs */
    struct span after;  /* those above it; empty: from the start */
    uint32_t limit;     /* 1..1000 */
    enum err error;     /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    size_t n;           /* out; fewer than `limit`: these are the last */
    struct span *users; /* out: one block, texts included, that the caller frees */
};

/* A pending alert: the notification that should have been acknowledged. */
struct store_alert {
    char user_id[USER_ID_MAX_BYTES];
    uint8_t user_id_len;
    struct epoch epoch;
    uint64_t seq;
    int64_t pushed_ms;
    int64_t due_ms;
};

/* What is due in a partition, for whoever serves it: at any time one node of those that share the
 * store (a lease), or this process (a local store).
 * With `may_judge` it first takes the users of nodes whose presence lease is over from these nodes
 * (grace time from the last renewal, cause node-lost), and then ends users without a node whose
 * grace time is over: user.offline is appended and the record goes. At most STORE_SERVE_USERS users
 * of each in one step. Without a judge's right nothing of presence changes: the node has just come
 * itself. A shared store also withholds it for STORE_PRESENCE_LEASE_MS after its own link to the
 * partition came up, after the partition's epoch began, and after a renewal of this node's own
 * lease that came STORE_PRESENCE_LATE_MS after the one before or was the first; and it withholds it
 * while the next one is as late: where the store or the node stood still, or the store's clock has
 * jumped, for as long as the leases of others would need to be over, that of `node` tells it. So a
 * node judges where it renews its lease, and nowhere else. In a local store a node other than
 * `node` has no lease: the grace time of its users counts from the first request of this process.
 */
enum { STORE_PRESENCE_LATE_MS = STORE_PRESENCE_LEASE_MS - STORE_PRESENCE_RENEW_MS - 1000 };
enum { STORE_SERVE_USERS = 256, STORE_SERVE_ALERTS = 64, STORE_SERVE_LEASE_MS = 10000 };
struct store_serve {
    struct store_request request;
    unsigned partition;
    struct span node; /* as in store_presence */
    bool wants_lease; /* takes it if it is free, keeps it if it is this node's; else gives it
                       * back, and only looks */
    bool may_judge;
    bool keeps_offline; /* user.offline is an event that is kept; else the record just goes */
    uint32_t offline_after_ms;
    uint32_t skip_alerts; /* so many of those that are due, the oldest ones, are passed over */
    enum err error;       /* out: ERR_OK, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    bool is_mine;         /* out: this node has the lease until STORE_SERVE_LEASE_MS after the
                           * request was made */
    unsigned n_nodes; /* out: nodes with a presence lease here, this one included; a local store:
                       * 1 */
    bool has_more;    /* out: there was more than one step may do: ask again at once */
    size_t n_alerts;  /* out: due ones beyond those passed over, the oldest first; they stay until
                         store_alert_end */
    struct store_alert *alerts; /* out: the caller frees it */
    int64_t next_alert_ms;      /* out: when the first one is due that is not among these, which has
                                 * passed where more than STORE_SERVE_ALERTS are due; 0: there is
                                 * no other */
    uint64_t n_pending_alerts;  /* out: due ones included */
};

/* Ends a pending alert: takes it away and appends its event in one step. An alert that is not there
 * any more is passed over, without an event. */
struct store_alert_end {
    struct store_request request;
    unsigned partition;
    struct store_alert alert;
    struct span event; /* the data of notification.unacknowledged; empty: none */
    enum err error;    /* out: ERR_OK, ERR_STORE_UNAVAILABLE */
};

void store_event_append(struct store *store, struct store_event_append *append);
void store_consumers(struct store *store, struct store_consumers *consumers);
void store_presence(struct store *store, struct store_presence *presence);
void store_present(struct store *store, struct store_present *present);
void store_serve(struct store *store, struct store_serve *serve);
void store_alert_end(struct store *store, struct store_alert_end *end);

#endif
