#include "gateway/base/watched_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static enum err fail(const struct watched_file *file, int code, char *why, size_t why_cap)
{
    snprintf(why, why_cap, "%s cannot be read: %s", file->path, strerror(code));
    return ERR_SYSTEM;
}

static enum err read_all(int fd, struct buf *out, int *ret_code)
{
    char piece[8192];
    ssize_t got;
    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *ret_code = errno;
            return ERR_SYSTEM;
        }
        if (out->len + (size_t)got > WATCHED_FILE_MAX_BYTES)
            return ERR_TOO_LARGE;
        if (buf_append(out, piece, (size_t)got) != ERR_OK) {
            *ret_code = ENOMEM;
            return ERR_SYSTEM;
        }
    }
    return ERR_OK;
}

enum err watched_file_read(struct watched_file *file, struct buf *out, char *why, size_t why_cap)
{
    int code = 0;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        code = errno;
        if (stat(file->path, &file->looks) != 0)
            file->looks = (struct stat){0};
        return fail(file, code, why, why_cap);
    }
    if (fstat(fd, &file->looks) != 0) {
        code = errno;
        close(fd);
        return fail(file, code, why, why_cap);
    }
    /* All room at once: a buffer that grows leaves copies of what may be a secret behind. */
    enum err error = ERR_OK;
    if (file->looks.st_size > 0 && file->looks.st_size <= WATCHED_FILE_MAX_BYTES &&
        buf_reserve(out, (size_t)file->looks.st_size) != ERR_OK) {
        code = ENOMEM;
        error = ERR_SYSTEM;
    }
    if (error == ERR_OK)
        error = read_all(fd, out, &code);
    close(fd);
    if (error == ERR_OK) {
        struct span bytes = buf_span(out);
        error = digest_of(&bytes, 1, file->read);
        code = ENOSYS; /* an OpenSSL without SHA-256 */
    }
    if (error == ERR_SYSTEM)
        return fail(file, code, why, why_cap);
    if (error == ERR_TOO_LARGE)
        snprintf(why, why_cap, "%s is larger than %d bytes", file->path, WATCHED_FILE_MAX_BYTES);
    return error;
}

bool watched_file_has_changed(const struct watched_file *file)
{
    struct stat now;
    if (stat(file->path, &now) != 0)
        return false;
    return now.st_ino != file->looks.st_ino || now.st_dev != file->looks.st_dev ||
           now.st_size != file->looks.st_size || now.st_mtim.tv_sec != file->looks.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != file->looks.st_mtim.tv_nsec || now.st_mode != file->looks.st_mode;
}

bool watched_file_take(struct watched_file *file)
{
    bool is_other = memcmp(file->counts, file->read, DIGEST_LEN) != 0;
    memcpy(file->counts, file->read, DIGEST_LEN);
    return is_other;
}

bool watched_file_is_public(const struct watched_file *file)
{
    return (file->looks.st_mode & (S_IROTH | S_IWOTH)) != 0;
}
