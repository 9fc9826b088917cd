/* A node with one worker, presence and serving, on a played record (presence_record.h), without
 * sessions: users come and go by the test's word. One thread; nothing runs but in
 * presence_node_turn. Failures end the test (criterion). */
#ifndef HERALD_TESTS_PRESENCE_NODE_H
#define HERALD_TESTS_PRESENCE_NODE_H

#include "gateway/events/presence.h"
#include "gateway/events/serving.h"
#include "gateway/node/worker.h"
#include "tests/support/presence_record.h"

struct presence_node {
    struct options options;
    struct node node;
    struct worker *worker;
    struct events events;
    struct presence_link link;
    unsigned n_entered; /* of all users, ever: the number in the connection's name */
};

enum { PRESENCE_TYPES = EVENT_BIT(EVENT_ONLINE) | EVENT_BIT(EVENT_OFFLINE) };

/* The clock of all nodes, monotonic and of the record; begins at 100 s. */
extern int64_t presence_node_now_ms;
int64_t presence_node_clock(void);
/* From here on Herald reads that clock. */
void presence_node_replace_clock(void);

/* Makes the node, and starts it. `name`: the one that it adopts; NULL: it draws its own. */
void presence_node_open(struct presence_node *node, struct presence_record *record,
                        uint32_t offline_after_ms, unsigned types);
void presence_node_start(struct presence_node *node, const char *name);
/* The process ends, killed. Its users' clients are gone. */
void presence_node_kill(struct presence_node *node);

void presence_node_enter(struct presence_node *node, const char *user_id);
void presence_node_leave(struct presence_node *node, const char *user_id, enum offline_cause cause);
bool presence_node_has(struct presence_node *node, const char *user_id);

/* Letters, timers and the store, until all rests. */
void presence_node_turn(struct presence_node *node);
/* Time passes in steps of 100 ms, with a turn of each of the `n` nodes after each; each second the
 * workers' second passes, too. */
void presence_nodes_wait_ms(struct presence_node **nodes, unsigned n, int64_t ms);

#endif
