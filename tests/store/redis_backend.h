/* The Redis store as the cases open it: on a redis-server of the test's own, its lane on a thread
 * of its own. For tests/store/test_store_redis*.c. */
#ifndef HERALD_TESTS_STORE_REDIS_BACKEND_H
#define HERALD_TESTS_STORE_REDIS_BACKEND_H

#include "gateway/base/metrics.h"
#include "gateway/stores/stores.h"
#include "tests/store/contract_fixture.h"
#include "tests/store/redis_server.h"

enum { SOON_MS = 20000 };

extern struct redis_server server;
extern struct reactor *lane; /* the reactor of all lanes */
extern unsigned n_lanes;     /* of the store that is opened next; 1 or 2 */
extern pthread_t lane_thread;
extern atomic_int n_missed; /* calls of on_missed */

/* Called by on_missed, on the lane's thread; NULL: nothing more happens. Set while the lane is
 * idle. */
extern void (*on_missed_too)(struct span user_id);

void *run_lane(void *reactor);

void prepare_server(void);

/* A store on `url` whose lane runs; it need not be up. */
struct store *open_on(struct store_config *config, const char *url);

/* store_leave belongs to the lane's thread. */
struct leave_letter {
    struct letter letter;
    struct store *store;
    struct span user_id;
    sem_t done;
};
void deliver_leave(struct letter *letter);

void wait_for_missed(int wanted);

/* Another node beside `store`, its lane on a thread of its own. */
struct other_node {
    struct store *store;
    struct reactor *lane;
    pthread_t thread;
};

void other_open(struct other_node *other); /* it is the owner of its events */
void other_open_with(struct other_node *other, const struct store_config *like);
void other_stop(struct other_node *other);
void other_go_on(struct other_node *other);
void other_close(struct other_node *other);

#endif
