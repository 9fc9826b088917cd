/* A port that is full: who gives way to a new connection. */
#include "gateway/http/acceptors.h"

#include "gateway/base/metrics.h"
#include "gateway/http/acceptor.h"
#include "gateway/http/listeners.h"
#include "tests/support/fake_clock.h"
#include "tests/support/plain_port.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 4, CLIENTS = 3 * SOCKETS, WORKERS = 2 };

static const struct options options = {.head_timeout = 10000, .max_head = HTTP_HEAD_USUAL_BYTES};
static struct node node;
static struct worker *workers[WORKERS];
static struct http_port port;
static int clients[CLIENTS];

static void answer_request(struct http_conn *http_conn)
{
    http_conn_keep(http_conn);
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

static void on_second(struct worker *unused)
{
    (void)unused;
}

static void set_up_workers(unsigned n)
{
    char why[300];
    char *address = "127.0.0.1:0";
    struct option_list addresses = {&address, 1};
    stop_the_clock();
    node = (struct node){.options = &options, .workers = workers, .n_workers = n};
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(worker_new(&node, i, on_second, &workers[i]), ERR_OK);
    plain_port_init(&port, &node, answer_request);
    port.max_sockets = SOCKETS;
    port.heads_give_way = true;
    port.accepted = METRIC_ACCEPTED;
    port.accept_errors = METRIC_ACCEPT_ERRORS;
    cr_assert_eq(listeners_open(&addresses, "listen", NULL, &port.listeners, why, sizeof why),
                 ERR_OK, "%s", why);
    cr_assert_eq(acceptors_new(&port), ERR_OK);
    cr_assert_eq(acceptors_open(&port), ERR_OK);
}

static void set_up(void)
{
    set_up_workers(1);
}

static void set_up_two(void)
{
    set_up_workers(2);
}

static void tear_down(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i] > 0)
            close(clients[i]);
    }
    acceptors_free(&port);
    cr_expect_eq(node.n_sockets, 0);
    for (unsigned i = 0; i < node.n_workers; i++)
        worker_free(workers[i]);
    listeners_close(port.listeners);
    let_the_clock_go();
}

TestSuite(acceptor, .init = set_up, .fini = tear_down);

static void pass_ms(int64_t ms)
{
    fake_us += 1000 * ms;
    for (int i = 0; i < 3; i++) {
        for (unsigned w = 0; w < node.n_workers; w++)
            reactor_turn(workers[w]->reactor, 0);
    }
}

/* What is put off to a later turn, or for a moment, happens in them. */
static void pass_some_turns(void)
{
    for (int i = 0; i < 5; i++)
        pass_ms(10);
}

static void connect_client(int i)
{
    struct sockaddr_in where = {0};
    socklen_t len = sizeof where;
    cr_assert_eq(getsockname(listeners_fd(port.listeners, 0), (struct sockaddr *)&where, &len), 0);
    clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(clients[i], (struct sockaddr *)&where, len), 0);
    cr_assert_eq(fcntl(clients[i], F_SETFL, O_NONBLOCK), 0);
}

static void connect_silent(int i)
{
    connect_client(i);
    pass_ms(1);
}

/* What has come to the client: an answer's status, 0 for nothing, -1 for the end. */
static int status_of(int i)
{
    char answer[1000];
    ssize_t len = recv(clients[i], answer, sizeof answer - 1, 0);
    if (len <= 0)
        return len == 0 ? -1 : 0;
    answer[len] = '\0';
    return (int)strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static int ask(int i)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert_eq(send(clients[i], request, sizeof request - 1, MSG_NOSIGNAL),
                 (ssize_t)sizeof request - 1);
    pass_ms(1);
    return status_of(i);
}

Test(acceptor, lets_the_oldest_silent_connection_give_way_to_a_new_one)
{
    int64_t before = metrics_read(METRIC_HEADS_GAVE_WAY);
    for (int i = 0; i < SOCKETS; i++)
        connect_silent(i);
    for (int i = SOCKETS; i < CLIENTS; i++) {
        connect_silent(i);
        cr_assert_eq(status_of(i - SOCKETS), -1, "%d", i - SOCKETS);
        cr_assert_eq(status_of(i - SOCKETS + 1), 0);
    }
    cr_expect_eq(ask(CLIENTS - 1), 204);
    cr_expect_eq(metrics_read(METRIC_HEADS_GAVE_WAY) - before, CLIENTS - SOCKETS);
}

