/* file:PATH: inboxes in an LMDB environment, in a directory of this process alone. */
#ifndef HERALD_STORE_STORE_FILE_H
#define HERALD_STORE_STORE_FILE_H

#include "gateway/stores/local/store_local.h"

/* As store_open. */
MUST_CHECK enum err store_file_open(const struct store_config *config, const char *path,
                                    struct store **ret_store, char *why, size_t why_cap);

/* The same without a thread, on a clock of the caller's, who runs it with store_local_turn: for
 * tests. */
MUST_CHECK enum err store_file_open_unthreaded(const struct store_config *config, const char *path,
                                               struct store_clock clock, struct store **ret_store,
                                               char *why, size_t why_cap);

/* As store_name_place. */
MUST_CHECK enum err store_file_name_place(const char *path, struct buf *out);
/* The same by its lock, wherever that is now. ERR_SYSTEM: it is no open file. */
MUST_CHECK enum err store_file_name_lock(int lock_fd, struct buf *out);

#endif
