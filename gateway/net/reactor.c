/* A turn waits for descriptors, calls their watches, delivers the mail, fires timers and runs the
 * turn-end tasks. It does not wait while the mailbox has letters. A watch that is removed in a turn
 * may still be in the events that epoll returned; its entries there are cleared, so that it is not
 * called again and its owner may free it at the end of the turn.
 *
 * A worker that is woken for one letter costs more than the letter: a write to its eventfd, the
 * scheduler, epoll_wait, and often the same again for the answer. So a turn with few events visits
 * the sleeper. A turn with many wakes it at once, because then two cores are better than one.
 *
 * No letter is slept through:
 * - is_asleep (mailbox.h) is set by mailbox_sleep only, by the holder of the turn, who then looks
 *   for letters once more, and delivers them or wakes the thread.
 * - The sender who clears it has the duty to visit or to ring, whatever happens to the turn and to
 *   his letter meanwhile. Even if somebody has delivered that: the flag may have been set after it,
 *   and now stands cleared beside a thread that sleeps. A visit sets it again.
 * - If somebody else holds the turn, he rings, and the eventfd keeps that for the next epoll_wait.
 * So the order in which the turn is unlocked and the flag is set does not matter.
 * - What a visit makes due before the thread wakes by itself (a timer, a task) rings, too.
 *
 * No event reaches what is gone: the thread may return from epoll_wait during a visit, with an
 * event for a watch that the visit removes, and waits for the turn. The watch says that it is
 * removed, and its memory stays until that turn has ended (reactor_free_at_turn_end). If the
 * visit closes the descriptor and somebody opens a new one with its number, the event still points
 * to the old watch. */
#include "gateway/net/reactor.h"

#include "gateway/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 64,
    QUIET_EVENTS = 4, /* a turn with more wakes the receivers of its letters */
    QUIET_LETTERS = VISIT_LETTERS,
    VISITS_AT_ONCE = 4,
};

struct reactor {
    void *owner;
    int epoll_fd;
    atomic_bool is_stopping;
    atomic_uint_fast64_t turns;
    pthread_mutex_t turn; /* guards what follows, except the mailbox */
    bool is_running;      /* in reactor_run */
    bool is_visited;
    int64_t sleeps_until_ms; /* then the thread wakes by itself */
    int64_t now_ms;
    struct mailbox mailbox;
    struct timers *timers;
    struct list tasks;
    struct list frees;       /* run after the tasks, and not in a visit */
    struct list next_tasks;  /* of the turn after this one */
    struct list later_tasks; /* for the first turn after later_ms */
    int64_t later_ms;
    struct reactor_watch mailbox_watch;
    bool must_yield;
    int n_events;
    struct epoll_event events[EVENTS_PER_TURN];
};

static bool visit_sleeper(struct mailbox *mailbox);

static _Thread_local struct reactor *here;

static void on_mail_waits(struct reactor_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events; /* it only ends the wait; each turn delivers the mail once */
}

enum err reactor_new(void *owner, struct reactor **ret_reactor)
{
    enum err error = ERR_SYSTEM;
    struct reactor *reactor = calloc(1, sizeof *reactor);
    if (reactor == NULL)
        return ERR_NO_MEMORY;
    reactor->owner = owner;
    reactor->now_ms = clock_monotonic_ms();
    pthread_mutex_init(&reactor->turn, NULL);
    list_init(&reactor->tasks);
    list_init(&reactor->frees);
    list_init(&reactor->next_tasks);
    list_init(&reactor->later_tasks);

    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (reactor->epoll_fd < 0)
        goto undo_alloc;
    error = mailbox_init(&reactor->mailbox);
    if (error != ERR_OK)
        goto undo_epoll;
    reactor->mailbox.visit = visit_sleeper;
    error = timers_new(reactor->now_ms, &reactor->timers);
    if (error != ERR_OK)
        goto undo_mailbox;
    reactor->mailbox_watch =
        (struct reactor_watch){.on_ready = on_mail_waits, .fd = reactor->mailbox.event_fd};
    /* With EPOLLET each write to the eventfd is reported, so it need not be read, which saves a
     * system call per wake-up. Its counter is full after 2^64 writes. */
    error = reactor_watch_add(reactor, &reactor->mailbox_watch, EPOLLIN | EPOLLET);
    if (error != ERR_OK)
        goto undo_timers;
    *ret_reactor = reactor;
    return ERR_OK;

undo_timers:
    timers_free(reactor->timers);
undo_mailbox:
    mailbox_fini(&reactor->mailbox);
undo_epoll:
    close(reactor->epoll_fd);
undo_alloc:
    pthread_mutex_destroy(&reactor->turn);
    free(reactor);
    return error;
}

