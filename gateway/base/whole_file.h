/* Every file that an operator names is read here, at the start and again while Herald runs: keys,
 * certificates, the configuration. Only a regular file is read (a symbolic link to one is fine). A
 * pipe or a device might have no end, or none yet, and whoever waits for it takes no signals
 * meanwhile; and it could not be read again. Any thread. */
#ifndef HERALD_BASE_WHOLE_FILE_H
#define HERALD_BASE_WHOLE_FILE_H

#include "proto/bytes/buf.h"

#include <sys/stat.h>

enum { WHOLE_FILE_MAX_BYTES = 1 << 20 };

/* Fills `out`, which the caller has initialised and empties. ret_looks (NULL is fine) is what
 * stands there, all zero when that cannot be told. ERR_SYSTEM, ERR_TOO_LARGE: *ret_why says why,
 * without the name of the file ("No such file or directory"); it is a constant, or the C library's
 * and good until this thread's next error. What `out` holds is then of no use. */
MUST_CHECK enum err whole_file_read(const char *path, struct buf *out, struct stat *ret_looks,
                                    const char **ret_why);

/* Wipes what may be a secret, and frees it. */
void whole_file_wipe(struct buf *bytes);

#endif
