/* The stale records: those that are still in the file and say nothing any more, because a record
 * with a higher key says more of their user (file_record.h). They wait here until many of a region
 * of the file are stale, and then leave in runs, in the order of the keys: so a page of the tree is
 * changed once or twice in its life, and not once for each record on it. A scan of the file finds
 * them again, so a crash loses nothing. Pure; for the store's thread.
 *
 * Memory: 16 bytes a record, of which there are at most about 2 * FILE_STALE_RUN. */
#ifndef HERALD_STORE_FILE_STALE_H
#define HERALD_STORE_FILE_STALE_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run begins when two thirds of the records in the file are stale, so that most pages it changes
 * become empty: of at least so many records, and at the latest with that many, or that many bytes
 * of data. */
enum { FILE_STALE_SHORT_RUN = 4096, FILE_STALE_RUN = 65536, FILE_STALE_RUN_BYTES = 32 << 20 };

/* Events that follow each other in the file leave together, so a run of them begins with so many. A
 * longer one frees more pages than are used again soon, and each commit writes their list. */
enum { FILE_STALE_EVENT_RUN = 512 };

/* How many records of a run leave with a group: twice what it changes and some more; with none; and
 * while there are more than two runs' bytes, because the data was small before and is large now. */
enum { FILE_STALE_BESIDE = 32, FILE_STALE_ALONE = 256, FILE_STALE_HURRY = 8192 };

struct file_stale_record {
    uint64_t key;
    uint32_t distance; /* of a REF; else 0 */
    uint32_t bytes;    /* that it takes in the file, about */
};

/* All zeros is none. */
struct file_stale {
    struct file_stale_record *young; /* in the order in which they became stale */
    size_t n_young;
    size_t cap_young;
    struct file_stale_record *run; /* in the order of the keys; those before `at` have left */
    size_t n_run;
    size_t at;
    uint64_t bytes; /* of all that are in the file */
};

/* Events leave at the low ends of their partitions, so that few of them empty whole pages: their
 * runs are short, and apart from the others'. */
struct file_stales {
    struct file_stale others;
    struct file_stale events;
};

/* `bytes`: of its data; those of a REF are shared and do not count. */
MUST_CHECK enum err file_stale_add(struct file_stale *stale, uint64_t key, uint32_t distance,
                                   uint32_t bytes);

/* Have so many of the records in the file become stale that a run is worth while? */
bool file_stale_is_run_due(const struct file_stale *stale, uint64_t n_records);

/* The same of events alone, while no run of them is under way. */
static inline bool file_stale_is_event_run_due(const struct file_stale *stale)
{
    return stale->at == stale->n_run &&
           (stale->n_young >= FILE_STALE_EVENT_RUN || stale->bytes >= FILE_STALE_RUN_BYTES);
}

/* How many of the run may leave with a group that makes this many changes. */
size_t file_stale_share(const struct file_stale *stale, size_t n_changes);

/* All that wait leave in one run, with what is left of the present one. ERR_NO_MEMORY: they wait
 * on. */
MUST_CHECK enum err file_stale_begin_run(struct file_stale *stale);

static inline bool file_stale_has_run(const struct file_stale *stale)
{
    return stale->at < stale->n_run;
}

static inline bool file_stale_is_empty(const struct file_stale *stale)
{
    return stale->n_young == 0 && !file_stale_has_run(stale);
}

/* The next of the run, which the caller takes out of the file. There must be one. */
struct file_stale_record file_stale_take(struct file_stale *stale);

static inline bool file_stale_is_next_below(const struct file_stale *stale, uint64_t key)
{
    return file_stale_has_run(stale) && stale->run[stale->at].key < key;
}

/* Is any below this key? */
bool file_stale_has_below(const struct file_stale *stale, uint64_t key);

void file_stale_clear(struct file_stale *stale);

#endif
