/* A gateway that a test plays: it defines what gateway.h and requests.h declare, and is linked in
 * the gateway's place. What is asked of it waits in a queue, and a thread of its own answers, at
 * once or when the test says so. One a process; criterion runs every test in a process of its own.
 */
#ifndef HERALD_TESTS_GATEWAY_TWIN_H
#define HERALD_TESTS_GATEWAY_TWIN_H

#include "gateway/gateway.h"

#include <pthread.h>

struct twin_task;

/* `lock` guards it. The last push is copied, since its texts end with it. */
struct gateway_twin {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct twin_task *first, **end;
    bool is_held; /* nothing is answered until twin_release */
    bool is_over;
    bool has_stuck;    /* gateway_end_waits releases nothing */
    bool has_no_waits; /* gateway_end_waits was called */
    uint64_t n_pushes;
    uint64_t n_answered;
    uint64_t n_ended_waits; /* gateway_end_wait was called */
    char last_data[256], last_user[256], last_collapse_key[128], last_idempotency_key[128];
    uint32_t last_ttl_s, last_wait_ms, last_alert_after_s;
    struct gateway_message asked_message;
    struct gateway_cancel asked_cancel;
    struct gateway_inbox asked_inbox;
    struct gateway_purge asked_purge;
    void (*play_push)(struct gateway_push *push, uint64_t n); /* NULL: kept for nobody */
    void (*play_message)(struct gateway_message *message);
    void (*play_cancel)(struct gateway_cancel *cancel);
    void (*play_inbox)(struct gateway_inbox *inbox);
    void (*play_purge)(struct gateway_purge *purge);
    void (*play_nodes)(struct gateway_nodes *nodes);
    void (*play_clients)(struct gateway_clients *clients); /* NULL: nobody is online */
    void (*play_drain)(struct gateway_drain *drain);       /* NULL: nobody is closed */
    enum node_readiness readiness;
    const char *store_problem;
    struct upgrade_status upgrade;
    const char *upgrade_refusal; /* NULL: there can be one */
    int64_t blocked_until_ms;
    enum err online_error; /* of GET /online */
};
extern struct gateway_twin twin;

void twin_begin(void); /* starts its thread */
void twin_end(void);   /* answers everything that waits, and joins the thread */

void twin_hold(bool is_held);

uint64_t twin_pushes(void);
/* Waits for n pushes, at most 10 s; answers how many came. */
uint64_t twin_await_pushes(uint64_t n);

#endif
