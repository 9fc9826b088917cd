/* Sessions that go on with a copy of their socket, again and again, against pushes, kicks and
 * clients that come and go: they are read out, let go and made anew on their workers, are held for
 * a moment in which the workers go on, and then all go. For ThreadSanitizer. In the end no session
 * is left, and each push was answered. Ends by itself within 20 s. */
#include "gateway/base/log.h"
#include "gateway/delivery/delivery_carry.h"
#include "gateway/http/http_port.h"
#include "gateway/session/session_carry.h"
#include "gateway/session/session_revive.h"
#include "gateway/upgrade/session_record.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { USERS = 24, CONNECTORS = 4, USUAL_MS = 5000, MOVED_MAX = 1024 };

static atomic_uint n_moved;

/* ---- from one process to the other ---- */

struct moved {
    struct buf record;
    int fd;
};

struct batch {
    struct moved all[MOVED_MAX];
    unsigned n;
    struct buf scratch;
};

static void read_out(struct session *session, void *argument)
{
    struct batch *batch = argument;
    struct carried_session carried;
    struct moved *moved = &batch->all[batch->n];
    if (batch->n == MOVED_MAX || session_carry(session, &batch->scratch, &carried) != ERR_OK)
        return;
    buf_init(&moved->record, SIZE_MAX);
    struct record_writer writer = {.out = &moved->record};
    session_record_write(&writer, &carried, 1);
    moved->fd = dup(session->conn.watch.fd);
    if (writer.error != ERR_OK || moved->fd < 0) {
        fprintf(stderr, "out of memory or of descriptors\n");
        exit(1);
    }
    batch->n++;
    delivery_let_go(session);
}

static void adopt(struct worker *worker, struct moved *moved)
{
    char why[RECORD_WHY_MAX_BYTES];
    struct carried_session carried;
    if (session_record_read(buf_span(&moved->record), &carried, why) != ERR_OK ||
        delivery_adopt(worker, worker->node->port->peers, &carried, moved->fd) != ERR_OK) {
        fprintf(stderr, "a session of %.*s was not adopted\n", (int)carried.user_id.len,
                carried.user_id.bytes);
        exit(1);
    }
    atomic_fetch_add(&n_moved, 1);
}

static void move_here(struct worker *worker, void *argument)
{
    struct batch *batch = argument;
    batch->n = 0;
    buf_init(&batch->scratch, SIZE_MAX);
    delivery_each_carried(worker, read_out, batch);
    for (unsigned i = 0; i < batch->n; i++) {
        adopt(worker, &batch->all[i]);
        buf_fini(&batch->all[i].record);
    }
    buf_fini(&batch->scratch);
}

static void go_here(struct worker *worker, void *unused)
{
    (void)unused;
    delivery_go(worker);
}

static void *mover(void *argument)
{
    static struct batch batch;
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        worker_run_on_all(race.node, move_here, &batch);
        usleep((useconds_t)(rand_r(&seed) % 3000));
        worker_run_on_all(race.node, go_here, NULL);
        usleep((useconds_t)(rand_r(&seed) % 3000));
    }
    return NULL;
}

/* ---- subscribers ---- */

static size_t write_request(char *out, size_t cap, unsigned *seed)
{
    static const char *const lines[] = {"", "Sec-WebSocket-Protocol: herald.v1\r\n"};
    int user = rand_r(seed) % USERS;
    if (rand_r(seed) % 3 == 0)
        return (size_t)snprintf(out, cap, "GET /sse?userId=u%d HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                user);
    return (size_t)snprintf(
        out, cap,
        "GET /ws?userId=u%d%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
        user, rand_r(seed) % 4 == 0 ? "&device=phone" : "", lines[rand_r(seed) % 2]);
}

/* Reads a little, sends a ping in two pieces, and goes, with a FIN or with a reset. */
static void *connector(void *argument)
{
    static const char ping[] = "\x89\x82\0\0\0\0hi";
    unsigned seed = (unsigned)(size_t)argument;
    char bytes[4096];
    while (!atomic_load(&race.is_over)) {
        int fd = loopback_dial(race.port);
        if (fd < 0)
            continue;
        size_t len = write_request(bytes, sizeof bytes, &seed);
        bool is_sent = send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
        for (int i = rand_r(&seed) % 6; i > 0 && is_sent; i--) {
            size_t cut = (size_t)rand_r(&seed) % (sizeof ping - 1);
            if (recv(fd, bytes, sizeof bytes, 0) <= 0 ||
                send(fd, ping, cut, MSG_NOSIGNAL) != (ssize_t)cut)
                break;
            usleep((useconds_t)(rand_r(&seed) % 2000));
            if (send(fd, ping + cut, sizeof ping - 1 - cut, MSG_NOSIGNAL) < 0)
                break;
        }
        loopback_leave(fd, rand_r(&seed) % 2 == 0);
    }
    return NULL;
}

/* ---- the backend and the operator ---- */

static void on_kicked(struct gateway_kick *kick)
{
    race_answered(kick);
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        for (int i = 0; i < 20; i++) {
            char user[RACE_USER_CAP];
            snprintf(user, sizeof user, "u%d", rand_r(&seed) % USERS);
            race_push(user, &(struct gateway_push){.data = SPAN_LITERAL("\"hello\""),
                                                   .ttl_s = rand_r(&seed) % 2 == 0 ? 0 : 60});
        }
        struct gateway_kick *kick = calloc(1, sizeof *kick);
        kick->on_done = on_kicked;
        kick->user_id = SPAN_LITERAL("u3");
        atomic_fetch_add(&race.n_asked, 1);
        gateway_kick(race.node, kick);
        usleep(1000);
    }
    return NULL;
}

static unsigned long connections(void)
{
    struct gateway_stats stats;
    gateway_stats(race.node, &stats);
    return (unsigned long)stats.connections;
}

int main(int argc, char **argv)
{
    int run_ms = race_run_ms(argc, argv, USUAL_MS);
    log_setup(LOG_WARN, LOG_LOGFMT);
    if (!race_start((char *[]){"--insecure", NULL}))
        return 1;
    for (size_t i = 0; i < CONNECTORS; i++)
        race_thread(connector, 1 + i);
    race_thread(operator_thread, 100);
    race_thread(mover, 200);
    usleep((useconds_t)run_ms * 1000);
    race_join();
    for (int i = 0; i < 500 && connections() > 0; i++)
        usleep(10 * 1000);
    unsigned long left = connections();
    bool is_good = race_end();
    printf("race_carry: %u sessions went on, %lu left\n", atomic_load(&n_moved), left);
    return is_good && atomic_load(&n_moved) > 0 && left == 0 ? 0 : 1;
}
