/* Sessions on socket pairs, from the 101 to the close, without memory: what was accepted reaches
 * the next session of its user, every push is answered once, and nothing is left behind. One thread
 * turns the worker and the store by hand. */
#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery.h"
#include "gateway/kicks.h"
#include "gateway/operators.h"
#include "gateway/positions.h"
#include "gateway/router.h"
#include "gateway/store/store_local.h"
#include "gateway/waits.h"
#include "tests/alloc/fail.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PUSHES = 6, READ_MAX_BYTES = 1 << 16 };

static struct options options; /* the defaults; made outside of the runs */
static struct node node;
static struct worker *workers[1];
static struct store *store;

static int64_t wall_now_ms(void *unused)
{
    (void)unused;
    return clock_wall_ms();
}

/* ---- the node ---- */

static void turn(void)
{
    for (int i = 0; i < 4; i++) {
        reactor_turn(workers[0]->reactor, 0);
        store_local_turn(store);
    }
}

static bool open_store(void)
{
    struct store_config config = {
        .redis_prefix = "herald",
        .inbox_max = 100,
        .inbox_max_bytes = 1 << 20,
        .idempotency_window_s = 60,
        .events = {.on_notification = router_on_notification, .on_missed = router_on_missed},
        .owner = &node};
    struct store_clock clock = {wall_now_ms, NULL};
    return WENT_WELL(store_memory_open_unthreaded(&config, clock, &store));
}

static bool open_node(void)
{
    node = (struct node){
        .options = &options,
        .workers = workers,
        .n_workers = 1,
        .session_events = &delivery_events,
        .listen_fd = -1,
        .max_connections = 100,
        .max_sockets = 100,
    };
    atomic_init(&node.is_store_up, true);
    if (!open_store())
        return false;
    node.store = store;
    if (!WENT_WELL(client_map_new(1, 100000, delivery_on_letter, &node.map)))
        goto undo_store;
    if (!WENT_WELL(worker_new(&node, 0, delivery_on_second, &workers[0])))
        goto undo_map;
    return true;

undo_map:
    client_map_free(node.map);
undo_store:
    store_close(store);
    return false;
}

static void close_client(struct client *client, void *unused)
{
    (void)unused;
    session_close_all(client, ERR_RESTART, (struct span){0});
}

static void deliver_mail(void)
{
    while (mailbox_deliver(worker_mailbox(workers[0])) > 0)
        ;
}

/* As gateway_stop takes it apart. */
static void close_node(void)
{
    atomic_store(&node.is_stopping, true);
    waits_stop(workers[0]);
    client_map_each(node.map, 0, close_client, NULL);
    deliver_mail();
    store_close(store);
    deliver_mail();
    session_abandon_closing(workers[0]);
    positions_stop(workers[0]);
    kicks_stop(workers[0]);
    worker_free(workers[0]);
    CHECK(client_map_users(node.map) == 0);
    client_map_free(node.map);
}

/* ---- its subscribers ---- */

