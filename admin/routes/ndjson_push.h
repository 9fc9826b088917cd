/* The lines of one NDJSON push that the gateway has: how many, how long, and whether the sender has
 * to wait for them. `lock` guards what stands below it; nothing is called out to under it. */
#ifndef HERALD_ADMIN_NDJSON_PUSH_H
#define HERALD_ADMIN_NDJSON_PUSH_H

#include "admin/routes/ndjson.h"

#include <pthread.h>

struct lines {
    /* the daemon's thread alone */
    bool is_begun;
    bool is_over;      /* a last problem ended it: the rest of the body is thrown away */
    enum err refused;  /* not ERR_OK: from here on every line is refused with it */
    bool is_waiting;   /* for room; the registry has the connection, or had it */
    size_t held_bytes; /* of the memory budget, for the lines that the gateway has */
    size_t rest_bytes; /* the same, for the line that is arriving */
    struct ndjson_splitter splitter;
    struct ndjson_results results;
    struct ndjson_result last; /* with is_over: of the first line that was not looked at */

    pthread_mutex_t lock;
    unsigned n_in_flight;
    size_t bytes_in_flight;
    bool is_paused; /* whoever makes room says so to the registry */
    bool is_ended;  /* the body has ended: whoever is last says so to the registry */
};

#endif
