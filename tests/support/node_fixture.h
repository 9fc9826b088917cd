/* A node with one worker and the memory store on one thread, for unit tests of what a node does:
 * nothing runs but in node_fixture_turn, and time passes in node_fixture_wait_ms alone. One per
 * process. Failures end the test (criterion). */
#ifndef HERALD_TESTS_NODE_FIXTURE_H
#define HERALD_TESTS_NODE_FIXTURE_H

#include "gateway/node/worker.h"

struct node_fixture {
    struct options options; /* what a node reads of them, at their defaults; may be changed */
    struct node node;
    struct worker *worker;
    bool loses_events; /* what the store reports of inboxes does not reach the node's channels */
    bool is_parked;    /* the worker has no turns */
    struct node *successor; /* it hears the store's events as well, and its worker is turned */
};

extern struct node_fixture fixture;

/* A test suite's .init and .fini. Stopping closes all sessions, and checks that no socket, session
 * or client is left in the node's numbers. */
void node_fixture_start(void);
void node_fixture_stop(void);

/* Turns the worker and the store until both have done what they asked of each other. */
void node_fixture_turn(void);

/* Turns the store alone: what it has done has not reached the worker yet. */
void node_fixture_turn_store(void);

/* Time passes in steps of at most 50 ms, with a turn after each. */
void node_fixture_wait_ms(int64_t ms);

/* The process stands still for that time, and then takes one turn. */
void node_fixture_stall_ms(int64_t ms);

/* The monotonic clock of the fixture; the wall clock is NODE_FIXTURE_WALL_MS ahead of it. */
int64_t node_fixture_now_ms(void);
/* Events that the memory store keeps in a partition, for an hour. */
enum { NODE_FIXTURE_EVENTS_MAX = 64 };

#define NODE_FIXTURE_WALL_MS INT64_C(1700000000000)

/* A push to one user, which must be accepted; answers its number (0 with ttl_s 0). */
uint64_t node_fixture_push(const char *user_id, const char *data, uint32_t ttl_s);

/* `n` users c0, c1, ..., each present without a session that could be written to; and away again.
 */
void node_fixture_enter_clients(unsigned n);
void node_fixture_leave_clients(void);

/* Requests find the memory store full from now on, or no longer. */
void node_fixture_set_store_full(bool is_full);

#endif
