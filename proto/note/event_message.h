/* The data of the event client.message: what a client has said to the backends. Pure. */
#ifndef HERALD_PROTO_EVENT_MESSAGE_H
#define HERALD_PROTO_EVENT_MESSAGE_H

#include "proto/bytes/buf.h"

/* The id that a client gives its message, decoded; from 1. */
enum { CLIENT_ID_MAX_BYTES = 64 };

struct event_message {
    struct span user_id;
    uint64_t connection;   /* connection_id.h; 0: it came by HTTP, without one */
    const char *level;     /* a constant: plain, herald.v1, http */
    struct span device;    /* empty: none, shown as null; so is an empty client_id */
    struct span client_id; /* as it stands between the quotes in the client's JSON, undecoded */
    struct span data;      /* valid JSON; it is copied byte for byte */
};

/* All of the event but its data and its id and time takes less than this. */
enum { EVENT_MESSAGE_EXTRA_MAX_BYTES = 1024 };

/* Appends {"type":"client.message","userId":"42","connection":"c-7f3a","level":"herald.v1",
 * "device":"tablet","clientId":"c-17","data":{...}}. A failure leaves the buffer as it was. */
MUST_CHECK enum err event_write_message(struct buf *out, const struct event_message *message);

#endif
