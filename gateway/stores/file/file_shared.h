/* How many notifications refer to each shared payload of the file store: key -> count. In memory
 * only; counted anew whenever the index is rebuilt. For the store's thread. */
#ifndef HERALD_STORE_FILE_SHARED_H
#define HERALD_STORE_FILE_SHARED_H

#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

struct file_shared_slot {
    uint64_t key; /* 0: empty */
    uint64_t refs;
};

/* All zeros is an empty table. */
struct file_shared {
    struct file_shared_slot *slots;
    size_t n;
    size_t cap; /* a power of two, or 0 */
};

void file_shared_clear(struct file_shared *shared);
MUST_CHECK enum err file_shared_ref(struct file_shared *shared, uint64_t key);

/* Answers the references that are left; at 0 the key is forgotten. An unknown key has none. */
uint64_t file_shared_unref(struct file_shared *shared, uint64_t key);

#endif
