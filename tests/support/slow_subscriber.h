/* A subscriber that takes little at a time, so that what it is sent waits in the session's memory.
 * Failures end the test (criterion). */
#ifndef HERALD_TESTS_SLOW_SUBSCRIBER_H
#define HERALD_TESTS_SLOW_SUBSCRIBER_H

#include "tests/support/subscriber.h"

/* From here on its socket holds a few kilobytes. */
void slow_subscriber_narrow(struct subscriber *subscriber);

/* A push of a JSON string of `len` bytes that begins with the number. */
void slow_subscriber_push(const char *user_id, unsigned number, size_t len, uint32_t ttl_s);

/* Takes everything, and turns the node while more comes: `n` notifications, numbered from 0. */
void slow_subscriber_expect_all(struct subscriber *subscriber, unsigned n);

/* Takes the next frame that is no ping, and turns the node while there is none. false: none comes.
 */
bool slow_subscriber_next(struct subscriber *subscriber, struct subscriber_frame *ret_frame);

/* The next frame that is no ping, which comes within some turns, must contain that text. */
void slow_subscriber_expect_part(struct subscriber *subscriber, const char *part);

/* Takes the pings that come before the next frame of another kind, which must have come. */
void slow_subscriber_skip_pings(struct subscriber *subscriber);

#endif
