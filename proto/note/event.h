/* Events: what backends can learn, one JSON object each. A store keeps the *data* of an event,
 * `{"type":"user.online","userId":"42",...}`, always with the type first and the user second, as
 * the writers beside this file make it; what a backend reads also has an id and a time, which the
 * store gave. Pure. */
#ifndef HERALD_PROTO_EVENT_H
#define HERALD_PROTO_EVENT_H

#include "proto/bytes/buf.h"
#include "proto/note/gap.h"
#include "proto/note/message_id.h"

#include <stdbool.h>

/* The types, in the order of their documentation. GAP is written by nobody: it is what a reader is
 * told of events that have left unread. */
#define EVENT_TYPES_LIST(X)                                                                        \
    X(ONLINE, "user.online")                                                                       \
    X(OFFLINE, "user.offline")                                                                     \
    X(UNACKNOWLEDGED, "notification.unacknowledged")                                               \
    X(MESSAGE, "client.message")                                                                   \
    X(GAP, "gap")

enum event_type {
#define X(name, text) EVENT_##name,
    EVENT_TYPES_LIST(X)
#undef X
        EVENT_TYPES
};

/* A set of types has a bit for each. */
#define EVENT_BIT(type) (1u << (type))

const char *event_type_text(enum event_type type);
bool event_type_find(struct span text, enum event_type *ret_type);
/* An error's advice: `did you mean user.online?`, or, where no name is like it, which there are. */
const char *event_type_hint(struct span text);

/* The type of an event's data; false: it is no event's. */
bool event_type_of(struct span data, enum event_type *ret_type);

/* Why a user's last session ended: the `cause` of user.offline. */
#define OFFLINE_CAUSES_LIST(X)                                                                     \
    X(CLOSED, "closed")                                                                            \
    X(SILENT, "silent")                                                                            \
    X(SLOW, "slow")                                                                                \
    X(EXPIRED, "expired")                                                                          \
    X(KICKED, "kicked")                                                                            \
    X(REPLACED, "replaced")                                                                        \
    X(ERROR, "error")                                                                              \
    X(DRAINED, "drained")                                                                          \
    X(NODE_LOST, "node-lost")

enum offline_cause {
#define X(name, text) OFFLINE_##name,
    OFFLINE_CAUSES_LIST(X)
#undef X
        OFFLINE_CAUSES
};

const char *offline_cause_text(enum offline_cause cause);
bool offline_cause_find(struct span text, enum offline_cause *ret_cause);

/* "3.k3f9a2qd-118": partition, epoch, number. */
enum { EVENT_ID_MAX_BYTES = 3 + MESSAGE_ID_MAX_BYTES };
size_t event_id_write(unsigned partition, struct epoch epoch, uint64_t seq,
                      char out[EVENT_ID_MAX_BYTES]);

/* What a kept event is beside its data. */
struct event_place {
    unsigned partition;
    struct epoch epoch;
    uint64_t seq;
    int64_t time_ms;
};

/* Appends the event as backends read it:
 * {"id":"3.k3f9a2qd-118","type":"user.online","time":1790000000123,"userId":"42",...}. Data that is
 * no event's is appended with the id and the time before its members. */
MUST_CHECK enum err event_show(struct buf *out, const struct event_place *place, struct span data);

/* Appends {"id":"3.k3f9a2qd-118","type":"gap","time":...,"partition":3,"from":113,"to":118,
 * "cause":"overflow"}: place->seq is `to`. */
MUST_CHECK enum err event_show_gap(struct buf *out, const struct event_place *place, uint64_t from,
                                   enum gap_cause cause);

/* Appends the data of user.offline. */
MUST_CHECK enum err event_write_offline(struct buf *out, struct span user_id, int64_t last_seen_ms,
                                        enum offline_cause cause);

#endif
