/* redis://: inboxes in a Redis that several nodes share. */
#ifndef HERALD_STORE_STORE_REDIS_H
#define HERALD_STORE_STORE_REDIS_H

#include "gateway/store/store_backend.h"

/* As store_check. */
MUST_CHECK enum err store_redis_check(const struct store_config *config, char *why, size_t why_cap);

/* As store_open: it returns before Redis is reached. */
MUST_CHECK enum err store_redis_open(const struct store_config *config, struct store **ret_store,
                                     char *why, size_t why_cap);

/* As store_name_place. */
MUST_CHECK enum err store_redis_name_place(const struct store_config *config, struct buf *out);

#endif