void reactor_free(struct reactor *reactor)
{
    if (reactor == NULL)
        return;
    timers_free(reactor->timers);
    mailbox_fini(&reactor->mailbox);
    close(reactor->epoll_fd);
    pthread_mutex_destroy(&reactor->turn);
    free(reactor);
}

static void run_all(struct list *tasks)
{
    while (!list_is_empty(tasks)) {
        struct reactor_task *task = CONTAINER_OF(tasks->next, struct reactor_task, link);
        list_remove(&task->link);
        task->run(task);
    }
}

/* ---- visits ---- */

/* How long the thread may sleep; -1: without a limit. */
static int due_in_ms(const struct reactor *reactor)
{
    if (!list_is_empty(&reactor->next_tasks) || !list_is_empty(&reactor->frees))
        return 0;
    int wait_ms = timers_wait_ms(reactor->timers, reactor->now_ms);
    if (!list_is_empty(&reactor->later_tasks) && (wait_ms < 0 || wait_ms > 1))
        return 1;
    return wait_ms;
}

static bool is_due_too_early(const struct reactor *reactor)
{
    int wait_ms = due_in_ms(reactor);
    return wait_ms >= 0 && reactor->now_ms + wait_ms < reactor->sleeps_until_ms;
}

static void deliver_for(struct reactor *reactor)
{
    struct reactor *visitor = here;
    here = reactor;
    reactor->is_visited = true;
    reactor->now_ms = clock_monotonic_ms();
    mailbox_deliver(&reactor->mailbox);
    run_all(&reactor->tasks);
    atomic_fetch_add_explicit(&reactor->turns, 1, memory_order_relaxed);
    reactor->is_visited = false;
    here = visitor;
}

/* It does not wait for the turn: whoever holds it may be long. The mail may be gone already. */
static bool visit_sleeper(struct mailbox *mailbox)
{
    struct reactor *reactor = CONTAINER_OF(mailbox, struct reactor, mailbox);
    bool may_sleep = false;
    if (pthread_mutex_trylock(&reactor->turn) != 0)
        return false;
    if (reactor->is_running && !mailbox_has_more_than(mailbox, VISIT_LETTERS)) {
        deliver_for(reactor);
        may_sleep = mailbox_sleep(mailbox) && !is_due_too_early(reactor);
    }
    pthread_mutex_unlock(&reactor->turn);
    return may_sleep;
}

/* What they send back comes now, too. */
static void visit_sleepers(struct reactor *reactor)
{
    if (mailbox_visit_held(VISITS_AT_ONCE) > 0)
        mailbox_deliver(&reactor->mailbox);
}

/* ---- turns ---- */

static int epoll_for_events(struct reactor *reactor, int timeout_ms)
{
    return epoll_wait(reactor->epoll_fd, reactor->events, EVENTS_PER_TURN, timeout_ms);
}

/* The turn is not held meanwhile: n_events, which is 0, and the events are the thread's. */
static int sleep_for_events(struct reactor *reactor, int timeout_ms)
{
    reactor->sleeps_until_ms = timeout_ms < 0 ? INT64_MAX : reactor->now_ms + timeout_ms;
    pthread_mutex_unlock(&reactor->turn);
    int n_events = epoll_for_events(reactor, timeout_ms);
    pthread_mutex_lock(&reactor->turn);
    mailbox_wake(&reactor->mailbox);
    return n_events;
}

static void wait_for_events(struct reactor *reactor, int max_wait_ms)
{
    int timeout_ms = due_in_ms(reactor);
    if (max_wait_ms >= 0 && (timeout_ms < 0 || timeout_ms > max_wait_ms))
        timeout_ms = max_wait_ms;
    list_move_all(&reactor->tasks, &reactor->next_tasks);
    if (timeout_ms != 0 && mailbox_sleep(&reactor->mailbox))
        reactor->n_events = sleep_for_events(reactor, timeout_ms);
    else
        reactor->n_events = epoll_for_events(reactor, 0);
    reactor->now_ms = clock_monotonic_ms();
    if (reactor->now_ms > reactor->later_ms)
        list_move_all(&reactor->tasks, &reactor->later_tasks);
}

static void call_watches(struct reactor *reactor)
{
    /* epoll reports descriptors that stay ready in the same order each time. The last ones may get
     * nothing of a turn's budget (conn_read.c), and must not be the last in every turn. */
    int first = reactor->n_events > 0 ? (int)(reactor->turns % (unsigned)reactor->n_events) : 0;
    for (int i = 0; i < reactor->n_events; i++) {
        struct epoll_event *event = &reactor->events[(first + i) % reactor->n_events];
        struct reactor_watch *watch = event->data.ptr;
        if (watch != NULL && !watch->is_removed)
            watch->on_ready(watch, event->events);
    }
    reactor->n_events = 0;
}

