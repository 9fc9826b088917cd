/* Whether a request is allowed: the current keys of --admin-keys, their file, and the rate limit of
 * each key; and what the requests of a key have of what all share. What is read of the file is
 * immutable, and replaced as a whole.
 *
 * Threads: access_check any, each with a view of its own and without a lock; access_reload,
 * access_open and access_close one at a time. */
#ifndef HERALD_ADMIN_ACCESS_H
#define HERALD_ADMIN_ACCESS_H

#include "admin/budget.h"
#include "admin/keys.h"

struct access;
struct access_file;

/* One key, over all files that name it: it lives as long as one of them is the newest or is held.
 * Requests without a key have one together. Any thread. */
struct access_account {
    struct budget_account memory;
    atomic_uint n_waiting; /* pushes that wait for an acknowledgement */
    atomic_int_fast64_t full_us;
    uint8_t digest[DIGEST_LEN];
    unsigned n_files; /* access.c: under its lock */
    struct access_account *next;
};

/* What one thread has read; zeroed at first but for the index, which no other view has. */
struct access_view {
    struct access_file *file;
    unsigned index; /* below access_open's n_views */
};

/* `path` empty: there are no keys, and every request is allowed; a limit is then refused, because
 * requests are counted per key. Each key is good for at most `max_per_second` requests per second
 * (0: no limit); the count starts again when the file is read again. ERR_INVALID_FIELD, ERR_SYSTEM,
 * ERR_NO_MEMORY: *why names the option, the file and its line. */
MUST_CHECK enum err access_open(const char *path, int64_t max_per_second, unsigned n_views,
                                struct access **ret_access, char *why, size_t why_cap);
void access_close(struct access *access); /* NULL is fine */
/* Before access_close, once for each view, when nothing is held through it. */
void access_view_fini(struct access *access, struct access_view *view);

/* For a request, after access_check: what the view has read, with its accounts, stays until
 * access_release, on the same thread. NULL: there are no keys. */
struct access_file *access_hold(struct access_view *view);
void access_release(struct access *access, const struct access_view *view,
                    struct access_file *file); /* NULL is fine */

/* role 0: routes that need no key. ERR_UNAUTHORIZED: not a known key; ERR_FORBIDDEN: a key of
 * another role; ERR_RATE: too many requests with it in this second. `authorization` is the header's
 * value, empty if there is none. *ret_account is set in any case. */
MUST_CHECK enum err access_check(struct access *access, struct access_view *view,
                                 struct span authorization, unsigned role,
                                 struct access_account **ret_account);

/* Is there more than one key? */
bool access_is_shared(const struct access_view *view);

/* Reads the file again, if it has changed or `must`. A bad file is logged, and what was read before
 * goes on counting. */
void access_reload(struct access *access, bool must);

#endif
