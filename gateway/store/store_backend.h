/* What a backend implements; store.c hands each call on. For files in gateway/store alone. */
#ifndef HERALD_STORE_STORE_BACKEND_H
#define HERALD_STORE_STORE_BACKEND_H

#include "gateway/store/store.h"

/* First member of every backend's own struct. */
struct store {
    const struct store_ops *ops;
};

struct store_ops {
    const char *kind;
    void (*close)(struct store *store);
    void (*append)(struct store *store, struct store_append *append);
    bool is_shared; /* with other nodes */
    void (*page)(struct store *store, struct store_page *page);
    void (*ack)(struct store *store, struct store_ack *ack);
    void (*peek)(struct store *store, struct store_peek *peek);
    void (*look)(struct store *store, struct store_look *look);
    void (*withdraw)(struct store *store, struct store_withdraw *withdraw);
    void (*block)(struct store *store, struct store_block *block);
    void (*ticket_give)(struct store *store, struct store_ticket_give *give);
    void (*ticket_take)(struct store *store, struct store_ticket_take *take);
    void (*leave)(struct store *store, unsigned lane, struct span user_id);
    void (*describe)(struct store *store, char *out, size_t cap);
    void (*broadcast)(struct store *store, struct store_broadcast *broadcast);
    int64_t (*now_ms)(const struct store *store);
};

/* Hands a broadcast's note to this node's on_broadcast. A callee that there is not has nobody
 * online. ERR_NO_MEMORY: the question is still the caller's. */
MUST_CHECK enum err store_tell_broadcast(const struct store_events *events, void *owner,
                                         struct payload *payload, struct store_question *question);

/* One a backend; as store_open. */
MUST_CHECK enum err store_memory_open(const struct store_config *config, struct store **ret_store,
                                      char *why, size_t why_cap);
MUST_CHECK enum err store_file_open(const struct store_config *config, const char *path,
                                    struct store **ret_store, char *why, size_t why_cap);
MUST_CHECK enum err store_redis_open(const struct store_config *config, struct store **ret_store,
                                     char *why, size_t why_cap);

#endif
