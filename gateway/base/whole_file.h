/* Reads a whole file: every file that an operator names, at the start and again while Herald runs
 * (keys, certificates, the configuration). Only a regular file is read (a symbolic link to one is
 * fine). A pipe or a device may never end, so the thread that reads it could not handle signals;
 * and it could not be read again. Any thread. */
#ifndef HERALD_BASE_WHOLE_FILE_H
#define HERALD_BASE_WHOLE_FILE_H

#include "proto/bytes/buf.h"

#include <sys/stat.h>

enum { WHOLE_FILE_MAX_BYTES = 1 << 20 };

/* Fills `out`, which the caller has initialised and frees. *ret_looks (NULL is fine) is the status
 * of the file, all zero if it is not known. ERR_SYSTEM, ERR_TOO_LARGE, ERR_NO_MEMORY: *ret_why says
 * why, without the file's name ("No such file or directory"); it is a constant, or belongs to the C
 * library and is valid until this thread's next error. The content of `out` must not be used then.
 */
MUST_CHECK enum err whole_file_read(const char *path, struct buf *out, struct stat *ret_looks,
                                    const char **ret_why);

/* Wipes the bytes, which may be secret, and frees them. */
void whole_file_wipe(struct buf *bytes);

#endif
