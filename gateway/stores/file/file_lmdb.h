/* LMDB as the file store uses it: one environment in a directory, one table from a rising number to
 * bytes, one thread. The one place that knows lmdb.h.
 *
 * Every commit is synced to the disk before it is answered. The map grows by itself. */
#ifndef HERALD_STORE_FILE_LMDB_H
#define HERALD_STORE_FILE_LMDB_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

struct file_lmdb;

/* What the file holds, as of the last commit: whole pages, and those of them in use. */
struct file_extent {
    uint64_t end_bytes;
    uint64_t used_bytes;
};

/* The directory must be there. ERR_STORE_UNAVAILABLE: *why is what LMDB or the system says. */
MUST_CHECK enum err file_lmdb_open(const char *path, struct file_lmdb **ret_lmdb, char *why,
                                   size_t why_cap);
void file_lmdb_close(struct file_lmdb *lmdb); /* NULL is fine */

/* Reads all that an open would trust, by itself and without a lock. LMDB believes its pages, so on
 * a damaged file this may end the process by a signal: for a child (file_check.h). */
void file_lmdb_read_all(const char *path);

/* The bytes under a key, valid until file_lmdb_end_reads. ERR_NOT_FOUND. */
MUST_CHECK enum err file_lmdb_read(struct file_lmdb *lmdb, uint64_t key, struct span *ret_bytes);

/* Lets go of what reads pinned; file_lmdb_write does it as well. */
void file_lmdb_end_reads(struct file_lmdb *lmdb);

/* Calls with each record, in the order of the keys; ends early when the callback does not answer
 * ERR_OK, and answers that. */
typedef enum err file_lmdb_visit_fn(void *owner, uint64_t key, struct span bytes);
MUST_CHECK enum err file_lmdb_scan(struct file_lmdb *lmdb, file_lmdb_visit_fn *visit, void *owner);

/* Runs `write` in one transaction and commits it. `write` uses the two calls below; when it fails
 * it hands the error on. It is run again from the start if the map had to grow, so it must not
 * change anything else. ERR_STORE_UNAVAILABLE: nothing was written, as far as can be known; close,
 * and open again before the next write. */
typedef enum err file_lmdb_write_fn(void *owner, struct file_lmdb *lmdb);
MUST_CHECK enum err file_lmdb_write(struct file_lmdb *lmdb, file_lmdb_write_fn *write, void *owner);

/* Keys rise from call to call. *ret_room is for the caller to fill before the next call. */
MUST_CHECK enum err file_lmdb_append(struct file_lmdb *lmdb, uint64_t key, size_t len,
                                     char **ret_room);
/* After all appends. Absent is fine. Fastest where keys rise. */
MUST_CHECK enum err file_lmdb_delete(struct file_lmdb *lmdb, uint64_t key);

/* What the records take in whole pages, as of the last commit. The file may be larger: pages that
 * became free stay in it and are used again. */
uint64_t file_lmdb_used_bytes(const struct file_lmdb *lmdb);

/* The same with LMDB's own pages, and where the file ends. Of the pages between, those that the
 * last two commits have freed are not used again yet. */
struct file_extent file_lmdb_extent(const struct file_lmdb *lmdb);

/* How many records there are, as of the last commit. */
uint64_t file_lmdb_records(const struct file_lmdb *lmdb);

/* The data file's descriptor, LMDB's own; -1: there is none. */
int file_lmdb_fd(const struct file_lmdb *lmdb);

/* What the last failed call said. */
const char *file_lmdb_why(const struct file_lmdb *lmdb);

#endif
