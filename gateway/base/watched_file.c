#include "gateway/base/watched_file.h"

#include <stdio.h>

enum err watched_file_read(struct watched_file *file, struct buf *out, char *why, size_t why_cap)
{
    const char *reason;
    enum err error = whole_file_read(file->path, out, &file->looks, &reason);
    if (error == ERR_OK) {
        struct span bytes = buf_span(out);
        error = digest_of(&bytes, 1, file->last_read);
        reason = "an OpenSSL without SHA-256";
    }
    if (error != ERR_OK)
        snprintf(why, why_cap, "%s cannot be read: %s", file->path, reason);
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
    bool is_other = memcmp(file->in_use, file->last_read, DIGEST_LEN) != 0;
    memcpy(file->in_use, file->last_read, DIGEST_LEN);
    return is_other;
}

bool watched_file_is_public(const struct watched_file *file)
{
    return (file->looks.st_mode & (S_IROTH | S_IWOTH)) != 0;
}
