/* How long a user's notifications take from their acceptance to their acknowledgement: remembers
 * when those on their way were accepted, and feeds herald_push_to_ack_seconds. At most
 * LATENCIES_MAX a user are followed at once, and what is not is not measured. Home worker. */
#ifndef HERALD_LATENCIES_H
#define HERALD_LATENCIES_H

#include "gateway/node/client.h"

enum { LATENCIES_MAX = 64 };

/* A live notification goes to the user's sessions. */
void latencies_begin(struct client *client, const struct notification *note);

/* A position of the user has moved to seq: what it covers is measured, once. */
void latencies_end(struct client *client, uint64_t seq);

#endif
