/* file:PATH: inboxes in an LMDB environment, in a directory of this process alone. */
#ifndef HERALD_STORE_STORE_FILE_H
#define HERALD_STORE_STORE_FILE_H

#include "gateway/store/store_backend.h"

/* As store_open. */
MUST_CHECK enum err store_file_open(const struct store_config *config, const char *path,
                                    struct store **ret_store, char *why, size_t why_cap);

#endif
