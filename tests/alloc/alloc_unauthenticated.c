/* A subscriber whose first message says who it is, from its request on, without memory: an HTTP
 * connection, the session that it becomes, and what stands behind its head. */
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
#include "tests/alloc/fail.h"

#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 5 };

static const struct options options = {
    .auth = "jwt",
    .jwt_user_claim = "sub",
    .jwt_audience_claim = "aud",
    .token_cookie = "",
    .insecure = true,
    .head_timeout = 10000,
    .auth_timeout = 10000,
    .ping_interval = 10000,
    .silence_timeout = 20000,
    .slow_timeout = 60000,
    .max_head = HTTP_HEAD_USUAL_BYTES,
    .max_message = 65536,
    .session_max_bytes = 262144,
};
static const struct session_events session_events = {
    .on_identified = handover_identified,
    .on_acked = positions_acked,
    .on_drained = replay_drained,
    .on_leave = delivery_leave,
};
static struct auth *auth; /* made outside of the runs */
static struct buf request;

static void on_second(struct worker *unused)
{
    (void)unused;
}

static void turn(struct worker *worker)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void come_and_go(struct worker *worker, struct node *node)
{
    struct http_conns all;
    int ends[2];
    http_conns_init(&all, port_routes_serve);
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
    close(ends[1]);
    turn(worker);
    http_conns_drop_all(&all);
    session_abandon_closing(worker);
    turn(worker);
}

static void run(void)
{
    struct worker *worker;
    struct node node = {
        .workers = &worker,
        .n_workers = 1,
        .auth = auth,
        .max_connections = 10,
        .session_events = &session_events,
    };
    atomic_init(&node.options, &options);
    if (!WENT_WELL(worker_new(&node, 0, on_second, &worker)))
        return;
    come_and_go(worker, &node);
    CHECK(node.n_sockets == 0 && node.n_sessions == 0);
    worker_free(worker);
}

static void add(enum err error)
{
    CHECK(error == ERR_OK);
}

/* With a mask of zeros, which changes nothing. */
static void add_frame(const char *text)
{
    const uint8_t header[6] = {0x81, (uint8_t)(0x80 | strlen(text))};
    add(buf_append(&request, header, sizeof header));
    add(buf_append_text(&request, text));
}

static void run_with(const char *name, const char *first, const char *second)
{
    buf_init(&request, 4096);
    add(buf_append_text(&request, "GET /ws?device=d HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                  "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                  "Sec-WebSocket-Protocol: herald.v1\r\nUser-Agent: test\r\n\r\n"));
    add_frame(first);
    add_frame(second);
    fail_each(name, run);
    buf_fini(&request);
}

int main(void)
{
    char path[] = "/tmp/herald-alloc-XXXXXX";
    char why[300] = "";
    static const char secret[] = "a-secret-of-more-than-thirty-two-bytes";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, secret, sizeof secret - 1) == sizeof secret - 1);
    close(fd);
    struct options with_keys = options;
    with_keys.jwt_keys = path;
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    CHECK(auth_open(&with_keys, &auth, why, sizeof why) == ERR_OK);
    unlink(path);
    run_with("an ack first", "{\"type\":\"ack\",\"id\":\"abcdefgh-1\"}", "{\"type\":\"ping\"}");
    run_with("a bad token", "{\"type\":\"auth\",\"token\":\"x.y.z\"}", "{\"type\":\"ping\"}");
    auth_close(auth);
    return 0;
}
