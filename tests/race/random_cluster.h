/* A Redis Cluster that does its worst: nodes on 127.0.0.1 that answer at random what was asked, a
 * redirection, a refusal, nonsense or nothing, cut what they say, hang up, and move slots all the
 * time. It keeps account of what was pushed to it: no push is carried out twice.
 *
 * A push is told by its data, {"id":N}. One thread serves all nodes. */
#ifndef HERALD_TESTS_RACE_RANDOM_CLUSTER_H
#define HERALD_TESTS_RACE_RANDOM_CLUSTER_H

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "FAIL %s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

enum { RANDOM_USERS = 64, RANDOM_PUSHES = 1 << 18 };

/* From 0 on; another one for each caller's seed. */
uint32_t random_next(uint64_t *state);

void random_cluster_start(uint64_t seed);
void random_cluster_stop(void);
/* For --store: two of its nodes. */
const char *random_cluster_url(void);

/* After the stop: how often a push was carried out (0 or 1), and its number then. */
unsigned random_cluster_kept(unsigned id, uint64_t *ret_seq);
/* How many commands it has answered with an error, and how often it has hung up. */
void random_cluster_counts(unsigned *ret_refused, unsigned *ret_hung_up);

#endif
