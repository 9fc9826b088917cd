/* Reactors that send letters to each other and sleep between, so that they visit and wake one
 * another all the time, against other threads that post, and descriptors that become ready. For
 * ThreadSanitizer, which sees whether two threads are in one reactor's turn; besides, no letter may
 * rest, and no event may reach what is freed. If a letter rests, it says so and fails. */
#include "gateway/net/reactor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    REACTORS = 3,
    WALKERS = 5, /* letters that go from reactor to reactor */
    POSTERS = 2, /* threads without a reactor */
    STEPS = 20000,
    POSTER_STEPS = 2000,
    REST_MS = 20000, /* nothing has moved for so long: a letter rests */
};

/* A watch that lives until a letter replaces it, ready or not. */
struct bell {
    struct reactor_watch watch;
    struct place *place;
    struct reactor_task free_task;
};

struct place {
    struct reactor *reactor;
    pthread_t thread;
    struct bell *bell;
    struct timer timer;
    struct reactor_task turn_end;
    /* Touched in each turn and visit, for ThreadSanitizer. */
    uint64_t n_delivered, n_visits, n_rung, n_ended;
};

struct walker {
    struct letter letter;
    struct place *at;
    unsigned seed;
    unsigned steps_left;
    bool is_poster; /* it goes back to its thread after each step */
    atomic_uint n_done;
};

static struct place places[REACTORS];
static struct walker walkers[WALKERS + POSTERS];
static atomic_uint n_finished;
static atomic_uint n_steps; /* of all */

static void check(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "race_visit: %s\n", what);
    _exit(1);
}

static unsigned draw(struct walker *walker, unsigned n)
{
    return (unsigned)rand_r(&walker->seed) % n;
}

/* ---- descriptors ---- */

static void on_bell(struct reactor_watch *watch, uint32_t events)
{
    struct bell *bell = CONTAINER_OF(watch, struct bell, watch);
    uint64_t count;
    (void)events;
    check(bell->place->bell == bell, "an event has reached a watch that was removed");
    if (read(watch->fd, &count, sizeof count) > 0)
        bell->place->n_rung++;
}

static void free_bell(struct reactor_task *task)
{
    struct bell *bell = CONTAINER_OF(task, struct bell, free_task);
    bell->place = NULL;
    free(bell);
}

static void hang_bell(struct place *place)
{
    struct bell *bell = calloc(1, sizeof *bell);
    check(bell != NULL, "out of memory");
    bell->place = place;
    bell->watch.on_ready = on_bell;
    bell->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bell->free_task.run = free_bell;
    list_init(&bell->free_task.link);
    check(reactor_watch_add(place->reactor, &bell->watch, EPOLLIN) == ERR_OK, "no watch");
    place->bell = bell;
}

static void take_bell_down(struct place *place)
{
    struct bell *bell = place->bell;
    reactor_watch_remove(place->reactor, &bell->watch);
    close(bell->watch.fd);
    reactor_free_at_turn_end(place->reactor, &bell->free_task);
}

/* ---- letters ---- */

static void on_turn_end(struct reactor_task *task)
{
    CONTAINER_OF(task, struct place, turn_end)->n_ended++;
}

static void on_due(struct timer *timer)
{
    CONTAINER_OF(timer, struct place, timer)->n_ended++;
}

static void go_to(struct walker *walker, struct place *place)
{
    walker->at = place;
    mailbox_post(reactor_mailbox(place->reactor), &walker->letter);
}

static void do_something(struct walker *walker)
{
    struct place *place = walker->at;
    uint64_t one = 1;
    reactor_at_turn_end(place->reactor, &place->turn_end);
    switch (draw(walker, 16)) {
    case 0:
        take_bell_down(place);
        hang_bell(place);
        break;
    case 1:
        check(write(place->bell->watch.fd, &one, sizeof one) > 0, "no bell");
        break;
    case 2: /* ready, and gone: the thread may have it in its hands */
        check(write(place->bell->watch.fd, &one, sizeof one) > 0, "no bell");
        take_bell_down(place);
        hang_bell(place);
        break;
    case 3:
        timer_set(reactor_timers(place->reactor), &place->timer, reactor_now_ms(place->reactor));
        break;
    default:
        break;
    }
}

static void on_walker(struct letter *letter)
{
    struct walker *walker = CONTAINER_OF(letter, struct walker, letter);
    struct place *place = walker->at;
    check(reactor_here() == place->reactor, "it was delivered elsewhere");
    place->n_delivered++;
    place->n_visits += reactor_is_visited(place->reactor);
    atomic_fetch_add_explicit(&n_steps, 1, memory_order_relaxed);
    do_something(walker);
    if (walker->is_poster)
        atomic_fetch_add(&walker->n_done, 1);
    else if (walker->steps_left-- > 0)
        go_to(walker, &places[draw(walker, REACTORS)]);
    else
        atomic_fetch_add(&n_finished, 1);
}

static void *run_place(void *argument)
{
    reactor_run(((struct place *)argument)->reactor);
    return NULL;
}

/* One letter at a time: if it rests, the thread waits for ever. */
static void *run_poster(void *argument)
{
    struct walker *walker = argument;
    for (unsigned n = 0; n < POSTER_STEPS; n++) {
        go_to(walker, &places[draw(walker, REACTORS)]);
        while (atomic_load(&walker->n_done) == n)
            usleep(20);
    }
    atomic_fetch_add(&n_finished, 1);
    return NULL;
}

static void open_place(struct place *place)
{
    check(reactor_new(place, &place->reactor) == ERR_OK, "no reactor");
    timer_init(&place->timer, on_due);
    list_init(&place->turn_end.link);
    place->turn_end.run = on_turn_end;
    hang_bell(place);
}

static void close_place(struct place *place)
{
    reactor_watch_remove(place->reactor, &place->bell->watch);
    close(place->bell->watch.fd);
    free(place->bell);
    reactor_free(place->reactor);
}

static void await_all(void)
{
    unsigned before = 0;
    for (int ms = 0; atomic_load(&n_finished) < WALKERS + POSTERS; ms++) {
        unsigned now = atomic_load_explicit(&n_steps, memory_order_relaxed);
        ms = now == before ? ms : 0;
        before = now;
        check(ms < REST_MS, "a letter rests");
        usleep(1000);
    }
}

int main(void)
{
    pthread_t posters[POSTERS];
    for (int i = 0; i < REACTORS; i++)
        open_place(&places[i]);
    for (int i = 0; i < REACTORS; i++)
        pthread_create(&places[i].thread, NULL, run_place, &places[i]);
    for (unsigned i = 0; i < WALKERS + POSTERS; i++) {
        walkers[i].letter.deliver = on_walker;
        walkers[i].seed = i + 1;
        walkers[i].steps_left = STEPS;
        walkers[i].is_poster = i >= WALKERS;
    }
    for (int i = 0; i < WALKERS; i++)
        go_to(&walkers[i], &places[i % REACTORS]);
    for (int i = 0; i < POSTERS; i++)
        pthread_create(&posters[i], NULL, run_poster, &walkers[WALKERS + i]);
    await_all();
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i], NULL);
    for (int i = 0; i < REACTORS; i++) {
        reactor_stop(places[i].reactor);
        pthread_join(places[i].thread, NULL);
    }
    for (int i = 0; i < REACTORS; i++) {
        printf("%lu letters, %lu of them on a visit; %lu events\n", places[i].n_delivered,
               places[i].n_visits, places[i].n_rung);
        close_place(&places[i]);
    }
    return 0;
}
