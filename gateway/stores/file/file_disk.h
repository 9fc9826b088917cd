/* What lies under the file store: the directory and the data file as they were opened, and the room
 * that the disk has for the file. Messages are sentences that say what to do, at most
 * STORE_WHY_MAX_BYTES. For the thread that runs the store's turns.
 *
 * Room is taken ahead: the disk gives the file its blocks before a commit needs them, and a part of
 * them, the reserve, is for commits that free something. So a disk that fills up is noticed before
 * anything is written, and what waits can still be acknowledged, purged and expire. Where a file
 * system cannot give blocks ahead, a full disk shows in a commit that fails.
 *
 * The file is also lengthened ahead, with zeros: the sync of a commit that makes the file longer
 * waits for the journal of the file system, that of one that writes over zeros does not. */
#ifndef HERALD_STORE_FILE_DISK_H
#define HERALD_STORE_FILE_DISK_H

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/local/local_backing.h"

#include <sys/types.h>

/* Which file it is, wherever it stands. */
struct file_identity {
    dev_t device;
    ino_t inode; /* 0: not known */
};

struct file_disk {
    const char *path; /* the directory; the owner's */
    int lock_fd;      /* of PATH/lock */
    int data_fd; /* of PATH/data.mdb, kept open so that its number is not given out again; -1: not
                    yet */
    struct file_identity lock;
    struct file_identity data;
    uint64_t ahead;  /* bytes from the file's start that the disk has given blocks for */
    uint64_t length; /* of the file, at least */
    bool cannot_take_ahead;
    bool cannot_lengthen;
};

/* Of a directory that is locked; its data file is not open yet. The path stays the caller's. */
void file_disk_begin(struct file_disk *disk, const char *path, int lock_fd);

/* The file as LMDB opened it for the first time; its descriptor is duplicated. */
MUST_CHECK enum err file_disk_open(struct file_disk *disk, int data_fd);
void file_disk_close(struct file_disk *disk);

/* Is what was opened still where it was? ERR_STORE_UNAVAILABLE: it was removed, moved or replaced.
 * What is written then would be gone at the next start. */
MUST_CHECK enum err file_disk_check(const struct file_disk *disk, char *why);

/* Takes room for `bytes` of new records beside the reserve. ERR_STORE_UNAVAILABLE: the disk
 * is full. */
MUST_CHECK enum err file_disk_take(struct file_disk *disk, struct file_extent extent,
                                   uint64_t bytes, char *why);

/* Before a commit: where the records come close to the end of the file, zeros are written behind
 * it, in blocks that the disk has given. If that fails, the commit makes the file longer itself. */
void file_disk_lengthen(struct file_disk *disk, struct file_extent extent);

/* How many records one commit on a full disk may change, so that the reserve holds the pages that
 * they are stored on. The pages it frees can be used two commits later. */
size_t file_disk_full_changes(struct file_extent extent);

#endif
