#include "gateway/stores/file/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err make_directory(const char *path, char *why, size_t why_cap)
{
    struct stat stat_buf;
    if (mkdir(path, 0700) == 0)
        return ERR_OK;
    if (errno == ENOENT) {
        snprintf(why, why_cap, "the directory above %.200s does not exist: make it first", path);
        return ERR_STORE_UNAVAILABLE;
    }
    if (errno != EEXIST) {
        snprintf(why, why_cap,
                 "the directory %.200s cannot be made: %s; make it for Herald's user or choose "
                 "another --store",
                 path, strerror(errno));
        return ERR_STORE_UNAVAILABLE;
    }
    if (stat(path, &stat_buf) == 0 && !S_ISDIR(stat_buf.st_mode)) {
        snprintf(why, why_cap, "%.200s is not a directory: --store file:PATH names a directory",
                 path);
        return ERR_STORE_UNAVAILABLE;
    }
    return ERR_OK;
}

static enum err open_inside(const char *path, const char *name, int flags, int *ret_fd)
{
    char full[PATH_MAX];
    int len = snprintf(full, sizeof full, "%s/%s", path, name);
    if (len < 0 || (size_t)len >= sizeof full) {
        errno = ENAMETOOLONG;
        return ERR_SYSTEM;
    }
    *ret_fd = open(full, flags | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? ERR_SYSTEM : ERR_OK;
}

enum err file_lock_take(const char *path, int *ret_fd, char *why, size_t why_cap)
{
    int fd;
    if (make_directory(path, why, why_cap) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (open_inside(path, "lock", O_RDWR | O_CREAT, &fd) != ERR_OK) {
        snprintf(why, why_cap,
                 "%.200s cannot be written: %s; make it writable for Herald's user or choose "
                 "another --store",
                 path, strerror(errno));
        return ERR_STORE_UNAVAILABLE;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, why_cap,
                 "%.200s is used by another Herald: stop that one or choose another --store", path);
        close(fd);
        return ERR_STORE_UNAVAILABLE;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err file_lock_find(const char *path, struct stat *ret_found)
{
    char full[PATH_MAX];
    int len = snprintf(full, sizeof full, "%s/lock", path);
    return len > 0 && (size_t)len < sizeof full && stat(full, ret_found) == 0
               ? ERR_OK
               : ERR_STORE_UNAVAILABLE;
}

static bool is_lock_of(const char *path, int fd)
{
    struct stat given;
    struct stat found;
    return fstat(fd, &given) == 0 && file_lock_find(path, &found) == ERR_OK &&
           given.st_dev == found.st_dev && given.st_ino == found.st_ino;
}

/* Of one open file the lock is taken once: to ask for it again finds out that nobody else has it.
 */
enum err file_lock_share(const char *path, int fd, int *ret_fd, char *why, size_t why_cap)
{
    if (!is_lock_of(path, fd)) {
        snprintf(why, why_cap, "the lock that was handed over is not that of %.200s", path);
        return ERR_STORE_UNAVAILABLE;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, why_cap, "%.200s is used by another Herald than the one that hands it over",
                 path);
        return ERR_STORE_UNAVAILABLE;
    }
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*ret_fd >= 0)
        return ERR_OK;
    snprintf(why, why_cap, "%.200s cannot be opened: too few descriptors", path);
    return ERR_STORE_UNAVAILABLE;
}

void file_lock_release(int fd)
{
    close(fd);
}

static void sync_one(const char *path, const char *name)
{
    int fd;
    if (open_inside(path, name, O_RDONLY | O_DIRECTORY, &fd) != ERR_OK)
        return;
    fsync(fd);
    close(fd);
}

void file_lock_sync(const char *path)
{
    sync_one(path, ".");
    sync_one(path, "..");
}

static int write_all(int fd)
{
    static const char zeros[16384];
    for (size_t written = 0; written < FILE_LOCK_PROBE_BYTES;) {
        ssize_t got = write(fd, zeros, sizeof zeros);
        if (got <= 0)
            return -1;
        written += (size_t)got;
    }
    return fsync(fd);
}

enum err file_lock_probe(const char *path, char *why, size_t why_cap)
{
    int fd;
    enum err error = open_inside(path, "probe", O_WRONLY | O_CREAT | O_TRUNC, &fd);
    int number = errno;
    if (error == ERR_OK) {
        int failed = write_all(fd);
        number = errno;
        if (ftruncate(fd, 0) != 0) /* an empty file may stay */
            failed = -1;
        close(fd);
        if (failed == 0)
            return ERR_OK;
    }
    snprintf(why, why_cap, "%.200s cannot be written: %s; make room or repair the disk", path,
             strerror(number));
    return number == ENOSPC || number == EDQUOT ? ERR_FULL : ERR_STORE_UNAVAILABLE;
}
