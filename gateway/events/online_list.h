/* Who is online in the whole fleet, in pages, from the record that presence keeps: with those whose
 * grace time runs. The order is that of the partitions and within each of the bytes of the userIds,
 * so that it stays the same whoever comes and goes meanwhile. */
#ifndef HERALD_EVENTS_ONLINE_LIST_H
#define HERALD_EVENTS_ONLINE_LIST_H

#include "proto/bytes/buf.h"

#include <stdint.h>

enum { ONLINE_LIST_MAX = 1000 };

struct node;

struct gateway_online_page {
    void (*on_done)(struct gateway_online_page *page); /* any thread; must not block */
    struct span after;  /* the last user of the page before; empty: from the start. It stays until
                         * on_done */
    uint32_t limit;     /* 1..ONLINE_LIST_MAX */
    enum err error;     /* out: ERR_OK; ERR_CONFLICT: neither user.online nor user.offline is kept;
                         * ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    size_t n;           /* out: users */
    struct span *users; /* out: one block, texts included, that the caller frees */
    bool has_more;      /* out: another page follows */
};

/* Any thread. on_done may be called before it returns. */
void gateway_online_page(struct node *node, struct gateway_online_page *page);

#endif
