/* TLS to Redis and the Sentinels: from the settings of a store to what its links use. */
#ifndef HERALD_STORE_REDIS_TLS_H
#define HERALD_STORE_REDIS_TLS_H

#include "gateway/net/tls_client.h"
#include "gateway/store/store_config.h"

/* ERR_INVALID_FIELD: a setting of TLS is there, and the address is without TLS. */
MUST_CHECK enum err redis_tls_check_unused(const struct store_config *config, char *why,
                                           size_t why_cap);

/* Reads the files. ERR_INVALID_FIELD, ERR_NO_MEMORY: *why is a sentence that says what to do. */
MUST_CHECK enum err redis_tls_open(const struct store_config *config,
                                   struct tls_client **ret_client, char *why, size_t why_cap);

/* Reads the files again, for new connections; the log says of each whether it was replaced. */
void redis_tls_reload(struct tls_client *client);

#endif
