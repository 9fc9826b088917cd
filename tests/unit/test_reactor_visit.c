/* Visits, on one thread: epoll_wait is wrapped, and while the sleeper waits in it, the visitor runs
 * a turn. */
#include "gateway/net/reactor.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BUSY_EVENTS = 5 };

static struct reactor *visitor;
static struct reactor *sleeper;

/* What happens in the order in which it happens, a letter each. */
static char story[64];

static void tell(char what)
{
    size_t len = strlen(story);
    cr_assert_lt(len, sizeof story - 1);
    story[len] = what;
}

static void (*visitors_turn)(void);
static bool was_rung; /* by the visitor */
static bool has_event_in_hands;

static bool is_rung(void)
{
    uint64_t count;
    return read(reactor_mailbox(sleeper)->event_fd, &count, sizeof count) > 0;
}

int __real_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);

/* Only the sleeper waits: the visitor has mail. */
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    void (*run)(void) = visitors_turn;
    int n_events = 0;
    if (timeout_ms == 0 || run == NULL)
        return __real_epoll_wait(epoll_fd, events, max, timeout_ms);
    visitors_turn = NULL;
    if (has_event_in_hands)
        n_events = __real_epoll_wait(epoll_fd, events, max, 0);
    run();
    was_rung = is_rung();
    reactor_be_here(sleeper);
    reactor_stop(sleeper);
    return n_events > 0 ? n_events : __real_epoll_wait(epoll_fd, events, max, timeout_ms);
}

static void open_reactors(void)
{
    stop_the_clock();
    cr_assert_eq(reactor_new(NULL, &visitor), ERR_OK);
    cr_assert_eq(reactor_new(&story, &sleeper), ERR_OK);
}

static void close_reactors(void)
{
    reactor_free(visitor);
    reactor_free(sleeper);
    let_the_clock_go();
}

TestSuite(visit, .init = open_reactors, .fini = close_reactors, .timeout = 20);

/* ---- what the two do ---- */

static void on_letter(struct letter *letter);
static void on_answer(struct letter *letter);

static struct letter letters[VISIT_LETTERS + 1];
static size_t n_letters = 1;
static struct letter answer = {.deliver = on_answer};
static struct letter second;
static void (*in_visit)(void); /* NULL: nothing more */

static void on_turn_end(struct reactor_task *task)
{
    (void)task;
    tell('e');
}

static void on_start(struct letter *letter)
{
    static struct reactor_task task = {.run = on_turn_end};
    (void)letter;
    list_init(&task.link);
    reactor_at_turn_end(visitor, &task);
    for (size_t i = 0; i < n_letters; i++) {
        letters[i].deliver = on_letter;
        mailbox_post(reactor_mailbox(sleeper), &letters[i]);
    }
    tell('p');
    reactor_stop(visitor);
}

static void run_visitor(void)
{
    struct letter start = {.deliver = on_start};
    mailbox_post(reactor_mailbox(visitor), &start);
    reactor_run(visitor);
    tell('.');
}

static void on_letter(struct letter *letter)
{
    (void)letter;
    cr_expect_eq(reactor_here(), sleeper);
    tell(reactor_is_visited(sleeper) ? 'v' : 'o');
    if (reactor_is_visited(sleeper) && in_visit != NULL)
        in_visit();
}

static void let_it_sleep(void)
{
    visitors_turn = run_visitor;
    reactor_run(sleeper);
}

/* ---- what a visit is ---- */

Test(visit, delivers_a_letter_in_place_of_the_thread_that_sleeps)
{
    let_it_sleep();
    cr_expect_str_eq(story, "pve.", "before the visitor's own turn-end tasks");
    cr_expect_not(was_rung);
}

static void answer_visitor(void)
{
    mailbox_post(reactor_mailbox(visitor), &answer);
}

static void on_answer(struct letter *letter)
{
    (void)letter;
    cr_expect_eq(reactor_here(), visitor);
    tell('a');
}

Test(visit, brings_an_answer_into_the_same_turn)
{
    in_visit = answer_visitor;
    let_it_sleep();
    cr_expect_str_eq(story, "pvae.");
    cr_expect_not(was_rung);
}

static void on_answer_with_another(struct letter *letter)
{
    (void)letter;
    in_visit = NULL;
    second.deliver = on_letter;
    mailbox_post(reactor_mailbox(sleeper), &second);
    tell('a');
}

Test(visit, is_made_once_more_after_the_turn_end_tasks)
{
    in_visit = answer_visitor;
    answer.deliver = on_answer_with_another;
    let_it_sleep();
    cr_expect_str_eq(story, "pvaev.");
    cr_expect_not(was_rung);
}

static int64_t visited_ms;

static void look_at_the_time(void)
{
    visited_ms = reactor_now_ms(sleeper);
}

static void run_later_visitor(void)
{
    fake_us += 7000;
    run_visitor();
}

Test(visit, counts_as_a_turn_and_has_its_own_time)
{
    uint64_t before = reactor_turns(sleeper);
    int64_t before_ms = reactor_now_ms(sleeper);
    in_visit = look_at_the_time;
    visitors_turn = run_later_visitor;
    reactor_run(sleeper);
    cr_expect_eq(visited_ms - before_ms, 7);
    cr_expect_eq(reactor_turns(sleeper) - before, 2,
                 "the visit, and the turn that ended the sleep");
}

static void be_at_turn_end(void)
{
    static struct reactor_task task = {.run = on_turn_end};
    list_init(&task.link);
    reactor_at_turn_end(sleeper, &task);
}

