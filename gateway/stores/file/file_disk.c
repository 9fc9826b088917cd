#include "gateway/stores/file/file_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The reserve is a quarter of what is used, within these bounds: each record that leaves may touch
 * a page of its own, and each page that is touched is written elsewhere. */
static const uint64_t reserve_min_bytes = (uint64_t)2 << 20;
static const uint64_t reserve_max_bytes = (uint64_t)64 << 20;

/* So that the disk is asked once for many commits. */
static const uint64_t step_bytes = (uint64_t)1 << 20;

/* A commit of one record writes a few pages, the way down the tree and the list of free pages. */
static const uint64_t commit_bytes = (uint64_t)64 << 10;

/* A commit of some pushes writes fewer pages than this. */
static const uint64_t length_margin_bytes = (uint64_t)32 << 10;

enum { LENGTHEN_BYTES = 128 << 10 };

/* An open file keeps its numbers, so they are asked once. */
static struct file_identity identify_file(int fd)
{
    struct stat stat_buf;
    if (fstat(fd, &stat_buf) != 0)
        return (struct file_identity){0};
    return (struct file_identity){stat_buf.st_dev, stat_buf.st_ino};
}

static uint64_t length_of(int fd)
{
    struct stat stat_buf;
    return fstat(fd, &stat_buf) == 0 ? (uint64_t)stat_buf.st_size : 0;
}

void file_disk_begin(struct file_disk *disk, const char *path, int lock_fd)
{
    *disk = (struct file_disk){
        .path = path, .lock_fd = lock_fd, .data_fd = -1, .lock = identify_file(lock_fd)};
}

enum err file_disk_open(struct file_disk *disk, int data_fd)
{
    if (disk->data_fd >= 0)
        return ERR_OK;
    disk->data_fd = fcntl(data_fd, F_DUPFD_CLOEXEC, 0);
    if (disk->data_fd < 0)
        return ERR_SYSTEM;
    disk->data = identify_file(disk->data_fd);
    disk->length = length_of(disk->data_fd);
    return ERR_OK;
}

void file_disk_close(struct file_disk *disk)
{
    if (disk->data_fd >= 0)
        close(disk->data_fd);
    disk->data_fd = -1;
}

/* ---- is it still there? ---- */

static void say_what_became(const char *path, const char *name, int fd, bool is_found, char *why)
{
    struct stat opened;
    bool is_removed = fstat(fd, &opened) == 0 && opened.st_nlink == 0;
    if (is_found)
        snprintf(why, STORE_WHY_MAX_BYTES,
                 "%.160s/%s was replaced by another file while Herald ran; restart Herald to use "
                 "that one",
                 path, name);
    else
        snprintf(why, STORE_WHY_MAX_BYTES, "%.160s/%s was %s while Herald ran: %s", path, name,
                 is_removed ? "removed" : "moved",
                 is_removed ? "restart Herald to begin anew"
                            : "move it back, or restart Herald to begin anew");
}

/* Does the name lead to the file that is open? Asked before each commit: one system call. */
static enum err check_name(const char *path, const char *name, int fd,
                           struct file_identity identity, char *why)
{
    char full[PATH_MAX];
    struct stat found;
    size_t path_len = strlen(path);
    size_t name_len = strlen(name);
    if (path_len + name_len + 2 > sizeof full || identity.inode == 0)
        return ERR_OK; /* not to be known */
    memcpy(full, path, path_len);
    full[path_len] = '/';
    memcpy(full + path_len + 1, name, name_len + 1);
    bool is_found = stat(full, &found) == 0;
    if (!is_found && errno != ENOENT && errno != ENOTDIR)
        return ERR_OK;
    if (is_found && found.st_dev == identity.device && found.st_ino == identity.inode)
        return ERR_OK;
    say_what_became(path, name, fd, is_found, why);
    return ERR_STORE_UNAVAILABLE;
}

enum err file_disk_check(const struct file_disk *disk, char *why)
{
    enum err error = ERR_OK;
    if (disk->data_fd >= 0)
        error = check_name(disk->path, "data.mdb", disk->data_fd, disk->data, why);
    return error == ERR_OK ? check_name(disk->path, "lock", disk->lock_fd, disk->lock, why) : error;
}

/* ---- room ---- */

static uint64_t reserve_of(struct file_extent extent)
{
    uint64_t reserve = extent.used_bytes / 4;
    if (reserve < reserve_min_bytes)
        return reserve_min_bytes;
    return reserve > reserve_max_bytes ? reserve_max_bytes : reserve;
}

/* Pages that are free in the file, and blocks after its end. */
static uint64_t room_of(const struct file_disk *disk, struct file_extent extent)
{
    uint64_t free_bytes = extent.end_bytes - extent.used_bytes;
    return free_bytes + (disk->ahead > extent.end_bytes ? disk->ahead - extent.end_bytes : 0);
}

/* Holes in the file get blocks as well: LMDB leaves them, and fills them later. 0, or errno. */
static int give_blocks(struct file_disk *disk, uint64_t end)
{
    int failed;
    do {
        failed = fallocate(disk->data_fd, FALLOC_FL_KEEP_SIZE, (off_t)disk->ahead,
                           (off_t)(end - disk->ahead));
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return errno;
    disk->ahead = end;
    return 0;
}

enum err file_disk_take(struct file_disk *disk, struct file_extent extent, uint64_t bytes,
                        char *why)
{
    /* A value of half a page or more begins a page of its own. */
    uint64_t wanted = 2 * bytes + commit_bytes + reserve_of(extent);
    if (disk->cannot_take_ahead || disk->data_fd < 0 || room_of(disk, extent) >= wanted)
        return ERR_OK;
    uint64_t end = extent.used_bytes + wanted; /* what is free in the file is used first */
    int code = give_blocks(disk, end + step_bytes);
    if (code == ENOSPC || code == EDQUOT)
        code = give_blocks(disk, end);
    if (code == 0)
        return ERR_OK;
    if (code != ENOSPC && code != EDQUOT) {
        disk->cannot_take_ahead = true;
        return ERR_OK;
    }
    snprintf(why, STORE_WHY_MAX_BYTES,
             "%.160s cannot be written: %s; make room on the disk. Nothing new is kept meanwhile; "
             "acknowledging, purging and expiry go on",
             disk->path, strerror(code));
    return ERR_STORE_UNAVAILABLE;
}

void file_disk_lengthen(struct file_disk *disk, struct file_extent extent)
{
    static const char zeros[LENGTHEN_BYTES];
    if (disk->length < extent.end_bytes)
        disk->length = extent.end_bytes;
    uint64_t wanted = disk->length + LENGTHEN_BYTES;
    if (disk->cannot_lengthen || disk->length >= extent.end_bytes + length_margin_bytes ||
        wanted > disk->ahead)
        return;
    if (pwrite(disk->data_fd, zeros, sizeof zeros, (off_t)disk->length) == LENGTHEN_BYTES)
        disk->length = wanted;
    else
        disk->cannot_lengthen = true;
}

size_t file_disk_full_changes(struct file_extent extent)
{
    enum { COMMITS = 4, PAGE_BYTES = 4096 };
    return (size_t)(reserve_of(extent) / COMMITS / PAGE_BYTES);
}