Test(acceptor, spares_what_rests_while_a_head_takes_its_time)
{
    connect_silent(0);
    for (int i = 1; i < SOCKETS; i++) {
        connect_silent(i);
        cr_assert_eq(ask(i), 204);
    }
    pass_ms(HTTP_FRESH_MS);
    connect_silent(SOCKETS);
    cr_expect_eq(status_of(0), -1);
    for (int i = 1; i <= SOCKETS; i++)
        cr_expect_eq(ask(i), 204, "%d", i);
}

Test(acceptor, spares_a_fresh_head_while_another_connection_rests)
{
    for (int i = 0; i < SOCKETS; i++) {
        connect_silent(i);
        if (i > 0)
            cr_assert_eq(ask(i), 204);
    }
    connect_silent(SOCKETS);
    cr_expect_eq(status_of(1), -1, "it has rested longest");
    cr_expect_eq(ask(0), 204);
    cr_expect_eq(ask(SOCKETS), 204);
}

Test(acceptor, refuses_a_new_connection_where_heads_do_not_give_way)
{
    port.heads_give_way = false;
    for (int i = 0; i < SOCKETS; i++)
        connect_silent(i);
    pass_ms(HTTP_FRESH_MS);
    connect_silent(SOCKETS);
    cr_expect_eq(status_of(SOCKETS), 503);
    cr_expect_eq(status_of(0), 0);
}

Test(acceptor, looks_away_for_a_while_when_no_descriptor_can_be_had)
{
    struct rlimit limit, none;
    int64_t before = metrics_read(METRIC_ACCEPT_ERRORS);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    connect_client(0);
    none = limit;
    none.rlim_cur = 3; /* not even the acceptor's spare one can be had again */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 100; i++)
        reactor_turn(workers[0]->reactor, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(metrics_read(METRIC_ACCEPT_ERRORS) - before, 1);
    pass_ms(100);
    cr_expect_eq(ask(0), 204);
}

/* The first worker has all connections, and the second one accepts. */
TestSuite(acceptors, .init = set_up_two, .fini = tear_down);

Test(acceptors, have_the_silent_connections_of_another_worker_give_way)
{
    for (int i = 0; i < SOCKETS; i++) {
        connect_client(i);
        reactor_turn(workers[0]->reactor, 0);
    }
    cr_assert_eq(node.n_sockets, SOCKETS);
    connect_client(SOCKETS);
    reactor_turn(workers[1]->reactor, 0);
    cr_assert_eq(status_of(SOCKETS), 0);
    reactor_turn(workers[0]->reactor, 0);
    cr_expect_eq(status_of(0), -1);
    fake_us += 30000;
    reactor_turn(workers[1]->reactor, 0);
    reactor_turn(workers[1]->reactor, 0);
    cr_expect_eq(ask(SOCKETS), 204);
}

static struct http_conn *under_way;

static void answer_one_later(struct http_conn *http_conn)
{
    if (under_way != NULL) {
        answer_request(http_conn);
        return;
    }
    under_way = http_conn;
    http_conn_await(http_conn);
}

static void give_shares_of(uint32_t n)
{
    cr_assert_eq(peers_new_share(n, &port.peers), ERR_OK);
}

static void take_shares_back(void)
{
    acceptors_free(&port);
    peers_free(port.peers);
}

Test(acceptor, gives_an_address_its_share_alone)
{
    int64_t before = metrics_read(METRIC_LIMITED_ADMIN_CONNECTIONS);
    give_shares_of(1);
    port.on_request = answer_one_later;
    connect_silent(0);
    cr_assert_eq(ask(0), 0);
    connect_silent(1);
    cr_expect_eq(status_of(1), 429);
    cr_expect_eq(metrics_read(METRIC_LIMITED_ADMIN_CONNECTIONS) - before, 1);
    answer_request(under_way);
    pass_ms(1);
    cr_expect_eq(status_of(0), 204);
    connect_silent(2);
    cr_expect_eq(ask(2), 204, "what rests gives way to another of its address");
    cr_expect_eq(status_of(0), -1);
    take_shares_back();
}

