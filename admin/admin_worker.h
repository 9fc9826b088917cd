/* One worker's part of the admin API: its requests, and what they share on its thread. It is made
 * before the port opens. It outlives admin_stop while the gateway has one of its requests: then the
 * last of them frees it.
 *
 * Threads: the worker's. */
#ifndef HERALD_ADMIN_WORKER_H
#define HERALD_ADMIN_WORKER_H

#include "admin/access.h"
#include "admin/budget.h"
#include "gateway/base/list.h"
#include "gateway/node/worker.h"

struct service;
struct library;
struct bridges;
struct request;

struct admin_worker {
    struct worker *worker;
    struct service *service; /* one reference */
    struct access_view view;
    struct budget_purse purse;
    struct library *library; /* the engine of all routes but POST /push */
    struct bridges *bridges;
    struct list requests;  /* that have begun and are not answered */
    unsigned n_requests;   /* how many these are */
    unsigned n_running;    /* of these, complete ones, and bodies of many lines */
    unsigned n_allocated;  /* with those that only the gateway has */
    struct request *spare; /* the memory of the next request, and the buffers of its body and */
    struct buf spare_body; /* its answer; kept while they are of the usual size */
    struct buf spare_out;
    uint64_t id_state; /* of request ids */
    int64_t active_ms; /* when something came last, or was answered; on worker_now_ms */
    bool has_given_up; /* a request that would wait from here on is overdue at once */
    bool is_closed;
};

/* Without a library: admin.c adds it. ERR_NO_MEMORY. */
MUST_CHECK enum err admin_worker_new(struct worker *worker, struct service *service,
                                     struct admin_worker **ret_home);

/* The last connection has ended: frees it, or lets the last request do so. */
void admin_worker_close(struct admin_worker *home);

/* A request was freed. */
void admin_worker_released(struct admin_worker *home);

#endif
