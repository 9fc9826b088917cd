#include "gateway/base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static enum err fail_reading(int code, const char **ret_why)
{
    *ret_why = strerror(code);
    return ERR_SYSTEM;
}

static enum err fail_for_memory(const char **ret_why)
{
    *ret_why = strerror(ENOMEM);
    return ERR_NO_MEMORY;
}

static enum err check_kind(const struct stat *looks, const char **ret_why)
{
    if (S_ISDIR(looks->st_mode))
        return fail_reading(EISDIR, ret_why);
    if (!S_ISREG(looks->st_mode)) {
        *ret_why = "it is not a regular file, but a pipe or a device";
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

/* Reserves the whole file's size at once if it is known: a buffer that grows leaves copies in freed
 * memory, and the file may be a secret. */
static enum err read_all(int fd, off_t size, struct buf *out, const char **ret_why)
{
    char piece[8192];
    ssize_t got;
    if (size > 0 && size <= WHOLE_FILE_MAX_BYTES && buf_reserve(out, (size_t)size) != ERR_OK)
        return fail_for_memory(ret_why);
    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_reading(errno, ret_why);
        if (out->len + (size_t)got > WHOLE_FILE_MAX_BYTES) {
            *ret_why = "it is larger than 1 MiB";
            return ERR_TOO_LARGE;
        }
        if (buf_append(out, piece, (size_t)got) != ERR_OK)
            return fail_for_memory(ret_why);
    }
    explicit_bzero(piece, sizeof piece);
    return ERR_OK;
}

/* Without O_NONBLOCK, opening a pipe would block until somebody opens it for writing. */
enum err whole_file_read(const char *path, struct buf *out, struct stat *ret_looks,
                         const char **ret_why)
{
    struct stat looks = {0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int code = errno;
    int stat_code = fd < 0 ? stat(path, &looks) : fstat(fd, &looks);
    if (fd >= 0 && stat_code != 0)
        code = errno;
    enum err error =
        fd < 0 || stat_code != 0 ? fail_reading(code, ret_why) : check_kind(&looks, ret_why);
    if (stat_code != 0)
        looks = (struct stat){0};
    if (error == ERR_OK)
        error = read_all(fd, looks.st_size, out, ret_why);
    if (fd >= 0)
        close(fd);
    if (ret_looks != NULL)
        *ret_looks = looks;
    return error;
}

void whole_file_wipe(struct buf *bytes)
{
    if (bytes->len > 0)
        explicit_bzero(bytes->bytes, bytes->len);
    buf_fini(bytes);
}
