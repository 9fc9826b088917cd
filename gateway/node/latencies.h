/* Measures how long a user's notifications take from their acceptance to their acknowledgement, for
 * herald_push_to_ack_seconds. At most LATENCIES_MAX notifications a user are followed at once; the
 * others are not measured, nor is anything without memory. The client owns its list. Home worker's
 * thread. */
#ifndef HERALD_LATENCIES_H
#define HERALD_LATENCIES_H

#include "gateway/node/client.h"

enum { LATENCIES_MAX = 64 };

/* A live notification goes to the user's sessions. */
void latencies_begin(struct client *client, const struct notification *note);

/* A position of the user has moved to seq: what it covers is measured, once. */
void latencies_end(struct client *client, uint64_t seq);

#endif
