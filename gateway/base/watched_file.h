/* A file that is read as a whole, and read again when it has changed: keys, certificates. One
 * thread at a time. */
#ifndef HERALD_BASE_WATCHED_FILE_H
#define HERALD_BASE_WATCHED_FILE_H

#include "gateway/base/whole_file.h"
#include "proto/bytes/digest.h"

enum { WATCHED_FILE_MAX_BYTES = WHOLE_FILE_MAX_BYTES };

struct watched_file {
    const char *path;              /* belongs to the caller */
    struct stat looks;             /* when it was last read */
    uint8_t last_read[DIGEST_LEN]; /* of the bytes that were last read */
    uint8_t in_use[DIGEST_LEN];    /* of the bytes that watched_file_take accepted */
};

/* As whole_file_read. Fills `out`, which the caller has initialised. On an error *why is a sentence
 * that names the file; the content of `out` must not be used then. */
MUST_CHECK enum err watched_file_read(struct watched_file *file, struct buf *out, char *why,
                                      size_t why_cap);

/* Is it another file than the one that was last read (or that could not be read), or has its
 * content or mode changed? A missing file counts as unchanged, because it is probably being
 * replaced. */
bool watched_file_has_changed(const struct watched_file *file);

/* Accepts the bytes that were last read as those in use. false: the same bytes were in use
 * before. */
bool watched_file_take(struct watched_file *file);

/* Can others than its owner and group read it? */
bool watched_file_is_public(const struct watched_file *file);

#endif
