/* A worker, its clock and its heartbeat, and the ways to have something done on a worker's thread:
 * a command is sent to all workers without waiting, an errand is run on one after the other while
 * the sender waits. What a worker frees is freed at the end of its turn, in free_deferred. */
#include "gateway/node/worker.h"

#include "gateway/base/clock.h"
#include "proto/ws/deflate.h"

#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

enum { HEARTBEAT_MS = 1000 };

static void on_heartbeat(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, heartbeat);
    int64_t now_ms = worker_now_ms(worker);
    atomic_store_explicit(&worker->seen_ms, now_ms, memory_order_relaxed);
    worker->on_second(worker);
    worker_set_timer(worker, timer, now_ms + HEARTBEAT_MS);
}

static void free_deferred(struct reactor_task *task)
{
    struct worker *worker = CONTAINER_OF(task, struct worker, free_task);
    while (worker->deferred != NULL) {
        struct deferred_free *deferred = worker->deferred;
        worker->deferred = deferred->next;
        deferred->free_it(deferred);
    }
}

enum err worker_make_deflate(struct worker *worker)
{
    if (worker->deflater != NULL)
        return ERR_OK;
    enum err error = deflater_new(&worker->deflater);
    if (error != ERR_OK)
        return error;
    error = inflater_new(&worker->inflater);
    if (error != ERR_OK) {
        deflater_free(worker->deflater);
        worker->deflater = NULL;
    }
    return error;
}

static void on_command(struct letter *letter)
{
    struct worker_command *command = CONTAINER_OF(letter, struct worker_command, letter);
    /* Before it is carried out: the same command, sent from here on, is carried out once more. */
    atomic_store(&command->is_posted, false);
    command->worker->node->command_fns[command->kind](command->worker);
}

static void prepare_commands(struct worker *worker)
{
    for (unsigned kind = 0; kind < COMMANDS; kind++) {
        struct worker_command *command = &worker->commands[kind];
        command->letter.deliver = on_command;
        command->worker = worker;
        command->kind = (enum worker_command_kind)kind;
    }
}

enum err worker_new(struct node *node, unsigned index, void (*on_second)(struct worker *worker),
                    struct worker **ret_worker)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return ERR_NO_MEMORY;
    worker->node = node;
    worker->index = index;
    worker->on_second = on_second;
    list_init(&worker->free_task.link);
    list_init(&worker->closing);
    list_init(&worker->unauthenticated);
    list_init(&worker->held_kicks);
    worker->free_task.run = free_deferred;
    timer_init(&worker->heartbeat, on_heartbeat);
    prepare_commands(worker);
    if (getrandom(&worker->random, sizeof worker->random, 0) != sizeof worker->random)
        worker->random = index;
    worker->random |= 1; /* xorshift stands still at 0 */

    enum err error = reactor_new(worker, &worker->reactor);
    if (error != ERR_OK)
        goto undo_alloc;
    error = conn_loop_init(&worker->loop, worker->reactor);
    if (error != ERR_OK)
        goto undo_reactor;
    if (node->options->compress) {
        error = worker_make_deflate(worker);
        if (error != ERR_OK)
            goto undo_loop;
    }
    int64_t now_ms = worker_now_ms(worker);
    atomic_init(&worker->seen_ms, now_ms);
    worker_set_timer(worker, &worker->heartbeat, now_ms + HEARTBEAT_MS);
    *ret_worker = worker;
    return ERR_OK;

undo_loop:
    conn_loop_fini(&worker->loop);
undo_reactor:
    reactor_free(worker->reactor);
undo_alloc:
    free(worker);
    return error;
}

struct worker *worker_here(void)
{
    const struct reactor *reactor = reactor_here();
    return reactor == NULL ? NULL : reactor_owner(reactor);
}

void worker_be_here(struct worker *worker)
{
    reactor_be_here(worker == NULL ? NULL : worker->reactor);
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    reactor_run(worker->reactor);
    return NULL;
}

enum err worker_start(struct worker *worker)
{
    sigset_t all; /* signals are the main thread's business */
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, run_worker, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? ERR_OK : ERR_SYSTEM;
}

void worker_stop(struct worker *worker)
{
    reactor_stop(worker->reactor);
    pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    free_deferred(&worker->free_task);
    user_agents_fini(&worker->agents);
    deflater_free(worker->deflater);
    inflater_free(worker->inflater);
    conn_loop_fini(&worker->loop);
    reactor_free(worker->reactor);
    free(worker);
}

void worker_free_later(struct worker *worker, struct deferred_free *deferred,
                       void (*free_it)(struct deferred_free *deferred))
{
    deferred->free_it = free_it;
    deferred->next = worker->deferred;
    worker->deferred = deferred;
    reactor_free_at_turn_end(worker->reactor, &worker->free_task);
}

void worker_command_all(struct node *node, enum worker_command_kind kind)
{
    for (unsigned i = 0; i < node->n_workers; i++) {
        struct worker_command *command = &node->workers[i]->commands[kind];
        if (!atomic_exchange(&command->is_posted, true))
            mailbox_post(worker_mailbox(node->workers[i]), &command->letter);
    }
}

struct errand {
    struct letter letter;
    struct worker *worker;
    void (*run)(struct worker *worker, void *argument);
    void *argument;
    sem_t done;
};

/* An errand may free what has watches in it. */
static void on_errand(struct letter *letter)
{
    struct errand *errand = CONTAINER_OF(letter, struct errand, letter);
    if (reactor_is_visited(errand->worker->reactor)) {
        worker_post(errand->worker, &errand->letter, on_errand);
        return;
    }
    errand->run(errand->worker, errand->argument);
    sem_post(&errand->done); /* it may be gone now */
}

void worker_run_on_all(struct node *node, void (*run)(struct worker *worker, void *argument),
                       void *argument)
{
    struct errand errand = {.run = run, .argument = argument};
    sem_init(&errand.done, 0, 0);
    for (unsigned i = 0; i < node->n_workers; i++) {
        errand.worker = node->workers[i];
        worker_post(errand.worker, &errand.letter, on_errand);
        while (sem_wait(&errand.done) != 0) { /* EINTR */
        }
    }
    sem_destroy(&errand.done);
}

const char *worker_date(struct worker *worker)
{
    int64_t now_s = clock_wall_ms() / 1000;
    if (worker->date[0] == '\0' || now_s != worker->date_s) {
        worker->date_s = now_s;
        http_date_write(now_s, worker->date);
    }
    return worker->date;
}

uint64_t worker_random(struct worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return worker->random;
}
