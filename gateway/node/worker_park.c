#include "gateway/node/worker_park.h"

#include <semaphore.h>
#include <stdlib.h>

struct place {
    struct letter letter;
    struct worker *worker;
    struct worker_park *park;
};

struct worker_park {
    struct node *node;
    sem_t parked; /* posted by each thread when it stands still, and when it has left */
    sem_t leave;
    struct place places[];
};

static void wait_on(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) { /* EINTR */
    }
}

/* Not in a visit: the worker's own thread would run on. */
static void on_park(struct letter *letter)
{
    struct place *place = CONTAINER_OF(letter, struct place, letter);
    struct worker_park *park = place->park;
    if (reactor_is_visited(place->worker->reactor)) {
        worker_post(place->worker, &place->letter, on_park);
        return;
    }
    sem_post(&park->parked);
    wait_on(&park->leave);
    sem_post(&park->parked); /* it may be gone now */
}

enum err workers_park(struct node *node, struct worker_park **ret_park)
{
    struct worker_park *park = malloc(sizeof *park + node->n_workers * sizeof park->places[0]);
    if (park == NULL)
        return ERR_NO_MEMORY;
    park->node = node;
    sem_init(&park->parked, 0, 0);
    sem_init(&park->leave, 0, 0);
    for (unsigned i = 0; i < node->n_workers; i++) {
        park->places[i] = (struct place){.worker = node->workers[i], .park = park};
        worker_post(node->workers[i], &park->places[i].letter, on_park);
    }
    for (unsigned i = 0; i < node->n_workers; i++)
        wait_on(&park->parked);
    *ret_park = park;
    return ERR_OK;
}

void workers_parked_each(struct worker_park *park,
                         void (*run)(struct worker *worker, void *argument), void *argument)
{
    for (unsigned i = 0; i < park->node->n_workers; i++) {
        worker_be_here(park->node->workers[i]);
        run(park->node->workers[i], argument);
    }
    worker_be_here(NULL);
}

static void deliver_here(struct worker *worker, void *argument)
{
    size_t *n = argument;
    *n += mailbox_deliver(worker_mailbox(worker));
}

void workers_deliver(struct worker_park *park)
{
    size_t n;
    do {
        n = 0;
        workers_parked_each(park, deliver_here, &n);
    } while (n > 0);
}

void workers_unpark(struct worker_park *park)
{
    for (unsigned i = 0; i < park->node->n_workers; i++)
        sem_post(&park->leave);
    for (unsigned i = 0; i < park->node->n_workers; i++)
        wait_on(&park->parked);
    sem_destroy(&park->parked);
    sem_destroy(&park->leave);
    free(park);
}

/* ---- at once ---- */

struct share {
    struct letter letter;
    struct worker *worker;
    struct shares *shares;
};

struct shares {
    void (*run)(struct worker *worker, void *argument);
    void *argument;
    sem_t done;
    struct share all[];
};

static void on_share(struct letter *letter)
{
    struct share *share = CONTAINER_OF(letter, struct share, letter);
    struct shares *shares = share->shares;
    if (reactor_is_visited(share->worker->reactor)) {
        worker_post(share->worker, &share->letter, on_share);
        return;
    }
    shares->run(share->worker, shares->argument);
    sem_post(&shares->done); /* it may be gone now */
}

void workers_run_at_once(struct node *node, void (*run)(struct worker *worker, void *argument),
                         void *argument)
{
    struct shares *shares = malloc(sizeof *shares + node->n_workers * sizeof shares->all[0]);
    if (shares == NULL) {
        worker_run_on_all(node, run, argument);
        return;
    }
    shares->run = run;
    shares->argument = argument;
    sem_init(&shares->done, 0, 0);
    for (unsigned i = 0; i < node->n_workers; i++) {
        shares->all[i] = (struct share){.worker = node->workers[i], .shares = shares};
        worker_post(node->workers[i], &shares->all[i].letter, on_share);
    }
    for (unsigned i = 0; i < node->n_workers; i++)
        wait_on(&shares->done);
    sem_destroy(&shares->done);
    free(shares);
}
