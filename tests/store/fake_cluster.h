/* A Redis Cluster that says what a test wants: three nodes, each a fake (fake_redis.h) in front of
 * the same redis-server, so that whatever node carries something out, it is done. Each answers for
 * the slots that the test gives it, with MOVED for those of another node and CLUSTERDOWN for those
 * of nobody; a rule of the test sees each command before that. */
#ifndef HERALD_TESTS_STORE_FAKE_CLUSTER_H
#define HERALD_TESTS_STORE_FAKE_CLUSTER_H

#include "tests/store/fake_redis.h"

enum { FAKE_NODES = 3, FAKE_SLOTS = 16384, FAKE_NOBODY = 255 };

struct fake_cluster;

/* FAKE_PASS: the node answers as a node does. On the node's thread. */
typedef enum fake_verdict fake_node_rule(struct fake_cluster *cluster, unsigned node,
                                         struct fake_command *command);

struct fake_node {
    struct fake_cluster *cluster;
    unsigned number;
};

struct fake_cluster {
    struct fake_redis nodes[FAKE_NODES];
    struct fake_node owners[FAKE_NODES]; /* of the nodes' rules */
    char url[128];                       /* for --store */
    fake_node_rule *rule;
    atomic_uint n_asked_maps;                /* CLUSTER SLOTS, of all nodes */
    _Atomic unsigned char owner[FAKE_SLOTS]; /* what nodes say and do */
};

/* A third of the slots each. rule: NULL: none. `behind` outlives it. */
void fake_cluster_start(struct fake_cluster *cluster, const struct redis_server *behind,
                        fake_node_rule *rule);
void fake_cluster_stop(struct fake_cluster *cluster);

/* The n-th user (from 0) whose slot is at this node from the start; the slot of a user's keys. */
const char *fake_cluster_user(unsigned node, unsigned n);
unsigned fake_cluster_slot(const char *user);

/* A user's slot is another node's from now on (FAKE_NOBODY: nobody's), and the one that had it ends
 * his subscription, as Redis does. */
void fake_cluster_move(struct fake_cluster *cluster, const char *user, unsigned to);

/* For rules: the answer to CLUSTER SLOTS as the nodes give it. */
enum fake_verdict fake_cluster_say_slots(struct fake_cluster *cluster,
                                         struct fake_command *command);

#endif
