/* The file store's directory: made if it is missing, owned by one Herald at a time, probed for
 * room. Messages are sentences that say what to do. */
#ifndef HERALD_STORE_FILE_LOCK_H
#define HERALD_STORE_FILE_LOCK_H

#include "proto/error.h"

#include <stddef.h>
#include <sys/stat.h>

/* Makes the last component of the path if it is missing, and locks PATH/lock; the lock ends with
 * the process, however it ends. ERR_STORE_UNAVAILABLE and *why. */
MUST_CHECK enum err file_lock_take(const char *path, int *ret_fd, char *why, size_t why_cap);
void file_lock_release(int fd);

/* Which file PATH/lock is. ERR_STORE_UNAVAILABLE: there is none. */
MUST_CHECK enum err file_lock_find(const char *path, struct stat *ret_found);

/* The lock of another process, which hands the directory over, as a descriptor of ours: both have
 * it until both have let it go. ERR_STORE_UNAVAILABLE and *why: `fd` is not PATH/lock, or is not
 * locked. */
MUST_CHECK enum err file_lock_share(const char *path, int fd, int *ret_fd, char *why,
                                    size_t why_cap);

/* The files just made are to be found again after a power cut: syncs the directory and the one
 * above. Not every file system can; nothing is said then. */
void file_lock_sync(const char *path);

/* Does the disk take FILE_LOCK_PROBE_BYTES more? ERR_FULL, ERR_STORE_UNAVAILABLE; and *why. */
enum { FILE_LOCK_PROBE_BYTES = 1 << 20 };
MUST_CHECK enum err file_lock_probe(const char *path, char *why, size_t why_cap);

#endif
