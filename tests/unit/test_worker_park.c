/* Workers that stand still while another thread acts in their place. */
#include "gateway/node/worker_park.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_WORKERS = 3 };

static struct options options;
static struct worker *workers[N_WORKERS];
static struct node node = {.workers = workers, .n_workers = N_WORKERS};

struct note {
    struct letter letter;
    struct worker *to;
    pthread_t thread; /* on which it was delivered */
    atomic_bool has_come;
};

static void on_note(struct letter *letter)
{
    struct note *note = CONTAINER_OF(letter, struct note, letter);
    cr_assert(worker_is_here(note->to));
    note->thread = pthread_self();
    atomic_store(&note->has_come, true);
}

static void ignore_second(struct worker *worker)
{
    (void)worker;
}

static void start(void)
{
    atomic_init(&node.options, &options);
    for (unsigned i = 0; i < N_WORKERS; i++) {
        cr_assert_eq(worker_new(&node, i, ignore_second, &workers[i]), ERR_OK);
        cr_assert_eq(worker_start(workers[i]), ERR_OK);
    }
}

static void stop(void)
{
    for (unsigned i = 0; i < N_WORKERS; i++) {
        worker_stop(workers[i]);
        worker_free(workers[i]);
    }
}

static void post(struct note *note, struct worker *to)
{
    *note = (struct note){.to = to};
    worker_post(to, &note->letter, on_note);
}

static void wait_for(struct note *note)
{
    while (!atomic_load(&note->has_come))
        usleep(1000);
}

Test(worker_park, stops_all_turns_until_they_are_let_go, .timeout = 20)
{
    struct note note;
    struct worker_park *park;
    uint64_t turns[N_WORKERS];
    start();
    cr_assert_eq(workers_park(&node, &park), ERR_OK);
    for (unsigned i = 0; i < N_WORKERS; i++)
        turns[i] = reactor_turns(workers[i]->reactor);
    post(&note, workers[1]);
    usleep(1200 * 1000); /* a heartbeat was due meanwhile */
    cr_assert_not(atomic_load(&note.has_come));
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(reactor_turns(workers[i]->reactor), turns[i]);
    workers_unpark(park);
    wait_for(&note);
    cr_assert_neq(note.thread, pthread_self());
    stop();
}

/* One that posts another one to the next worker, as what frees a session may do. */
struct relay {
    struct note first;
    struct note second;
};

static void on_relay(struct letter *letter)
{
    struct relay *relay = CONTAINER_OF(letter, struct relay, first.letter);
    on_note(letter);
    post(&relay->second, workers[0]);
}

static void mark(struct worker *worker, void *argument)
{
    unsigned *marks = argument;
    cr_assert(worker_is_here(worker));
    marks[worker->index]++;
}

Test(worker_park, lets_the_caller_act_in_every_turn, .timeout = 20)
{
    struct relay relay = {.first = {.to = workers[2]}};
    struct worker_park *park;
    unsigned marks[N_WORKERS] = {0};
    start();
    relay.first.to = workers[2];
    cr_assert_eq(workers_park(&node, &park), ERR_OK);
    worker_post(workers[2], &relay.first.letter, on_relay);
    workers_deliver(park);
    cr_assert(atomic_load(&relay.first.has_come));
    cr_assert(atomic_load(&relay.second.has_come));
    cr_assert_eq(relay.second.thread, pthread_self());
    workers_parked_each(park, mark, marks);
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(marks[i], 1);
    cr_assert_null(worker_here());
    workers_unpark(park);
    stop();
}

/* Each waits for the others: they would never all come one after the other. */
static atomic_uint n_here;

static void meet(struct worker *worker, void *argument)
{
    mark(worker, argument);
    atomic_fetch_add(&n_here, 1);
    while (atomic_load(&n_here) < N_WORKERS)
        usleep(1000);
}

Test(worker_park, runs_an_errand_on_all_workers_at_once, .timeout = 20)
{
    unsigned marks[N_WORKERS] = {0};
    start();
    workers_run_at_once(&node, meet, marks);
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(marks[i], 1);
    stop();
}
