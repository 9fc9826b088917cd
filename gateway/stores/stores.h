/* Which store --store means: the one place that knows every backend. */
#ifndef HERALD_STORES_H
#define HERALD_STORES_H

#include "gateway/store/store.h"

/* Can a store be opened with this, as far as can be said without opening it? Looks at the url and
 * at what belongs to it. ERR_INVALID_FIELD: *why says what would be right. */
MUST_CHECK enum err store_check(const struct store_config *config, char *why, size_t why_cap);

/* `memory:` and `file:` are ready when this returns. `redis://` returns at once, and on_state tells
 * when it is there; until then requests answer ERR_STORE_UNAVAILABLE.
 * ERR_INVALID_FIELD: the url; ERR_STORE_UNAVAILABLE: cannot be opened, locked or written. *ret_why
 * is then a sentence that says what to do (at most why_cap bytes). Call before the lanes run. */
MUST_CHECK enum err store_open(const struct store_config *config, struct store **ret_store,
                               char *why, size_t why_cap);

/* What --store and --redis-prefix mean, for the process that is to go on with it: one text for each
 * place, without user and password. The file store is named by the file that is its lock, whatever
 * path leads there; Redis by its addresses, its database and the prefix. Adds to `out`, at most
 * STORE_PLACE_MAX_BYTES. ERR_STORE_UNAVAILABLE: there is no such file; ERR_INVALID_FIELD: the url;
 * ERR_FULL, ERR_NO_MEMORY: as buf.h. */
enum { STORE_PLACE_MAX_BYTES = 8192 };
MUST_CHECK enum err store_name_place(const struct store_config *config, struct buf *out);

/* The same of a store that is open, which goes on where it is when its path leads elsewhere: to
 * what it has. */
MUST_CHECK enum err store_name_own_place(const struct store *store,
                                         const struct store_config *config, struct buf *out);

/* Does this mean the place that another process has named so? */
bool store_is_at(const struct store_config *config, struct span place);

#endif
