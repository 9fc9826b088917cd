/* The whole gateway that several races run against: on the memory store with three workers, what
 * they all ask of it, and how long it goes on. A race has one, `race`; everything here but
 * race_start and race_end may be called by any thread. */
#ifndef HERALD_TESTS_RACE_HOST_H
#define HERALD_TESTS_RACE_HOST_H

#include "gateway/gateway.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RACE_THREADS_MAX = 8, RACE_ARGUMENTS_MAX = 24, RACE_USER_CAP = 24 };

struct race {
    struct node *node;
    struct options options;
    unsigned port;
    atomic_int n_asked; /* requests with an answer, and the answers */
    atomic_int n_answered;
    atomic_bool is_over; /* the threads end soon after */
    pthread_t threads[RACE_THREADS_MAX];
    size_t n_threads;
};
extern struct race race;

/* How long to run: the first argument, in milliseconds, or else `usual_ms`. */
int race_run_ms(int argc, char **argv, int usual_ms);

/* Starts the gateway with these options besides, a list that ends with NULL. False: said on stderr.
 */
bool race_start(char *const more[]);

/* `run` is called with `seed` as its argument. */
void race_thread(void *(*run)(void *), size_t seed);

/* Pushes to one user; of `how` only what says what is pushed. Ends the process where it is refused.
 */
void race_push(const char *user, const struct gateway_push *how);

/* Counts the answer of a request that was counted in n_asked, and frees it. */
void race_answered(void *request);

/* Ends the threads, and waits up to 5 s for the answers that are still missing. */
void race_join(void);

/* After race_join. True: something was asked, and all of it was answered. */
bool race_end(void);

#endif
