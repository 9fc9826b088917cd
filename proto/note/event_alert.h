/* The data of notification.unacknowledged: a push asked for it with alertAfter, and it was not
 * acknowledged then. Pure. */
#ifndef HERALD_PROTO_EVENT_ALERT_H
#define HERALD_PROTO_EVENT_ALERT_H

#include "proto/bytes/buf.h"
#include "proto/note/message_id.h"

#include <stdbool.h>

/* What has become of the notification. */
#define ALERT_CAUSES_LIST(X)                                                                       \
    X(WAITING, "waiting")   /* it is still pending */                                              \
    X(OVERFLOW, "overflow") /* a full inbox has pushed it out */                                   \
    X(UNKNOWN, "unknown")   /* the store no longer knows, or has lost it */

enum alert_cause {
#define X(name, text) ALERT_##name,
    ALERT_CAUSES_LIST(X)
#undef X
        ALERT_CAUSES
};

const char *alert_cause_text(enum alert_cause cause);

struct event_alert {
    struct span user_id;
    struct epoch epoch; /* of the notification */
    uint64_t seq;
    int64_t pushed_ms; /* since 1970 */
    bool is_online;    /* the user has a session, on any node */
    enum alert_cause cause;
    struct span data; /* JSON, byte for byte as it was pushed; empty: it is not there any more */
};

/* An event has this much beside its data. */
enum { EVENT_ALERT_MAX_BYTES = 1024 };

/* Appends {"type":"notification.unacknowledged","userId":"42","notification":"k3f9a2qd-118",
 * "pushed":1790000000123,"online":false,"cause":"waiting","data":...}. ERR_FULL, ERR_NO_MEMORY:
 * `out` is as before. */
MUST_CHECK enum err event_write_alert(struct buf *out, const struct event_alert *alert);

#endif
