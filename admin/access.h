/* Whether a request may do what it asks for: the keys of --admin-keys as they stand now, and their
 * file. Any thread. */
#ifndef HERALD_ADMIN_ACCESS_H
#define HERALD_ADMIN_ACCESS_H

#include "admin/keys.h"

struct access;

/* `path` empty: no keys, and everybody may everything; a limit is then refused, since it would
 * count nobody. Each key is good for so many requests a second (0: no limit), counted anew when the
 * file is read again. ERR_INVALID_FIELD, ERR_SYSTEM, ERR_NO_MEMORY: *why names the option, the file
 * and its line. */
MUST_CHECK enum err access_open(const char *path, int64_t max_per_second,
                                struct access **ret_access, char *why, size_t why_cap);
void access_close(struct access *access); /* NULL is fine */

/* role 0: what needs no key. ERR_UNAUTHORIZED: no key of ours; ERR_FORBIDDEN: a key of another
 * role; ERR_RATE: too many requests with it in this second. `authorization` is the header's value,
 * empty if there is none. */
MUST_CHECK enum err access_check(struct access *access, struct span authorization, unsigned role);

/* Reads the file again, if it has changed or `must`. A bad file is logged, and what was read before
 * goes on counting. */
void access_reload(struct access *access, bool must);

#endif
