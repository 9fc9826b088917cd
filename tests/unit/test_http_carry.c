/* HTTP connections that go from one port to another, as they go from one process to the next: the
 * sockets are duplicates, and the records are copies. The old port answers 200, the new one 204. */
#include "gateway/http/http_carry.h"

#include "gateway/base/hash.h"
#include "gateway/http/acceptor.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/listeners.h"
#include "gateway/net/tls_context.h"
#include "tests/support/fake_clock.h"
#include "tests/support/plain_port.h"
#include "tests/unit/tls_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum { CLIENTS = 4 };

#define REQUEST "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

struct one {
    int fd;
    struct carried_http carried;
    char bytes[4096];
};

static struct options options;
static struct node node;
static struct worker *worker;
static struct http_port old, new;
static atomic_uint n_new;
static int clients[CLIENTS];
static struct one given[CLIENTS];
static size_t n_given;
static char seen[ADDRESS_MAX_BYTES]; /* the client's address, as the last request had it */
static struct http_conn *waiting;

static void note_address(struct http_conn *http_conn)
{
    if (!peer_describe(http_conn_peer(http_conn), seen, sizeof seen))
        snprintf(seen, sizeof seen, "the socket's");
}

static void answer_old(struct http_conn *http_conn)
{
    note_address(http_conn);
    http_conn_keep(http_conn);
    http_conn_answer(http_conn, 200, NULL, NULL, SPAN_NONE);
}

static void answer_new(struct http_conn *http_conn)
{
    note_address(http_conn);
    http_conn_keep(http_conn);
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

static void answer_later(struct http_conn *http_conn)
{
    waiting = http_conn;
    http_conn_await(http_conn);
}

static void defer_request(struct http_conn *http_conn)
{
    if (http_conn_take_turn(http_conn))
        answer_old(http_conn);
}

static void on_second(struct worker *unused)
{
    (void)unused;
}

static void open_port(struct http_port *port, http_request_fn *on_request, atomic_uint *n_sockets)
{
    char *address = "127.0.0.1:0";
    struct option_list addresses = {&address, 1};
    plain_port_init(port, &node, on_request);
    port->n_sockets = n_sockets;
    port->max_sockets = CLIENTS;
    port->accepted = METRIC_ACCEPTED;
    port->accept_errors = METRIC_ACCEPT_ERRORS;
    cr_assert_eq(listeners_open(&addresses, "listen", NULL, &port->listeners, why, sizeof why),
                 ERR_OK, "%s", why);
    cr_assert_eq(peers_new(&options, &port->peers), ERR_OK);
    cr_assert_eq(acceptors_new(port), ERR_OK);
    cr_assert_eq(acceptors_open(port), ERR_OK);
}

static void start(char *trusted)
{
    static char *trusted_list[1];
    trusted_list[0] = trusted;
    options = (struct options){.head_timeout = 10000, .max_head = HTTP_HEAD_USUAL_BYTES};
    options.trusted_proxy = (struct option_list){trusted_list, trusted != NULL};
    cr_assert_eq(hash_init(), ERR_OK);
    stop_the_clock();
    node = (struct node){.options = &options, .workers = &worker, .n_workers = 1};
    cr_assert_eq(worker_new(&node, 0, on_second, &worker), ERR_OK);
    worker_be_here(worker);
    open_port(&old, answer_old, &node.n_sockets);
    open_port(&new, answer_new, &n_new);
}

static void close_port(struct http_port *port)
{
    acceptors_free(port);
    cr_expect_eq(*port->n_sockets, 0);
    peers_free(port->peers);
    listeners_close(port->listeners);
    tls_context_free(port->tls);
}

static void stop(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i] > 0)
            close(clients[i]);
    }
    close_port(&old);
    close_port(&new);
    worker_free(worker);
    let_the_clock_go();
}

static void pass_ms(int64_t ms)
{
    fake_us += 1000 * ms;
    for (int i = 0; i < 4; i++)
        reactor_turn(worker->reactor, 0);
}

