/* Listening sockets, HTTP connections and the state of the process, on their way between two
 * processes, without memory: what cannot be taken over is the caller's or is closed, alone, and
 * what cannot be written is said to be so. */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/http_carry.h"
#include "gateway/http/http_conn.h"
#include "gateway/http/listeners.h"
#include "gateway/identity/peers.h"
#include "gateway/net/listener.h"
#include "gateway/upgrade/http_record.h"
#include "gateway/upgrade/process_record.h"
#include "tests/alloc/empty_store.h"
#include "tests/alloc/fail.h"
#include "tests/support/bare_node.h"
#include "tests/support/plain_port.h"

#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 3, CONNS = 3, KICKS = 100, RECORD_MAX_BYTES = 1 << 20 };

#define BEGIN "GET / HTTP/1.1\r\nHo"
#define END   "st: a\r\n\r\n"

static char *trusted = "unix:";
static struct options options;
static struct node node;
static struct worker *worker;
static struct http_port port;

static const struct carried_http carried[CONNS] = {
    {.state = CARRIED_HTTP_PROXY, .peer.is_unresolved = true},
    {.state = CARRIED_HTTP_HEAD,
     .peer = {.is_proxied = true, .address = {{[10] = 0xff, 0xff, 192, 0, 2, 1}}},
     .bytes = {BEGIN, sizeof BEGIN - 1}},
    {.state = CARRIED_HTTP_RESTING},
};

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void answer(struct http_conn *http_conn)
{
    http_conn_keep(http_conn);
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

/* ---- the ports ---- */

static enum err open_port(void)
{
    char why[300];
    char *text = "127.0.0.1:0";
    const struct option_list addresses = {&text, 1};
    struct listeners *first;
    plain_port_init(&port, &node, answer);
    port.max_sockets = 100;
    port.accepted = METRIC_ACCEPTED;
    port.accept_errors = METRIC_ACCEPT_ERRORS;
    if (!WENT_WELL(listeners_open(&addresses, "listen", NULL, &first, why, sizeof why)))
        return ERR_NO_MEMORY;
    struct given_listener given = {dup(listeners_fd(first, 0)), text};
    listeners_let_go(first);
    if (!WENT_WELL(listeners_adopt(&addresses, "listen", NULL, &given, 1, &port.listeners, why,
                                   sizeof why)))
        return ERR_NO_MEMORY;
    listeners_settle(port.listeners);
    if (!WENT_WELL(peers_new(&options, &port.peers)) || !WENT_WELL(acceptors_new(&port)))
        return ERR_NO_MEMORY;
    return acceptors_open(&port);
}

static void close_port(void)
{
    acceptors_free(&port);
    peers_free(port.peers);
    listeners_close(port.listeners);
    CHECK(node.n_sockets == 0);
}

/* ---- connections ---- */

static bool give(void *closure, int fd, const struct carried_http *out)
{
    struct record_writer writer = {.out = closure};
    CHECK(fd >= 0 && out->state < CARRIED_HTTP_STATES);
    http_record_write(&writer, out, false, 1);
    return WENT_WELL(writer.error);
}

/* It is answered, or it has ended. */
static void speak(int fd)
{
    char bytes[512];
    ssize_t sent = send(fd, BEGIN END, sizeof(BEGIN END) - 1, MSG_NOSIGNAL);
    turn();
    ssize_t len = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    CHECK(len > 0 || fail_has_happened());
    CHECK(sent > 0 || fail_has_happened());
}

static void carry_connections(void)
{
    int theirs[CONNS];
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    for (unsigned i = 0; i < CONNS; i++) {
        int ends[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        theirs[i] = ends[1];
        if (!WENT_WELL(http_adopt(&port, worker, ends[0], &carried[i])))
            close(ends[0]);
    }
    http_adopt_go(&port, worker);
    turn();
    http_carry_each(&port, give, &record);
    buf_clear(&record);
    for (unsigned i = 0; i < CONNS; i++)
        speak(theirs[i]);
    http_carry_each(&port, give, &record);
    http_carry_let_go(&port);
    turn();
    buf_fini(&record);
    for (unsigned i = 0; i < CONNS; i++)
        close(theirs[i]);
}

/* ---- the process ---- */

static void carry_process(void)
{
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    for (int i = 0; i < KICKS; i++)
        kicked_streams_remember(worker, SPAN_LITERAL("kicked"));
    (void)WENT_WELL(process_record_write(&node, 1, 1, &record));
    buf_fini(&record);
}

static void hand_over(void)
{
    static struct store store = {.ops = &empty_store_ops};
    bare_node_init(&node, &options, &worker);
    options.trusted_proxy = (struct option_list){&trusted, 1};
    options.max_connections_per_address = 10;
    node.store = &store;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    worker_be_here(worker);
    if (open_port() == ERR_OK) {
        carry_connections();
        carry_process();
    }
    close_port();
    turn();
    worker_be_here(NULL);
    bare_node_close(&node);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    fail_each("listening sockets, HTTP connections and the process", hand_over);
    return 0;
}
