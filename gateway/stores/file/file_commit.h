/* The file backing's parts, and how a group becomes records. For store_file.c. */
#ifndef HERALD_STORE_FILE_COMMIT_H
#define HERALD_STORE_FILE_COMMIT_H

#include "gateway/stores/file/file_disk.h"
#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_record.h"
#include "gateway/stores/file/file_shared.h"
#include "gateway/stores/file/file_stale.h"
#include "gateway/stores/local/local_backing.h"

struct file_backing {
    struct backing backing; /* first: it is handed out */
    char *path;
    struct file_disk disk;
    struct file_lmdb *lmdb; /* NULL: closed after a failure */
    bool has_failed;        /* the last commit */
    uint64_t next_key;      /* from 1: in the index 0 is none */
    uint64_t probe_key;     /* of the PROBE record; 0: there is none */
    uint64_t max_bytes;     /* 0: no limit */
    bool has_lost_stale;    /* some is in the file and no longer known as stale: a scan finds it */
    bool is_tight;          /* the disk gave no room when it was last asked */
    unsigned n_quiet_s;     /* seconds since a run of stale records began */
    struct file_shared shared;
    struct file_stales stale;
    uint64_t *drops; /* of the commit under way: the records that leave */
    size_t n_drops;
    size_t cap_drops;
};

/* Inside a file_lmdb_write. */
MUST_CHECK enum err file_commit_record(struct file_lmdb *lmdb, uint64_t key,
                                       const struct file_record *record);

/* Writes all of the group or nothing, and sets the record keys of what it wrote. With it some stale
 * records leave, if a run has begun; the group may be empty. ERR_STORE_UNAVAILABLE: file_lmdb_why
 * says what LMDB answered; ERR_NO_MEMORY. */
MUST_CHECK enum err file_commit_group(struct file_backing *file, struct group *group);

/* What is stale begins to leave. ERR_NO_MEMORY: it stays. */
MUST_CHECK enum err file_commit_begin_run(struct file_backing *file);

/* Is there anything stale, and does it leave with the next group? */
bool file_commit_has_stale(const struct file_backing *file);
bool file_commit_has_run(const struct file_backing *file);

#endif
