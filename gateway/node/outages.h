/* When the store was away. The last outages are kept; what came before them counts as one. Any
 * thread; the times are any one clock's, in ms. */
#ifndef HERALD_NODE_OUTAGES_H
#define HERALD_NODE_OUTAGES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTAGES_KEPT = 16 };

struct outages {
    pthread_mutex_t lock;
    size_t n;
    struct {
        int64_t from_ms;
        int64_t to_ms;   /* INT64_MAX: it lasts */
    } all[OUTAGES_KEPT]; /* the oldest first */
};

/* No outage has been. */
void outages_init(struct outages *outages);
void outages_fini(struct outages *outages);

/* The store goes away, or it is back; without the other before it, it means nothing. */
void outages_begin(struct outages *outages, int64_t now_ms);
void outages_end(struct outages *outages, int64_t now_ms);

/* For how long it was away between then and now. */
int64_t outages_since(struct outages *outages, int64_t then_ms, int64_t now_ms);

#endif
