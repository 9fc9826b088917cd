/* The keys of the admin API: the file of --admin-keys (CONTRACT section 3). Each line of it is
 * `NAME ROLE KEY`; empty lines and lines that begin with # are skipped. Immutable once read, and
 * therefore for any thread. */
#ifndef HERALD_ADMIN_KEYS_H
#define HERALD_ADMIN_KEYS_H

#include "proto/bytes/digest.h"
#include "proto/bytes/span.h"
#include "proto/error.h"

enum admin_role {
    ROLE_PUSH = 1,   /* push, broadcast, tickets */
    ROLE_READ = 2,   /* every GET but those of /events, and POST /online */
    ROLE_ADMIN = 4,  /* every route */
    ROLE_EVENTS = 8, /* events and their consumers */
};

enum { KEYS_MAX = 1000, KEY_NAME_MAX_BYTES = 64, KEY_MIN_BYTES = 16, KEY_MAX_BYTES = 512 };

struct key {
    char name[KEY_NAME_MAX_BYTES + 1]; /* for the log: A-Za-z0-9._- */
    enum admin_role role;
    uint8_t digest[DIGEST_LEN]; /* of the key; the key itself is not kept */
};

struct keys {
    size_t n;
    struct key keys[];
};

/* ERR_INVALID_FIELD: *why names the line and says what is wrong with it, never a key.
 * ERR_NO_MEMORY. The caller frees *ret_keys with free(). */
MUST_CHECK enum err keys_read(struct span file, struct keys **ret_keys, char *why, size_t why_cap);

/* The key that an Authorization header presents (`Bearer KEY`); NULL: none of them. The time
 * that it takes does not depend on which key matches. */
const struct key *keys_find(const struct keys *keys, struct span authorization);

static inline bool key_may(const struct key *key, enum admin_role role)
{
    return key->role == ROLE_ADMIN || key->role == role;
}

#endif
