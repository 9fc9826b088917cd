/* A turn waits for descriptors, calls their watches, delivers the mail, fires timers and runs the
 * turn-end tasks. It does not wait while the mailbox has letters. A watch that is removed in a turn
 * may still be in the events that epoll returned; its entries there are cleared, so that it is not
 * called again and its owner may free it at the end of the turn. */
#include "gateway/net/reactor.h"

#include "gateway/base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 64 };

struct reactor {
    int epoll_fd;
    atomic_bool is_stopping;
    int64_t now_ms;
    atomic_uint_fast64_t turns;
    struct mailbox mailbox;
    struct timers *timers;
    struct list tasks;
    struct list next_tasks;  /* of the turn after this one */
    struct list later_tasks; /* for the first turn after later_ms */
    int64_t later_ms;
    struct reactor_watch mailbox_watch;
    bool must_yield;
    int n_events;
    struct epoll_event events[EVENTS_PER_TURN];
};

static void on_mail_waits(struct reactor_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events; /* it only ends the wait; each turn delivers the mail once */
}

enum err reactor_new(struct reactor **ret_reactor)
{
    enum err error = ERR_SYSTEM;
    struct reactor *reactor = calloc(1, sizeof *reactor);
    if (reactor == NULL)
        return ERR_NO_MEMORY;
    reactor->now_ms = clock_monotonic_ms();
    list_init(&reactor->tasks);
    list_init(&reactor->next_tasks);
    list_init(&reactor->later_tasks);

    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (reactor->epoll_fd < 0)
        goto undo_alloc;
    error = mailbox_init(&reactor->mailbox);
    if (error != ERR_OK)
        goto undo_epoll;
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
    free(reactor);
}

static void run_tasks(struct reactor *reactor)
{
    while (!list_is_empty(&reactor->tasks)) {
        struct reactor_task *task = CONTAINER_OF(reactor->tasks.next, struct reactor_task, link);
        list_remove(&task->link);
        task->run(task);
    }
}

static void wait_for_events(struct reactor *reactor, int max_wait_ms)
{
    int timeout_ms = timers_wait_ms(reactor->timers, reactor->now_ms);
    if (max_wait_ms >= 0 && (timeout_ms < 0 || timeout_ms > max_wait_ms))
        timeout_ms = max_wait_ms;
    if (!list_is_empty(&reactor->next_tasks)) {
        timeout_ms = 0;
        list_move_all(&reactor->tasks, &reactor->next_tasks);
    }
    if (!list_is_empty(&reactor->later_tasks) && (timeout_ms < 0 || timeout_ms > 1))
        timeout_ms = 1;
    bool may_block = mailbox_sleep(&reactor->mailbox);
    reactor->n_events =
        epoll_wait(reactor->epoll_fd, reactor->events, EVENTS_PER_TURN, may_block ? timeout_ms : 0);
    mailbox_wake(&reactor->mailbox);
    reactor->now_ms = clock_monotonic_ms();
    if (reactor->now_ms > reactor->later_ms)
        list_move_all(&reactor->tasks, &reactor->later_tasks);
}

void reactor_turn(struct reactor *reactor, int max_wait_ms)
{
    wait_for_events(reactor, max_wait_ms);
    /* epoll reports descriptors that stay ready in the same order each time. The last ones may get
     * nothing of a turn's budget (conn_read.c), and must not be the last in every turn. */
    int first = reactor->n_events > 0 ? (int)(reactor->turns % (unsigned)reactor->n_events) : 0;
    for (int i = 0; i < reactor->n_events; i++) {
        struct epoll_event *event = &reactor->events[(first + i) % reactor->n_events];
        struct reactor_watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->on_ready(watch, event->events);
    }
    reactor->n_events = 0;
    mailbox_deliver(&reactor->mailbox);
    timers_fire(reactor->timers, reactor->now_ms);
    run_tasks(reactor);
    atomic_fetch_add_explicit(&reactor->turns, 1, memory_order_relaxed);
    if (reactor->must_yield) {
        reactor->must_yield = false;
        sched_yield();
    }
}

void reactor_yield(struct reactor *reactor)
{
    reactor->must_yield = true;
}

void reactor_run(struct reactor *reactor)
{
    while (!atomic_load_explicit(&reactor->is_stopping, memory_order_relaxed))
        reactor_turn(reactor, -1);
    atomic_store(&reactor->is_stopping, false);
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
    return control_watch(reactor, EPOLL_CTL_ADD, watch, events);
}

enum err reactor_watch_change(struct reactor *reactor, struct reactor_watch *watch, uint32_t events)
{
    return control_watch(reactor, EPOLL_CTL_MOD, watch, events);
}

void reactor_watch_remove(struct reactor *reactor, struct reactor_watch *watch)
{
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
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