/* The client's end of a session; -1: it was refused. */
static int subscribe(enum handshake_level level, const char *device)
{
    int fds[2];
    struct session *session;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    struct admission admission = {.fd = fds[0],
                                  .level = level,
                                  .device = span_of(device),
                                  .user_agent = SPAN_LITERAL("a browser"),
                                  .origin = SPAN_LITERAL("https://a.example")};
    memset(admission.accept, 'a', sizeof admission.accept);
    if (!WENT_WELL(session_new(workers[0], &admission, &session))) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    atomic_fetch_add(&node.n_sockets, 1);
    atomic_fetch_add(&node.n_sessions, 1);
    if (!WENT_WELL(delivery_enter(session, SPAN_LITERAL("anna"), admission.device)))
        session_close(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
    return fds[1];
}

static void say(int fd, const char *text)
{
    uint8_t frame[128] = {0x81, (uint8_t)(0x80 | strlen(text))}; /* the mask is 0 */
    memcpy(frame + 6, text, strlen(text));
    if (fd >= 0 && write(fd, frame, 6 + strlen(text)) < 0)
        CHECK(fail_has_happened()); /* it was closed */
}

static size_t hear(int fd, char *out)
{
    size_t len = 0;
    ssize_t got = 1;
    while (fd >= 0 && got > 0 && len < READ_MAX_BYTES) {
        got = read(fd, out + len, READ_MAX_BYTES - len);
        len += got > 0 ? (size_t)got : 0;
    }
    return len;
}

/* ---- what is pushed ---- */

struct pushed {
    struct gateway_push push;
    struct gateway_target target;
    char text[32];
    unsigned n_answers;
};

static void on_pushed(struct gateway_push *push)
{
    CONTAINER_OF(push, struct pushed, push)->n_answers++;
}

static void push_one(struct pushed *pushed, unsigned number, uint32_t ttl_s)
{
    *pushed = (struct pushed){.target = {.user_id = SPAN_LITERAL("anna")}};
    snprintf(pushed->text, sizeof pushed->text, "{\"number\":%u}", number);
    pushed->push = (struct gateway_push){.on_done = on_pushed,
                                         .data = span_of(pushed->text),
                                         .ttl_s = ttl_s,
                                         .wait_ms = number == 2 && ttl_s > 0 ? 1000 : 0,
                                         .n_targets = 1,
                                         .targets = &pushed->target};
    router_push(&node, &pushed->push);
    turn();
}

static uint64_t acknowledged(void)
{
    struct client_known known = client_map_known(node.map, SPAN_LITERAL("anna"));
    return known.acked;
}

static void ignore_request(struct store_request *request)
{
    (void)request;
}

static uint64_t stored_position(void)
{
    struct store_peek peek = {.request = {.on_done = ignore_request},
                              .user_id = SPAN_LITERAL("anna")};
    store_peek(store, &peek);
    turn();
    CHECK(peek.error == ERR_OK);
    return peek.acked;
}

/* CONTRACT 5.1: with memory again, a new session gets what was accepted and not acknowledged. */
static void check_accepted(const struct pushed *pushed)
{
    static char heard[READ_MAX_BYTES];
    fail_no_more();
    uint64_t acked = stored_position();
    if (acknowledged() > acked)
        acked = acknowledged();
    int fd = subscribe(LEVEL_PLAIN, "");
    turn();
    turn();
    size_t len = hear(fd, heard);
    for (unsigned i = 0; i < PUSHES; i++) {
        const struct gateway_target *target = &pushed[i].target;
        CHECK(target->error == ERR_OK || fail_has_happened());
        if (target->error == ERR_OK && target->seq > acked && pushed[i].push.ttl_s > 0)
            CHECK(memmem(heard, len, pushed[i].text, strlen(pushed[i].text)) != NULL);
    }
    close(fd);
    turn();
}

/* ---- the runs ---- */

static void run_pushes(int fd, struct pushed *pushed)
{
    char text[80];
    char id[MESSAGE_ID_MAX_BYTES];
    for (unsigned i = 0; i < PUSHES; i++) {
        push_one(&pushed[i], i, i == 3 ? 0 : 60);
        if (i == 2 && fd >= 0 && pushed[i].target.seq > 0) {
            message_id_write(pushed[i].target.epoch, pushed[i].target.seq, id);
            snprintf(text, sizeof text, "{\"type\":\"ack\",\"id\":\"%s\"}", id);
            say(fd, text);
            turn();
        }
    }
}

static void run_level(enum handshake_level level, const char *device)
{
    static struct pushed pushed[PUSHES];
    static char heard[READ_MAX_BYTES];
    if (!open_node())
        return;
    int first = subscribe(level, device);
    turn();
    int second = subscribe(LEVEL_PLAIN, "");
    turn();
    run_pushes(level == LEVEL_V1 ? first : -1, pushed);
    size_t len = hear(first, heard);
    CHECK(len > 0 || fail_has_happened());
    if (first >= 0)
        close(first);
    turn();
    if (second >= 0)
        close(second);
    turn();
    check_accepted(pushed);
    close_node();
    for (unsigned i = 0; i < PUSHES; i++)
        CHECK(pushed[i].n_answers == 1);
}

static void plain(void)
{
    run_level(LEVEL_PLAIN, "");
}

static void v1(void)
{
    run_level(LEVEL_V1, "");
}

static void with_device(void)
{
    run_level(LEVEL_V1, "phone");
}

static void event_stream(void)
{
    run_level(LEVEL_SSE, "");
}

static unsigned n_kicked;

static void on_kicked(struct gateway_kick *kick)
{
    CHECK(kick->error == ERR_OK || fail_has_happened());
    n_kicked++;
}

static void kicked(void)
{
    struct gateway_kick kick = {
        .on_done = on_kicked, .user_id = SPAN_LITERAL("anna"), .is_purge = true, .block_s = 60};
    struct pushed pushed;
    if (!open_node())
        return;
    int socket_fd = subscribe(LEVEL_V1, "");
    int stream_fd = subscribe(LEVEL_SSE, "");
    turn();
    push_one(&pushed, 0, 60);
    n_kicked = 0;
    operators_kick(&node, &kick);
    turn();
    turn();
    CHECK(n_kicked == 1);
    CHECK(client_map_count(node.map, SPAN_LITERAL("anna")) == 0 || kick.error == ERR_NO_MEMORY);
    if (socket_fd >= 0)
        close(socket_fd);
    if (stream_fd >= 0)
        close(stream_fd);
    turn();
    close_node();
    CHECK(pushed.n_answers == 1);
}

int main(void)
{
    char why[200];
    char *argv[] = {(char[]){"herald"}, (char[]){"--store=memory:"}, NULL};
    enum options_action action;
    signal(SIGPIPE, SIG_IGN); /* as main.c does */
    log_setup(LOG_ERROR, LOG_LOGFMT);
    CHECK(hash_init() == ERR_OK);
    CHECK(options_read(2, argv, NULL, &options, &action, why, sizeof why) == ERR_OK);
    fail_each("plain", plain);
    fail_each("v1", v1);
    fail_each("device", with_device);
    fail_each("event_stream", event_stream);
    fail_each("kicked", kicked);
    options_fini(&options);
    return 0;
}
