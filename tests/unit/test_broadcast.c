/* A broadcast (CONTRACT 3): to every session that is open, in slices, in order, and kept nowhere.
 */
#include "gateway/requests/broadcast.h"

#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { MANY_USERS = 600, NAME_BYTES = 16 };

static unsigned n_answers;

TestSuite(broadcast, .init = node_fixture_start, .fini = node_fixture_stop);

static void on_done(struct gateway_broadcast *broadcast)
{
    cr_expect_eq(broadcast->error, ERR_OK);
    n_answers++;
}

static void begin_broadcast(struct gateway_broadcast *broadcast, const char *data)
{
    *broadcast = (struct gateway_broadcast){.on_done = on_done, .data = span_of(data)};
    gateway_broadcast(&fixture.node, broadcast);
}

/* A walk over many users takes a turn a slice. */
static void await_answers(unsigned n)
{
    for (int i = 0; i < 100 && n_answers < n; i++)
        node_fixture_turn();
    cr_assert_eq(n_answers, n, "%u answers", n_answers);
}

Test(broadcast, reaches_every_session_that_is_open_and_none_that_comes_later)
{
    static struct subscriber first;
    static struct subscriber second;
    static struct subscriber other;
    static struct subscriber late;
    struct gateway_broadcast broadcast;
    subscriber_enter(&first, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "v", NULL);
    begin_broadcast(&broadcast, "7");
    await_answers(1);
    cr_expect_eq(broadcast.online, 3);
    cr_expect_eq(broadcast.nodes, 1);
    subscriber_expect(&first, WS_TEXT, "7");
    subscriber_expect(&second, WS_TEXT, "7");
    subscriber_expect(&other, WS_TEXT, "7");
    subscriber_enter(&late, LEVEL_PLAIN, "u", NULL);
    subscriber_expect_nothing(&late);
}

Test(broadcast, to_nobody_is_answered)
{
    struct gateway_broadcast broadcast;
    begin_broadcast(&broadcast, "7");
    await_answers(1);
    cr_expect_eq(broadcast.online, 0);
    cr_expect_eq(broadcast.nodes, 1);
}

/* ---- many users ---- */

static unsigned n_answers_seen;

static void on_other_work(struct letter *letter)
{
    (void)letter;
    n_answers_seen = n_answers;
}

/* A broadcast to many delays nobody's notification by more than a slice: what comes after it is
 * done between two slices. */
Test(broadcast, lets_other_work_through_between_its_slices)
{
    struct gateway_broadcast broadcast;
    struct letter letter = {0};
    node_fixture_enter_clients(MANY_USERS);
    begin_broadcast(&broadcast, "7");
    n_answers_seen = 99;
    worker_post(fixture.worker, &letter, on_other_work);
    await_answers(1);
    cr_expect_eq(n_answers_seen, 0, "it waited for the whole broadcast");
    node_fixture_leave_clients();
}

Test(broadcast, reaches_each_session_once_and_in_order_however_many_slices_it_takes)
{
    static struct subscriber subscribers[5];
    struct gateway_broadcast broadcasts[3];
    node_fixture_enter_clients(MANY_USERS);
    for (unsigned i = 0; i < 5; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "u%u", i);
        subscriber_enter(&subscribers[i], LEVEL_PLAIN, name, NULL);
    }
    begin_broadcast(&broadcasts[0], "1");
    begin_broadcast(&broadcasts[1], "2");
    begin_broadcast(&broadcasts[2], "3");
    await_answers(3);
    for (unsigned i = 0; i < 5; i++) {
        subscriber_expect(&subscribers[i], WS_TEXT, "1");
        subscriber_expect(&subscribers[i], WS_TEXT, "2");
        subscriber_expect(&subscribers[i], WS_TEXT, "3");
        subscriber_expect_nothing(&subscribers[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(broadcasts[i].online, 5);
    node_fixture_leave_clients();
}