Test(acceptor, lets_a_silent_connection_give_way_to_a_new_one_of_its_address)
{
    give_shares_of(2);
    connect_silent(0);
    connect_silent(1);
    cr_assert_eq(ask(1), 204);
    pass_ms(HTTP_FRESH_MS);
    connect_silent(2);
    cr_expect_eq(status_of(0), -1);
    cr_expect_eq(ask(1), 204);
    connect_silent(3);
    cr_expect_eq(status_of(2), 0, "it is fresh");
    cr_expect_eq(status_of(1), -1, "it rested meanwhile, and counted");
    take_shares_back();
}

Test(acceptor, takes_what_waits_before_it_accepts_no_more)
{
    connect_client(0);
    connect_client(1);
    acceptor_take_last(port.acceptors[0]);
    connect_client(2);
    cr_expect_eq(ask(0), 204);
    cr_expect_eq(ask(1), 204);
    cr_expect_eq(ask(2), 0);
    acceptor_close(port.acceptors[0]);
    cr_expect_eq(status_of(0), -1, "it rested");
}

/* What it left in the kernel would be reset. Those that are there have just come, so they are about
 * to be answered, and otherwise it would wait for them. */
Test(acceptor, refuses_what_has_no_room_before_it_accepts_no_more)
{
    port.heads_give_way = false;
    for (int i = 0; i < SOCKETS; i++)
        connect_silent(i);
    connect_client(SOCKETS);
    acceptor_take_last(port.acceptors[0]);
    cr_expect_eq(status_of(SOCKETS), 503);
    cr_expect_eq(ask(0), 204);
}

/* Also of those that are here. */
Test(acceptor, leaves_new_requests_in_the_kernel_while_it_is_paused)
{
    connect_silent(0);
    acceptor_pause(port.acceptors[0]);
    connect_client(1);
    cr_expect_eq(ask(1), 0);
    cr_expect_eq(ask(0), 0);
    pass_ms(1000);
    cr_expect_eq(status_of(1), 0);
    cr_expect_eq(status_of(0), 0);
    acceptor_resume(port.acceptors[0]);
    pass_some_turns();
    cr_expect_eq(status_of(1), 204);
    cr_expect_eq(status_of(0), 204);
    connect_client(2);
    cr_expect_eq(ask(2), 204);
}

/* It was looking away for a moment, because no slot was free; it must not come back by itself. */
Test(acceptor, stays_paused_when_it_was_waiting_for_a_slot)
{
    for (int i = 0; i < SOCKETS; i++)
        connect_silent(i);
    port.heads_give_way = false;
    connect_silent(SOCKETS);
    acceptor_pause(port.acceptors[0]);
    for (int i = 0; i < SOCKETS; i++)
        shutdown(clients[i], SHUT_RDWR);
    pass_ms(1000);
    cr_expect_eq(ask(SOCKETS), 0);
    acceptor_resume(port.acceptors[0]);
    pass_some_turns(); /* it sees that those have gone, and looks again */
    cr_expect_eq(status_of(SOCKETS), 204);
}

Test(acceptor, can_be_closed_while_it_is_paused)
{
    acceptor_pause(port.acceptors[0]);
    acceptor_close(port.acceptors[0]);
    acceptor_resume(port.acceptors[0]);
    connect_client(0);
    cr_expect_eq(ask(0), 0);
}

Test(acceptor, forgets_the_listening_sockets_that_another_process_has)
{
    connect_silent(0);
    int kept = dup(listeners_fd(port.listeners, 0));
    connect_client(1);
    acceptors_let_go(&port);
    cr_expect_null(port.listeners);
    cr_expect_eq(ask(1), 0);
    cr_expect_eq(ask(0), 204);
    acceptor_take_last(port.acceptors[0]);
    cr_expect_eq(status_of(1), 0);
    struct sockaddr_in where;
    socklen_t len = sizeof where;
    int accepted = accept(kept, (struct sockaddr *)&where, &len);
    cr_expect_geq(accepted, 0, "it waits for the other one");
    close(accepted);
    close(kept);
}
