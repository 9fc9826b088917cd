/* Who may use the admin API: the keys of --admin-keys (CONTRACT 3). The file has a key a line,
 * `NAME ROLE KEY`; empty lines and those that begin with # are skipped. Immutable once read. */
#ifndef HERALD_ADMIN_KEYS_H
#define HERALD_ADMIN_KEYS_H

#include "proto/bytes/digest.h"
#include "proto/bytes/span.h"
#include "proto/error.h"

enum admin_role {
    ROLE_PUSH = 1,  /* push, broadcast, tickets */
    ROLE_READ = 2,  /* every GET */
    ROLE_ADMIN = 4, /* all */
};

enum { KEYS_MAX = 1000, KEY_NAME_MAX_BYTES = 64, KEY_MIN_BYTES = 16, KEY_MAX_BYTES = 512 };

struct key {
    char name[KEY_NAME_MAX_BYTES + 1]; /* for the log: A-Za-z0-9._- */
    enum admin_role role;
    uint8_t digest[DIGEST_LEN]; /* of the key, which itself is not kept */
};

struct keys {
    size_t n;
    struct key keys[];
};

/* ERR_INVALID_FIELD: *why names the line and says what is wrong with it, never a key.
 * ERR_NO_MEMORY. The caller frees *ret_keys with free(). */
MUST_CHECK enum err keys_read(struct span file, struct keys **ret_keys, char *why, size_t why_cap);

/* The key that an Authorization header presents (`Bearer KEY`); NULL: none of them. Takes as long
 * for every key of the file, whichever it is. */
const struct key *keys_find(const struct keys *keys, struct span authorization);

static inline bool key_may(const struct key *key, enum admin_role role)
{
    return key->role == ROLE_ADMIN || key->role == role;
}

#endif
