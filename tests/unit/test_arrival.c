/* Arrivals of a full node: who makes room for others. */
#include "gateway/arrival.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 4 };

static const struct options options = {.head_timeout = 10000};
static struct node node;
static struct worker *worker;
static struct arrivals all;
static int ours[PEERS], theirs[PEERS];

static void on_second(struct worker *unused)
{
    (void)unused;
}

static void set_up(void)
{
    node = (struct node){.options = &options, .workers = &worker, .n_workers = 1};
    cr_assert_eq(worker_new(&node, 0, on_second, &worker), ERR_OK);
    arrivals_init(&all);
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
}

static void tear_down(void)
{
    arrivals_drop_all(&all);
    cr_expect_eq(node.n_sockets, 0);
    cr_expect_eq(node.n_lingering, 0);
    reactor_turn(worker->reactor, 0);
    worker_free(worker);
    for (int i = 0; i < PEERS; i++)
        close(theirs[i]);
}

TestSuite(arrival, .init = set_up, .fini = tear_down);

static void arrive(int peer)
{
    atomic_fetch_add(&node.n_sockets, 1);
    cr_assert_eq(
        arrival_new(worker, ours[peer], NULL, &(struct ip){0}, worker_now_ms(worker) + 60000, &all),
        ERR_OK);
}

static void ask_for_a_refusal(int peer)
{
    cr_assert_eq(send(theirs[peer], "nonsense\r\n\r\n", 12, MSG_NOSIGNAL), 12);
    reactor_turn(worker->reactor, 0);
}

/* Reads all that was sent to it; is there nobody any more to send to? */
static bool has_gone(int peer)
{
    char bytes[4096];
    while (recv(theirs[peer], bytes, sizeof bytes, 0) > 0) {
    }
    return send(theirs[peer], "x", 1, MSG_NOSIGNAL) < 0;
}

Test(arrival, who_was_answered_first_is_the_first_to_make_room)
{
    for (int i = 0; i < PEERS; i++)
        arrive(i);
    ask_for_a_refusal(2);
    ask_for_a_refusal(1);
    cr_assert(arrivals_drop_written(&all));
    cr_expect(has_gone(2));
    cr_expect_not(has_gone(1));
    cr_assert(arrivals_drop_written(&all));
    cr_expect(has_gone(1));
    cr_assert_not(arrivals_drop_written(&all), "unfinished heads make no room");
    cr_expect_not(has_gone(0));
    cr_expect_eq(node.n_sockets, PEERS - 2);
}

Test(arrival, an_answer_on_its_way_is_not_cut_off)
{
    static char filling[4096];
    while (send(ours[0], filling, sizeof filling, MSG_NOSIGNAL) > 0) {
    }
    arrive(0);
    ask_for_a_refusal(0);
    cr_expect_eq(node.n_lingering, 1);
    cr_assert_not(arrivals_drop_written(&all));
    cr_assert_not(has_gone(0));
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
    cr_assert(arrivals_drop_written(&all));
}
