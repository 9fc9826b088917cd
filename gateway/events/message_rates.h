/* How many messages each user may still send to this node: a token bucket for each user who has
 * sent some, until it is full again. */
#ifndef HERALD_MESSAGE_RATES_H
#define HERALD_MESSAGE_RATES_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stdint.h>

struct message_rates;

/* Users whose buckets are not full, at most; what more of them send is refused. */
enum { MESSAGE_RATES_SHARDS = 16, MESSAGE_RATES_USERS_MAX = 65536 };

/* A bucket holds so many seconds' worth. */
enum { MESSAGE_RATES_BURST_S = 5 };

/* ERR_NO_MEMORY. */
MUST_CHECK enum err message_rates_new(struct message_rates **ret_rates);
void message_rates_free(struct message_rates *rates); /* NULL is fine */

/* Any thread. Takes one from the user's bucket, of which `per_second` (from 1) may be another each
 * time. ERR_RATE: it is empty; ERR_FULL: there are too many users; ERR_NO_MEMORY. */
MUST_CHECK enum err message_rates_take(struct message_rates *rates, struct span user_id,
                                       int64_t now_us, int64_t per_second);

/* Any thread. Forgets the buckets of that shard that are full again. */
void message_rates_sweep(struct message_rates *rates, unsigned shard, int64_t now_us);

#endif