Test(visit, ends_with_the_turn_end_tasks_of_the_visited)
{
    in_visit = be_at_turn_end;
    let_it_sleep();
    cr_expect_str_eq(story, "pvee.");
    cr_expect_not(was_rung);
}

/* ---- who is not visited ---- */

Test(visit, is_not_made_where_nothing_runs)
{
    cr_assert(mailbox_sleep(reactor_mailbox(sleeper)));
    run_visitor();
    cr_expect_str_eq(story, "pe.");
    cr_expect(is_rung());
}

Test(visit, is_not_made_for_many_letters)
{
    n_letters = VISIT_LETTERS + 1;
    let_it_sleep();
    cr_expect_eq(strchr(story, 'v'), NULL);
    cr_expect(was_rung);
    cr_expect_str_eq(story + strlen("pe."), "ooooooooooooooooo");
}

static struct reactor_watch busy[BUSY_EVENTS];

static void on_busy(struct reactor_watch *watch, uint32_t events)
{
    (void)watch, (void)events;
}

static void run_busy_visitor(void)
{
    for (int i = 0; i < BUSY_EVENTS; i++) {
        busy[i] = (struct reactor_watch){.on_ready = on_busy, .fd = eventfd(1, EFD_NONBLOCK)};
        cr_assert_eq(reactor_watch_add(visitor, &busy[i], EPOLLIN), ERR_OK);
    }
    run_visitor();
    for (int i = 0; i < BUSY_EVENTS; i++)
        close(busy[i].fd);
}

Test(visit, is_not_made_in_a_turn_with_many_events)
{
    visitors_turn = run_busy_visitor;
    reactor_run(sleeper);
    cr_expect_str_eq(story, "pe.o");
    cr_expect(was_rung);
}

/* ---- what must not be slept through ---- */

static void post_to_itself(void)
{
    in_visit = NULL;
    second.deliver = on_letter;
    mailbox_post(reactor_mailbox(sleeper), &second);
}

Test(visit, wakes_the_thread_for_a_letter_that_is_left)
{
    in_visit = post_to_itself;
    let_it_sleep();
    cr_expect_str_eq(story, "pve.o");
    cr_expect(was_rung);
}

static struct timer timer;

static void on_due(struct timer *due)
{
    (void)due;
    tell('t');
}

static void set_timer(void)
{
    timer_set(reactor_timers(sleeper), &timer, reactor_now_ms(sleeper) + 1000);
}

Test(visit, wakes_the_thread_for_a_timer_that_is_due_before_it_wakes)
{
    timer_init(&timer, on_due);
    in_visit = set_timer;
    let_it_sleep();
    cr_expect(was_rung);
}

Test(visit, does_not_wake_it_for_a_later_timer)
{
    struct timer earlier;
    timer_init(&earlier, on_due);
    timer_init(&timer, on_due);
    timer_set(reactor_timers(sleeper), &earlier, reactor_now_ms(sleeper) + 500);
    in_visit = set_timer;
    let_it_sleep();
    cr_expect_not(was_rung);
}

static struct reactor_task later = {.run = on_turn_end};

static void be_in_next_turn(void)
{
    list_init(&later.link);
    reactor_in_next_turn(sleeper, &later);
}

static void be_in_next_ms(void)
{
    list_init(&later.link);
    reactor_in_next_ms(sleeper, &later);
}

Test(visit, wakes_the_thread_for_a_task_of_the_next_turn)
{
    in_visit = be_in_next_turn;
    let_it_sleep();
    cr_expect(was_rung);
    reactor_task_cancel(&later);
}

Test(visit, wakes_the_thread_for_a_task_of_the_next_millisecond)
{
    in_visit = be_in_next_ms;
    let_it_sleep();
    cr_expect(was_rung);
    reactor_task_cancel(&later);
}

/* ---- what the thread has in its hands already ---- */

static struct reactor_watch watch;

static void on_ready(struct reactor_watch *ready, uint32_t events)
{
    (void)ready, (void)events;
    tell('r');
}

static void on_free(struct reactor_task *task)
{
    (void)task;
    watch.on_ready = NULL;
    tell('f');
}

static void remove_watch(void)
{
    static struct reactor_task task = {.run = on_free};
    list_init(&task.link);
    reactor_watch_remove(sleeper, &watch);
    close(watch.fd);
    reactor_free_at_turn_end(sleeper, &task);
}

Test(visit, lets_no_event_reach_a_watch_that_it_removed)
{
    watch = (struct reactor_watch){.on_ready = on_ready, .fd = eventfd(1, EFD_NONBLOCK)};
    cr_assert_eq(reactor_watch_add(sleeper, &watch, EPOLLIN), ERR_OK);
    has_event_in_hands = true;
    in_visit = remove_watch;
    let_it_sleep();
    cr_expect_str_eq(story, "pve.f", "freed in the thread's own turn only");
    cr_expect(was_rung);
}

Test(visit, leaves_the_other_events_of_the_thread)
{
    watch = (struct reactor_watch){.on_ready = on_ready, .fd = eventfd(1, EFD_NONBLOCK)};
    cr_assert_eq(reactor_watch_add(sleeper, &watch, EPOLLIN), ERR_OK);
    has_event_in_hands = true;
    let_it_sleep();
    cr_expect_str_eq(story, "pve.r");
    close(watch.fd);
}

Test(visit, of_an_owner_is_his)
{
    cr_expect_eq(reactor_owner(sleeper), &story);
    cr_expect_eq(reactor_here(), NULL);
    reactor_be_here(sleeper);
    cr_expect_eq(reactor_here(), sleeper);
}