static void end_turn(struct reactor *reactor)
{
    do {
        run_all(&reactor->tasks);
        run_all(&reactor->frees);
    } while (!list_is_empty(&reactor->tasks));
    atomic_fetch_add_explicit(&reactor->turns, 1, memory_order_relaxed);
    if (reactor->must_yield) {
        reactor->must_yield = false;
        sched_yield();
    }
}

/* The turn is held. */
static void run_turn(struct reactor *reactor, int max_wait_ms)
{
    wait_for_events(reactor, max_wait_ms);
    bool is_quiet = reactor->is_running && reactor->n_events <= QUIET_EVENTS;
    if (is_quiet)
        mailbox_hold();
    call_watches(reactor);
    size_t n_letters = mailbox_deliver(&reactor->mailbox);
    if (is_quiet && n_letters > QUIET_LETTERS)
        mailbox_release();
    timers_fire(reactor->timers, reactor->now_ms);
    visit_sleepers(reactor); /* before this turn's writes: pushes go out before their answers */
    run_all(&reactor->tasks);
    visit_sleepers(reactor);
    mailbox_release();
    end_turn(reactor);
}

void reactor_turn(struct reactor *reactor, int max_wait_ms)
{
    pthread_mutex_lock(&reactor->turn);
    run_turn(reactor, max_wait_ms);
    pthread_mutex_unlock(&reactor->turn);
}

void reactor_run(struct reactor *reactor)
{
    pthread_mutex_lock(&reactor->turn);
    here = reactor;
    reactor->is_running = true;
    while (!atomic_load_explicit(&reactor->is_stopping, memory_order_relaxed))
        run_turn(reactor, -1);
    reactor->is_running = false;
    here = NULL;
    pthread_mutex_unlock(&reactor->turn);
    atomic_store(&reactor->is_stopping, false);
}

struct reactor *reactor_here(void)
{
    return here;
}

void reactor_be_here(struct reactor *reactor)
{
    here = reactor;
}

bool reactor_is_visited(const struct reactor *reactor)
{
    return reactor->is_visited;
}

void *reactor_owner(const struct reactor *reactor)
{
    return reactor->owner;
}

void reactor_yield(struct reactor *reactor)
{
    reactor->must_yield = true;
}

void reactor_stop(struct reactor *reactor)
{
    atomic_store(&reactor->is_stopping, true);
    uint64_t one = 1;
    ssize_t written = write(reactor->mailbox.event_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

static enum err control_watch(struct reactor *reactor, int op, struct reactor_watch *watch,
                              uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(reactor->epoll_fd, op, watch->fd, &event) == 0)
        return ERR_OK;
    return errno == ENOMEM ? ERR_NO_MEMORY : ERR_SYSTEM;
}

enum err reactor_watch_add(struct reactor *reactor, struct reactor_watch *watch, uint32_t events)
{
    assert(!reactor->is_visited || !watch->is_removed);
    watch->is_removed = false;
    return control_watch(reactor, EPOLL_CTL_ADD, watch, events);
}

enum err reactor_watch_change(struct reactor *reactor, struct reactor_watch *watch, uint32_t events)
{
    return control_watch(reactor, EPOLL_CTL_MOD, watch, events);
}

void reactor_watch_remove(struct reactor *reactor, struct reactor_watch *watch)
{
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->is_removed = true;
    for (int i = 0; i < reactor->n_events; i++) {
        if (reactor->events[i].data.ptr == watch)
            reactor->events[i].data.ptr = NULL;
    }
}

void reactor_at_turn_end(struct reactor *reactor, struct reactor_task *task)
{
    if (list_is_empty(&task->link))
        list_append(&reactor->tasks, &task->link);
}

void reactor_free_at_turn_end(struct reactor *reactor, struct reactor_task *task)
{
    if (list_is_empty(&task->link))
        list_append(&reactor->frees, &task->link);
}

void reactor_in_next_turn(struct reactor *reactor, struct reactor_task *task)
{
    if (list_is_empty(&task->link))
        list_append(&reactor->next_tasks, &task->link);
}

void reactor_in_next_ms(struct reactor *reactor, struct reactor_task *task)
{
    if (list_is_empty(&reactor->later_tasks))
        reactor->later_ms = reactor->now_ms;
    if (list_is_empty(&task->link))
        list_append(&reactor->later_tasks, &task->link);
}

void reactor_task_cancel(struct reactor_task *task)
{
    list_remove(&task->link);
}

struct mailbox *reactor_mailbox(struct reactor *reactor)
{
    return &reactor->mailbox;
}

struct timers *reactor_timers(struct reactor *reactor)
{
    return reactor->timers;
}

int64_t reactor_now_ms(const struct reactor *reactor)
{
    return reactor->now_ms;
}

uint64_t reactor_turns(const struct reactor *reactor)
{
    return atomic_load_explicit(&reactor->turns, memory_order_relaxed);
}
