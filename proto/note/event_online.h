/* The data of user.online: which session of the user was the first one. Pure. */
#ifndef HERALD_PROTO_EVENT_ONLINE_H
#define HERALD_PROTO_EVENT_ONLINE_H

#include "proto/note/event.h"

struct event_online {
    struct span user_id;
    struct span node;       /* --node-name */
    struct span connection; /* "c-7f3a" */
    struct span level;      /* "plain", "herald.v1", "sse" */
    struct span device;     /* empty: none, shown as null */
    struct span address;    /* empty: not told */
};

/* Appends {"type":"user.online","userId":"42","node":...,"connection":...,"level":...,"device":...}
 * and the address, if it is told. ERR_NO_MEMORY, ERR_FULL: *out is as it was. */
MUST_CHECK enum err event_write_online(struct buf *out, const struct event_online *online);

#endif
