#include "gateway/net/reactor.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct reactor *reactor;

static void open_reactor(void)
{
    stop_the_clock();
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
}

static void close_reactor(void)
{
    reactor_free(reactor);
    let_the_clock_go();
}

TestSuite(reactor, .init = open_reactor, .fini = close_reactor, .timeout = 20);

static unsigned n_fired;

static void on_due(struct timer *timer)
{
    (void)timer;
    n_fired++;
}

Test(reactor, turns_without_waiting_and_fires_timers_on_a_replaced_clock)
{
    struct timer timer;
    timer_init(&timer, on_due);
    timer_set(reactor_timers(reactor), &timer, reactor_now_ms(reactor) + 600000);
    reactor_turn(reactor, 0);
    cr_assert_eq(n_fired, 0);
    cr_assert_eq(reactor_now_ms(reactor), 5000);
    fake_us += INT64_C(600000000) + 16000;
    reactor_turn(reactor, 0);
    cr_assert_eq(n_fired, 1);
    cr_assert_eq(reactor_turns(reactor), 2);
}

static unsigned n_delivered;

static void on_letter(struct letter *letter)
{
    (void)letter;
    n_delivered++;
}

static void on_ready(struct reactor_watch *watch, uint32_t events)
{
    uint64_t count;
    cr_assert(events & EPOLLIN);
    cr_assert_eq(read(watch->fd, &count, sizeof count), (ssize_t)sizeof count);
}

Test(reactor, serves_descriptors_and_mail_in_one_turn)
{
    struct letter letter = {.deliver = on_letter};
    struct reactor_watch watch = {.on_ready = on_ready, .fd = eventfd(1, EFD_NONBLOCK)};
    cr_assert_eq(reactor_watch_add(reactor, &watch, EPOLLIN), ERR_OK);
    mailbox_post(reactor_mailbox(reactor), &letter);
    reactor_turn(reactor, 0);
    cr_assert_eq(n_delivered, 1);
    uint64_t count;
    cr_assert_eq(read(watch.fd, &count, sizeof count), -1, "the watch has read it");
    reactor_watch_remove(reactor, &watch);
    close(watch.fd);
}

static void on_late_ready(struct reactor_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    reactor_stop(reactor);
}

Test(reactor, runs_until_it_is_stopped)
{
    struct reactor_watch watch = {.on_ready = on_late_ready, .fd = eventfd(1, EFD_NONBLOCK)};
    cr_assert_eq(reactor_watch_add(reactor, &watch, EPOLLIN), ERR_OK);
    reactor_run(reactor);
    cr_assert_eq(reactor_turns(reactor), 1);
    reactor_watch_remove(reactor, &watch);
    close(watch.fd);
}

static unsigned n_run;

static void run_again(struct reactor_task *task)
{
    n_run++;
    reactor_in_next_turn(reactor, task);
}

Test(reactor, a_task_for_the_next_turn_runs_once_there_and_the_turn_does_not_wait)
{
    struct reactor_task task = {.run = run_again};
    list_init(&task.link);
    reactor_at_turn_end(reactor, &task);
    for (unsigned i = 1; i < 5; i++) {
        reactor_turn(reactor, i == 1 ? 0 : -1);
        cr_assert_eq(n_run, i);
    }
    reactor_task_cancel(&task);
    reactor_turn(reactor, 0);
    cr_assert_eq(n_run, 4);
}

static void run_later(struct reactor_task *task)
{
    n_run++;
    reactor_in_next_ms(reactor, task);
}

Test(reactor, a_task_for_the_next_millisecond_runs_once_in_each)
{
    struct reactor_task task = {.run = run_later};
    list_init(&task.link);
    reactor_in_next_ms(reactor, &task);
    for (unsigned ms = 0; ms < 5; ms++) {
        for (unsigned turn = 0; turn < 3; turn++) {
            reactor_turn(reactor, 0);
            cr_assert_eq(n_run, ms);
        }
        fake_us += 1000;
    }
    reactor_task_cancel(&task);
    reactor_turn(reactor, 0);
    cr_assert_eq(n_run, 4);
}

Test(reactor, the_wait_ends_for_a_task_of_the_next_millisecond)
{
    let_the_clock_go();
    struct reactor_task task = {.run = run_later};
    list_init(&task.link);
    reactor_turn(reactor, 0); /* the time again */
    reactor_in_next_ms(reactor, &task);
    while (n_run == 0)
        reactor_turn(reactor, -1);
    reactor_task_cancel(&task);
}

static unsigned n_served;

static void on_served(struct reactor_watch *watch, uint32_t events)
{
    (void)events;
    n_served++;
    watch->flags++;
}

Test(reactor, serves_a_number_of_descriptors_a_turn_and_each_equally_often)
{
    enum { MANY = 200, A_TURN = 64, ROUNDS = 10 };
    static struct reactor_watch watches[MANY];
    for (int i = 0; i < MANY; i++) {
        watches[i] = (struct reactor_watch){.on_ready = on_served, .fd = eventfd(1, EFD_NONBLOCK)};
        cr_assert_eq(reactor_watch_add(reactor, &watches[i], EPOLLIN), ERR_OK);
    }
    for (unsigned turn = 1; turn <= ROUNDS * MANY / A_TURN; turn++) {
        reactor_turn(reactor, 0);
        cr_assert_eq(n_served, turn * A_TURN);
    }
    for (int i = 0; i < MANY; i++) {
        cr_expect_geq(watches[i].flags, ROUNDS - 2);
        reactor_watch_remove(reactor, &watches[i]);
        close(watches[i].fd);
    }
}
