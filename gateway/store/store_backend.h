/* What a backend implements, and what it needs of the dispatch. For the files of gateway/stores and
 * for a simulated store. */
#ifndef HERALD_STORE_STORE_BACKEND_H
#define HERALD_STORE_STORE_BACKEND_H

#include "gateway/store/store_config.h"

/* First member of every backend's own struct. */
struct store {
    const struct store_ops *ops;
};

/* store_upgrade.h: of a store that belongs to one process and can pass to the next. */
struct store_upgrade_ops {
    bool (*is_here)(
        const struct store *store); /* it was not awaited, or store_take_over was called */
    int (*lock_fd)(const struct store *store);
    void (*let_go)(struct store *store);
    void (*take_over)(struct store *store);
    void (*each_ticket)(struct store *store, store_ticket_visit_fn *visit, void *owner);
    enum err (*adopt_tickets)(struct store *store, const struct store_ticket *tickets,
                              size_t n_tickets);
};

/* The kinds of request: the struct is that of the same name; of SEND it is store_append. */
enum store_op {
    STORE_OP_APPEND,
    STORE_OP_PAGE,
    STORE_OP_ACK,
    STORE_OP_PEEK,
    STORE_OP_LOOK,
    STORE_OP_WITHDRAW,
    STORE_OP_BLOCK,
    STORE_OP_TICKET_GIVE,
    STORE_OP_TICKET_TAKE,
    STORE_OP_SEND,
    STORE_OP_ONLINE,
    STORE_OP_EVENT_APPEND, /* from here on: store_event_request.h */
    STORE_OP_CONSUMERS,
    STORE_OP_PRESENCE,
    STORE_OP_PRESENT,
    STORE_OP_SERVE,
    STORE_OP_ALERT_END,
    STORE_OPS
};

struct store_ops {
    const char *kind;
    bool is_shared; /* with other nodes */
    void (*close)(struct store *store);
    /* Takes a request of any kind, or several of one kind that are linked by `next`, the last one's
     * NULL, as if each came by itself. Their answers' lists are empty and their counts 0. Any
     * thread. */
    void (*submit)(struct store *store, struct store_request *request, enum store_op op);
    /* store_page_at_once; its answer's lists are empty. NULL: never. Any thread. */
    bool (*page_at_once)(struct store *store, struct store_page *page);
    /* A broadcast is not kept, so it need not be carried out in order with the requests. Any
     * thread. */
    void (*broadcast)(struct store *store, struct store_broadcast *broadcast);
    /* Of a shared store. Any thread. */
    void (*nodes)(struct store *store, struct store_nodes *nodes);
    /* The counts are 0, and there are no texts. Any thread. */
    void (*ask)(struct store *store, struct store_ask *ask);
    /* store_watch and store_watch_answer; NULL: no other node shares it. */
    void (*watch)(struct store *store, unsigned lane, struct span user_id,
                  const struct store_watch *watch);
    void (*answer_watch)(struct store *store, unsigned lane, struct span user_id,
                         const struct store_watch *watch, uint64_t acked);
    void (*leave)(struct store *store, unsigned lane, struct span user_id);
    void (*describe)(struct store *store, char *out, size_t cap);
    unsigned (*slots_missing)(struct store *store); /* NULL: it is of one piece */
    int64_t (*now_ms)(const struct store *store);
    int64_t (*now_of)(const struct store *store, struct span user_id); /* NULL: all have one */
    /* store_reload. NULL: there is nothing to read again. */
    void (*reload)(struct store *store);
    /* NULL: it is not handed over, or (is_shared) needs no step for it. */
    const struct store_upgrade_ops *upgrade;
};

/* Hands a broadcast's note to this node's on_broadcast; without that callback nobody is online
 * here. now_ms: by the store's clock. ERR_NO_MEMORY: the question is still the caller's. */
MUST_CHECK enum err store_offer_broadcast(const struct store_events *events, void *owner,
                                          struct payload *payload, int64_t now_ms,
                                          struct store_question *question);

/* Makes the answer of a request of store_event_request.h empty, with this error: what it holds is
 * freed, and nothing was done. on_done is the caller's to call. */
void store_event_answer(struct store_request *request, enum store_op op, enum err error);

/* Hands a question to this node's on_question; without that callback nobody is here. */
void store_offer_question(const struct store_events *events, void *owner,
                          struct store_user_question *question);

#endif
