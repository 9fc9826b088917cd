/* A file that is read as a whole, and again when it has changed: keys, certificates. One thread at
 * a time. */
#ifndef HERALD_BASE_WATCHED_FILE_H
#define HERALD_BASE_WATCHED_FILE_H

#include "gateway/base/whole_file.h"
#include "proto/bytes/digest.h"

enum { WATCHED_FILE_MAX_BYTES = WHOLE_FILE_MAX_BYTES };

struct watched_file {
    const char *path;           /* the caller's */
    struct stat looks;          /* when it was last read */
    uint8_t read[DIGEST_LEN];   /* of the bytes that were last read */
    uint8_t counts[DIGEST_LEN]; /* of those that watched_file_take took */
};

/* As whole_file_read. Fills `out`, which the caller has initialised. ERR_SYSTEM, ERR_TOO_LARGE:
 * *why is a sentence that names the file; what `out` holds is then of no use. */
MUST_CHECK enum err watched_file_read(struct watched_file *file, struct buf *out, char *why,
                                      size_t why_cap);

/* Another file stands there than was last read, or tried to be, or the same with another content or
 * mode. A file that has gone has not changed: it is about to be written. */
bool watched_file_has_changed(const struct watched_file *file);

/* The bytes that were last read are good, and count from now on. false: they did before. */
bool watched_file_take(struct watched_file *file);

/* May others than its owner and group read it? */
bool watched_file_is_public(const struct watched_file *file);

#endif
