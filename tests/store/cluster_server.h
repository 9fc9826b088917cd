/* A Redis Cluster of a test's own: primaries without replicas on free ports of 127.0.0.1, in a
 * directory that goes with them, and gone when the process that started them is. */
#ifndef HERALD_TESTS_STORE_CLUSTER_SERVER_H
#define HERALD_TESTS_STORE_CLUSTER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CLUSTER_NODES = 3, CLUSTER_SLOTS = 16384 };

struct cluster_server {
    char folder[64];
    char url[128]; /* for --store */
    struct {
        int port;
        int bus_port;
        pid_t pid;   /* 0: not running, or another process started it */
        char id[41]; /* of the Cluster */
    } nodes[CLUSTER_NODES];
};

/* Slots that nobody has fail alone. Takes 2 to 3 s: so long Redis waits before it takes writes. */
void cluster_server_start(struct cluster_server *cluster);
void cluster_server_stop(struct cluster_server *cluster);

/* For the processes of the tests: one that is started before them is found by its ports. */
void cluster_server_announce(const struct cluster_server *cluster);
bool cluster_server_is_there(void);
void cluster_server_find(struct cluster_server *cluster);

/* A node away, and there again. */
void cluster_server_kill(struct cluster_server *cluster, unsigned node);
void cluster_server_start_node(struct cluster_server *cluster, unsigned node);

/* One command of plain words; the beginning of its answer. */
void cluster_server_ask(const struct cluster_server *cluster, unsigned node, const char *line,
                        char *answer, size_t cap);
void cluster_server_do(const struct cluster_server *cluster, unsigned node, const char *line);

/* Of all keys of a userId without `{`, `}` and `%`. */
unsigned cluster_server_slot(const struct cluster_server *cluster, const char *user);
/* The node that has the slot from the start. */
unsigned cluster_server_owner(unsigned slot);

/* Moves a slot with its keys; the node that had it is `from`. */
void cluster_server_move(const struct cluster_server *cluster, unsigned slot, unsigned from,
                         unsigned to);

#endif
