/* A subscriber whose first message has its token, from its request on, without memory: an HTTP
 * connection, the session that it becomes, the messages that came with its head, and with a good
 * token the session of its user. */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/http/http_conns.h"
#include "gateway/identity/auth.h"
#include "gateway/port/handover.h"
#include "gateway/port/port_routes.h"
#include "gateway/session/session.h"
#include "gateway/session/session_close.h"
#include "proto/ws/ws_frame.h"
#include "tests/alloc/empty_store.h"
#include "tests/alloc/fail.h"
#include "tests/support/bare_node.h"
#include "tests/support/plain_port.h"

#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 5 };

#define SECRET "a-secret-of-more-than-thirty-two-bytes"
/* HS256 with that secret, of {"sub":"anna","exp":4102444800}: until 2100. */
#define GOOD_TOKEN                                                                                 \
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwfQ."                             \
    "Eea0-o9Vhg8QRbajGtm9nJgR73Ifu6KuX2ikAjSRNrI"

static struct options options;
static struct auth *auth; /* made outside of the runs */
static struct buf request;
static const char *expected; /* in what a subscriber is sent while nothing fails */

static void turn(struct worker *worker)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void expect_answer(int fd)
{
    char answer[4096];
    ssize_t len = recv(fd, answer, sizeof answer, 0);
    if (!fail_has_happened())
        CHECK(len > 0 && memmem(answer, (size_t)len, expected, strlen(expected)) != NULL);
}

static void come_and_go(struct worker *worker, struct node *node)
{
    struct http_port port;
    struct http_conns all;
    int ends[2];
    plain_port_init(&port, node, port_routes_serve);
    http_conns_init(&all, &port);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    atomic_fetch_add(&node->n_sockets, 1);
    enum err error =
        http_conn_new(worker, ends[0], NULL, &(struct ip){0}, worker_now_ms(worker) + 10000, &all);
    if (!WENT_WELL(error)) {
        atomic_fetch_sub(&node->n_sockets, 1);
        close(ends[0]);
        close(ends[1]);
        return;
    }
    CHECK(send(ends[1], request.bytes, request.len, MSG_NOSIGNAL) == (ssize_t)request.len);
    turn(worker);
    expect_answer(ends[1]);
    close(ends[1]);
    turn(worker);
    http_conns_drop_all(&all);
    session_abandon_closing(worker);
    turn(worker);
}

static void run(void)
{
    struct worker *worker;
    struct node node;
    struct store store = {.ops = &empty_store_ops};
    bare_node_init(&node, &options, &worker);
    options.auth = "jwt";
    node.auth = auth;
    node.store = &store;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    come_and_go(worker, &node);
    CHECK(node.n_sockets == 0 && node.n_sessions == 0 && client_map_users(node.map) == 0);
    bare_node_close(&node);
}

static void add(enum err error)
{
    CHECK(error == ERR_OK);
}

/* With a mask of zeros, which changes nothing. */
static void add_frame(const char *text)
{
    size_t len = strlen(text);
    const uint8_t header[8] = {0x81, 0x80 | 126, (uint8_t)(len >> 8), (uint8_t)len};
    const uint8_t short_header[6] = {0x81, (uint8_t)(0x80 | len)};
    if (len < 126)
        add(buf_append(&request, short_header, sizeof short_header));
    else
        add(buf_append(&request, header, sizeof header));
    add(buf_append_text(&request, text));
}

/* The first message, a ping after it, and what the subscriber must be sent. */
static void run_with(const char *name, const char *first, const char *answer)
{
    expected = answer;
    buf_init(&request, 4096);
    add(buf_append_text(&request, "GET /ws?device=d HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                  "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                  "Sec-WebSocket-Protocol: herald.v1\r\nUser-Agent: test\r\n\r\n"));
    add_frame(first);
    add_frame("{\"type\":\"ping\"}");
    fail_each(name, run);
    buf_fini(&request);
}

int main(void)
{
    char path[] = "/tmp/herald-alloc-XXXXXX";
    char why[300] = "";
    static const char secret[] = SECRET;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, secret, sizeof secret - 1) == sizeof secret - 1);
    close(fd);
    static struct node unused; /* for its options alone */
    bare_node_init(&unused, &options, NULL);
    options.auth = "jwt";
    options.jwt_keys = path;
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    CHECK(auth_open(&options, &auth, why, sizeof why) == ERR_OK);
    unlink(path);
    run_with("an ack first", "{\"type\":\"ack\",\"id\":\"abcdefgh-1\"}", "auth must come first");
    run_with("a bad token", "{\"type\":\"auth\",\"token\":\"x.y.z\"}",
             "the header of the token is malformed");
    run_with("a good token", "{\"type\":\"auth\",\"token\":\"" GOOD_TOKEN "\"}",
             "{\"type\":\"pong\"}");
    auth_close(auth);
    return 0;
}