static void connect_to(const struct http_port *port, int i)
{
    struct sockaddr_in where = {0};
    socklen_t len = sizeof where;
    cr_assert_eq(getsockname(listeners_fd(port->listeners, 0), (struct sockaddr *)&where, &len), 0);
    clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(clients[i], (struct sockaddr *)&where, len), 0);
    cr_assert_eq(fcntl(clients[i], F_SETFL, O_NONBLOCK), 0);
    pass_ms(1);
}

static void say(int i, const char *text)
{
    cr_assert_eq(send(clients[i], text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    pass_ms(1);
}

/* What has come: an answer's status, 0 for nothing, -1 for the end. */
static int status_of(int i)
{
    char answer[1000];
    ssize_t len = recv(clients[i], answer, sizeof answer - 1, 0);
    if (len <= 0)
        return len == 0 || errno != EAGAIN ? -1 : 0;
    answer[len] = '\0';
    return (int)strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static int ask(int i)
{
    say(i, REQUEST);
    return status_of(i);
}

static bool give(void *closure, int fd, const struct carried_http *carried)
{
    struct one *one = &given[n_given];
    (void)closure;
    cr_assert_lt(n_given, CLIENTS);
    cr_assert_leq(carried->bytes.len, sizeof one->bytes);
    one->fd = dup(fd);
    one->carried = *carried;
    if (carried->bytes.len > 0)
        memcpy(one->bytes, carried->bytes.bytes, carried->bytes.len);
    one->carried.bytes = (struct span){one->bytes, carried->bytes.len};
    n_given++;
    return true;
}

static bool give_none(void *closure, int fd, const struct carried_http *carried)
{
    (void)closure, (void)fd, (void)carried;
    return false;
}

static void give_all(void)
{
    n_given = 0;
    http_carry_each(&old, give, NULL);
}

static void adopt_all(void)
{
    for (size_t i = 0; i < n_given; i++)
        cr_assert_eq(http_adopt(&new, worker, given[i].fd, &given[i].carried), ERR_OK);
}

static void go(void)
{
    http_carry_let_go(&old);
    http_adopt_go(&new, worker);
    pass_ms(1);
}

static void move_all(void)
{
    give_all();
    adopt_all();
    go();
}

Test(http_carry, takes_a_connection_that_rests)
{
    start(NULL);
    connect_to(&old, 0);
    cr_assert_eq(ask(0), 200);
    give_all();
    cr_assert_eq(n_given, 1);
    cr_expect_eq(given[0].carried.state, CARRIED_HTTP_RESTING);
    adopt_all();
    cr_expect_eq(n_new, 1);
    go();
    cr_expect_eq(node.n_sockets, 0);
    cr_expect_eq(ask(0), 204);
    cr_expect_eq(ask(0), 204);
    stop();
}

Test(http_carry, takes_a_head_wherever_it_is_split)
{
    start(NULL);
    for (size_t at = 0; at < sizeof REQUEST - 1; at++) {
        char begin[sizeof REQUEST] = "";
        memcpy(begin, REQUEST, at);
        connect_to(&old, 0);
        say(0, begin);
        move_all();
        cr_assert_eq(n_given, 1);
        cr_assert_eq(given[0].carried.state, CARRIED_HTTP_HEAD);
        cr_assert_eq(given[0].carried.bytes.len, at);
        say(0, &REQUEST[at]);
        cr_assert_eq(status_of(0), 204, "%zu", at);
        close(clients[0]);
        clients[0] = 0;
        pass_ms(1);
    }
    stop();
}

Test(http_carry, reads_nothing_and_counts_no_time_while_it_holds)
{
    int n_unread = 0;
    start(NULL);
    connect_to(&old, 0);
    say(0, "GET / HT");
    give_all();
    http_carry_let_go(&old); /* nothing is left that might read it */
    adopt_all();
    cr_assert_eq(send(clients[0], &REQUEST[8], sizeof REQUEST - 9, 0), (ssize_t)sizeof REQUEST - 9);
    pass_ms(60000);
    cr_expect_eq(status_of(0), 0);
    cr_assert_eq(ioctl(given[0].fd, FIONREAD, &n_unread), 0);
    cr_expect_eq(n_unread, (int)sizeof REQUEST - 9);
    http_adopt_go(&new, worker);
    pass_ms(1);
    cr_expect_eq(status_of(0), 204);
    stop();
}

Test(http_carry, counts_the_time_of_a_head_on)
{
    start(NULL);
    connect_to(&old, 0);
    say(0, "GET /");
    pass_ms(7000);
    move_all();
    cr_expect_geq(given[0].carried.waited_ms, 7000);
    cr_expect_leq(given[0].carried.waited_ms, 7010);
    pass_ms(2900);
    cr_expect_eq(status_of(0), 0);
    pass_ms(200);
    cr_expect_eq(status_of(0), 408);
    stop();
}

Test(http_carry, counts_the_time_of_a_rest_on)
{
    start(NULL);
    connect_to(&old, 0);
    cr_assert_eq(ask(0), 200);
    pass_ms(70000);
    move_all();
    pass_ms(4000);
    cr_expect_eq(status_of(0), 0);
    pass_ms(2000);
    cr_expect_eq(status_of(0), -1);
    stop();
}

Test(http_carry, finds_the_next_request_after_a_body_that_is_not_read)
{
    start(NULL);
    connect_to(&old, 0);
    say(0, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
    cr_assert_eq(status_of(0), 200);
    move_all();
    cr_assert_eq(n_given, 1);
    cr_expect_eq(given[0].carried.n_skipped, 3);
    say(0, "(((" REQUEST); /* no request begins so */
    cr_expect_eq(status_of(0), 204);
    stop();
}

Test(http_carry, leaves_a_request_that_is_under_way)
{
    start(NULL);
    old.on_request = answer_later;
    connect_to(&old, 0);
    cr_assert_eq(ask(0), 0);
    connect_to(&old, 1);
    say(1, "GET /");
    cr_expect_eq(acceptor_under_way(old.acceptors[0]), 1, "a head is nobody's yet");
    move_all();
    cr_expect_eq(n_given, 1);
    answer_old(waiting);
    pass_ms(1);
    cr_expect_eq(status_of(0), 200);
    cr_expect_eq(acceptor_under_way(old.acceptors[0]), 0);
    move_all();
    cr_expect_eq(n_given, 1, "it rests now");
    cr_expect_eq(ask(0), 204);
    stop();
}

Test(http_carry, takes_a_request_whose_turn_has_not_come)
{
    start(NULL);
    old.on_request = defer_request;
    connect_to(&old, 0);
    conn_loop_count_work(&worker->loop, 1000000);
    cr_assert_eq(ask(0), 0);
    move_all();
    cr_assert_eq(n_given, 1);
    cr_expect_eq(given[0].carried.bytes.len, sizeof REQUEST - 1);
    cr_expect_eq(status_of(0), 204);
    stop();
}

/* Without http_carry_let_go nothing has changed. */
Test(http_carry, goes_on_where_it_was)
{
    start(NULL);
    connect_to(&old, 0);
    connect_to(&old, 1);
    cr_assert_eq(ask(0), 200);
    say(1, "GET / HTTP/1.1\r\n");
    give_all();
    cr_assert_eq(n_given, 2);
    for (size_t i = 0; i < n_given; i++)
        close(given[i].fd);
    cr_expect_eq(ask(0), 200);
    say(1, "Host: a\r\n\r\n");
    cr_expect_eq(status_of(1), 200);
    http_carry_each(&old, give_none, NULL);
    http_carry_let_go(&old);
    cr_expect_eq(ask(0), 200, "it was given to nobody this time");
    give_all();
    for (size_t i = 0; i < n_given; i++)
        close(given[i].fd);
    old.on_request = answer_later;
    cr_assert_eq(ask(0), 0);
    move_all();
    answer_old(waiting);
    pass_ms(1);
    cr_expect_eq(status_of(0), 200, "its request had begun before the others left");
    stop();
}

Test(http_carry, closes_its_duplicates_without_a_trace)
{
    start(NULL);
    connect_to(&old, 0);
    cr_assert_eq(ask(0), 200);
    give_all();
    adopt_all();
    acceptors_free(&new);
    cr_expect_eq(n_new, 0);
    cr_expect_eq(ask(0), 200);
    stop();
}

/* ---- addresses ---- */

Test(http_carry, waits_on_for_the_header_of_a_proxy)
{
    start("127.0.0.1");
    connect_to(&old, 0);
    say(0, "PROXY TCP4 192.0.2.1 1");
    move_all();
    cr_assert_eq(n_given, 1);
    cr_expect_eq(given[0].carried.state, CARRIED_HTTP_PROXY);
    say(0, "0.0.0.1 1 2\r\n" REQUEST);
    cr_expect_eq(status_of(0), 204);
    cr_expect_str_eq(seen, "192.0.2.1");
    stop();
}

Test(http_carry, counts_the_time_of_a_proxy_s_header_on)
{
    start("127.0.0.1");
    connect_to(&old, 0);
    pass_ms(7000);
    move_all();
    pass_ms(2900);
    cr_expect_eq(status_of(0), 0);
    pass_ms(200); /* it becomes an HTTP connection */
    pass_ms(10);  /* whose time is over, too */
    cr_expect_eq(status_of(0), 408);
    stop();
}

Test(http_carry, knows_the_client_that_a_proxy_has_named)
{
    start("127.0.0.1");
    connect_to(&old, 0);
    say(0, "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\nGET /");
    move_all();
    say(0, &REQUEST[5]);
    cr_expect_eq(status_of(0), 204);
    cr_expect_str_eq(seen, "192.0.2.1");
    stop();
}

Test(http_carry, knows_the_client_of_each_head_anew)
{
    start("127.0.0.1");
    connect_to(&old, 0);
    say(0, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    cr_assert_eq(status_of(0), 200);
    cr_assert_str_eq(seen, "192.0.2.7");
    move_all();
    say(0, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n");
    cr_expect_eq(status_of(0), 204);
    cr_expect_str_eq(seen, "192.0.2.8");
    stop();
}

Test(http_carry, believes_no_proxy_that_is_not_trusted_any_more)
{
    start("127.0.0.1");
    options.trusted_proxy.n = 0;
    peers_free(new.peers);
    cr_assert_eq(peers_new(&options, &new.peers), ERR_OK);
    connect_to(&old, 0);
    connect_to(&old, 1);
    say(0, "PROXY TCP4 192.0.2.1 1");
    say(1, "GET / HT");
    move_all();
    cr_assert_eq(n_given, 2);
    say(0, "0.0.0.1 1 2\r\n" REQUEST);
    cr_expect_eq(status_of(0), 400);
    say(1, &REQUEST[8]);
    cr_expect_eq(status_of(1), 204);
    cr_expect_str_eq(seen, "the socket's");
    stop();
}

/* ---- TLS ---- */

Test(http_carry, leaves_what_speaks_tls)
{
    make_files();
    start(NULL);
    old.tls = open_context(false);
    connect_to(&old, 0);
    cr_assert_eq(node.n_sockets, 1);
    give_all();
    cr_expect_eq(n_given, 0);
    stop();
    remove_files();
}

Test(http_carry, goes_on_in_plain_where_new_ones_speak_tls)
{
    make_files();
    start(NULL);
    new.tls = open_context(false);
    connect_to(&old, 0);
    cr_assert_eq(ask(0), 200);
    move_all();
    cr_expect_eq(ask(0), 204);
    stop();
    remove_files();
}
