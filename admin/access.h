/* Whether a request is allowed: the current keys of --admin-keys, their file, and the rate limit of
 * each key. Any thread, except access_reload and access_close: one thread at a time. */
#ifndef HERALD_ADMIN_ACCESS_H
#define HERALD_ADMIN_ACCESS_H

#include "admin/keys.h"

struct access;

/* `path` empty: there are no keys, and every request is allowed; a limit is then refused, because
 * requests are counted per key. Each key is good for at most `max_per_second` requests per second
 * (0: no limit); the count starts again when the file is read again. ERR_INVALID_FIELD, ERR_SYSTEM,
 * ERR_NO_MEMORY: *why names the option, the file and its line. */
MUST_CHECK enum err access_open(const char *path, int64_t max_per_second,
                                struct access **ret_access, char *why, size_t why_cap);
void access_close(struct access *access); /* NULL is fine */

/* role 0: routes that need no key. ERR_UNAUTHORIZED: not a known key; ERR_FORBIDDEN: a key of
 * another role; ERR_RATE: too many requests with it in this second. `authorization` is the header's
 * value, empty if there is none. */
MUST_CHECK enum err access_check(struct access *access, struct span authorization, unsigned role);

/* Reads the file again, if it has changed or `must`. A bad file is logged, and what was read before
 * goes on counting. */
void access_reload(struct access *access, bool must);

#endif
