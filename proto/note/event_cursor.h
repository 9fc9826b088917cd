/* The cursor of GET /events: up to where a consumer has been shown each partition, as one text that
 * backends hand back unread. It names its consumer, and a digest in it shows that it is whole.
 * Pure.
 */
#ifndef HERALD_PROTO_EVENT_CURSOR_H
#define HERALD_PROTO_EVENT_CURSOR_H

#include "proto/note/message_id.h"

enum { EVENT_CURSOR_PARTITIONS = 16, EVENT_CONSUMER_MAX_BYTES = 64 };

/* Of the text with its NUL: 1-600 bytes of A-Za-z0-9_-. */
enum { EVENT_CURSOR_MAX_BYTES = 601 };

/* Up to a number of an epoch; no epoch: nothing is known of the partition. */
struct event_position {
    struct epoch epoch;
    uint64_t seq;
};

struct event_cursor {
    char consumer[EVENT_CONSUMER_MAX_BYTES];
    size_t consumer_len;
    struct event_position positions[EVENT_CURSOR_PARTITIONS];
};

/* Is it a consumer's name: 1-64 of A-Za-z0-9._-? */
bool event_consumer_is_valid(struct span name);

/* Writes the text with a NUL. ERR_SYSTEM: no SHA-256 is available. */
MUST_CHECK enum err event_cursor_write(const struct event_cursor *cursor,
                                       char out[EVENT_CURSOR_MAX_BYTES]);

/* ERR_INVALID_FIELD: not a text that event_cursor_write has made; *ret_cursor is unchanged. */
MUST_CHECK enum err event_cursor_read(struct span text, struct event_cursor *ret_cursor);

#endif
