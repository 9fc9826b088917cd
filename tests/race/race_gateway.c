/* Pushes, connects, kicks and drops from many threads at once against a whole gateway on the memory
 * store, for ThreadSanitizer; half of the pushes are made on the workers. In any interleaving each
 * request must be answered once. Ends by itself within 20 s. */
#include "gateway/base/clock.h"
#include "gateway/base/list.h"
#include "gateway/base/log.h"
#include "gateway/node/worker.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { USERS = 24, PUSHERS = 2, CONNECTORS = 3, USUAL_MS = 6000 };

/* A push on its way to a worker, which makes it as the admin port does: where that is the user's
 * home, it is delivered at once. */
struct race_letter {
    struct letter letter;
    struct gateway_push how;
    char user[RACE_USER_CAP];
};

static void push_here(struct letter *letter)
{
    struct race_letter *asked = CONTAINER_OF(letter, struct race_letter, letter);
    race_push(asked->user, &asked->how);
    race_answered(asked);
}

static void push_on_worker(const char *user, const struct gateway_push *how, int at)
{
    struct race_letter *asked = calloc(1, sizeof *asked);
    memcpy(asked->user, user, sizeof asked->user);
    asked->how = *how;
    atomic_fetch_add(&race.n_asked, 1);
    worker_post(race.node->workers[(unsigned)at % race.node->n_workers], &asked->letter, push_here);
}

static void push_one(unsigned *seed)
{
    char user[RACE_USER_CAP] = "";
    snprintf(user, sizeof user, "u%d", rand_r(seed) % USERS);
    struct gateway_push push = {.data = SPAN_LITERAL("{\"hello\":\"world\"}"),
                                .ttl_s = rand_r(seed) % 4 == 0 ? 0 : 60};
    if (push.ttl_s > 0 && rand_r(seed) % 4 == 0)
        push.collapse_key = SPAN_LITERAL("score");
    if (push.ttl_s > 0 && rand_r(seed) % 8 == 0)
        push.wait_ms = 200;
    if (rand_r(seed) % 2 == 0)
        race_push(user, &push);
    else
        push_on_worker(user, &push, rand_r(seed));
}

static void *pusher(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        push_one(&seed);
        if (rand_r(&seed) % 64 == 0)
            usleep(1000);
    }
    return NULL;
}

/* ---- ttl 0 to many: a walk on each worker ---- */

enum { MANY = 2 * GATEWAY_AT_ONCE + 7 };

struct push_to_many {
    struct gateway_push push;
    struct gateway_target targets[MANY];
    char names[2 * USERS][RACE_USER_CAP]; /* half of them absent */
};

static void on_many_pushed(struct gateway_push *push)
{
    for (size_t i = 0; i < MANY; i++) {
        if (push->targets[i].error != ERR_OK)
            abort();
    }
    race_answered(push);
}

static void push_to_many(void)
{
    struct push_to_many *many = calloc(1, sizeof *many);
    for (int i = 0; i < 2 * USERS; i++)
        snprintf(many->names[i], sizeof many->names[i], "u%d", i);
    for (size_t i = 0; i < MANY; i++) {
        many->targets[i].user_id = span_of(many->names[i % (2 * USERS)]);
        many->targets[i].error = ERR_SYSTEM;
    }
    many->push = (struct gateway_push){.on_done = on_many_pushed,
                                       .data = SPAN_LITERAL("1"),
                                       .n_targets = MANY,
                                       .targets = many->targets};
    atomic_fetch_add(&race.n_asked, 1);
    gateway_push(race.node, &many->push);
}

static void *pusher_to_many(void *unused)
{
    (void)unused;
    while (!atomic_load(&race.is_over)) {
        push_to_many();
        usleep(5000);
    }
    return NULL;
}

/* A WebSocket of either level, with a device or without, an event stream, or an acknowledgement for
 * somebody who may be absent. */
static int write_head(char *text, size_t cap, unsigned *seed)
{
    static const char *const devices[] = {"", "", "&device=phone", "&device=desk"};
    const char *device = devices[rand_r(seed) % 4];
    int user = rand_r(seed) % USERS;
    int kind = rand_r(seed) % 4;
    if (kind == 3)
        return snprintf(text, cap,
                        "POST /ack?userId=u%d&id=k3f9a2qd-1%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Connection: close\r\n\r\n",
                        rand_r(seed) % (2 * USERS), device);
    if (kind == 0)
        return snprintf(text, cap, "GET /sse?userId=u%d%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        user, device);
    return snprintf(text, cap,
                    "GET /ws?userId=u%d%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                    user, device, kind == 1 ? "Sec-WebSocket-Protocol: herald.v1\r\n" : "");
}

/* Connects, reads a little, answers no ping, and goes: with a FIN or with a reset. */
static void *connector(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char text[512];
    while (!atomic_load(&race.is_over)) {
        int fd = loopback_dial(race.port);
        if (fd < 0)
            continue;
        int len = write_head(text, sizeof text, &seed);
        if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len) {
            for (int i = rand_r(&seed) % 4; i > 0; i--) {
                if (recv(fd, text, sizeof text, 0) <= 0)
                    break;
            }
        }
        loopback_leave(fd, rand_r(&seed) % 2 == 0);
    }
    return NULL;
}

struct race_kick {
    struct gateway_kick kick;
    char user[16];
};

static void on_kicked(struct gateway_kick *kick)
{
    race_answered((struct race_kick *)kick);
}

struct race_withdrawal {
    struct gateway_cancel cancel;
    struct gateway_inbox inbox;
    struct gateway_purge purge;
    char user[16];
};

static void on_cancelled(struct gateway_cancel *cancel)
{
    race_answered((struct race_withdrawal *)cancel);
}

static void on_purged(struct gateway_purge *purge)
{
    race_answered((char *)purge - offsetof(struct race_withdrawal, purge));
}

/* The newest of what waits is withdrawn. */
static void on_inbox(struct gateway_inbox *inbox)
{
    struct race_withdrawal *asked = CONTAINER_OF(inbox, struct race_withdrawal, inbox);
    asked->cancel.epoch = inbox->epoch;
    asked->cancel.seq = inbox->head > 0 ? inbox->head : 1;
    gateway_inbox_clear(inbox);
    gateway_cancel(race.node, &asked->cancel);
}

static void withdraw_one(unsigned *seed)
{
    struct race_withdrawal *asked = calloc(1, sizeof *asked);
    snprintf(asked->user, sizeof asked->user, "u%d", rand_r(seed) % USERS);
    asked->inbox.on_done = on_inbox;
    asked->inbox.user_id = span_of(asked->user);
    asked->inbox.limit = 10;
    asked->cancel.on_done = on_cancelled;
    asked->cancel.user_id = span_of(asked->user);
    asked->purge.on_done = on_purged;
    asked->purge.user_id = span_of(asked->user);
    atomic_fetch_add(&race.n_asked, 1);
    if (rand_r(seed) % 16 == 0)
        gateway_purge(race.node, &asked->purge);
    else
        gateway_inbox(race.node, &asked->inbox);
}

static void on_broadcast(struct gateway_broadcast *broadcast)
{
    race_answered(broadcast);
}

static void broadcast_one(void)
{
    struct gateway_broadcast *broadcast = calloc(1, sizeof *broadcast);
    broadcast->on_done = on_broadcast;
    broadcast->data = SPAN_LITERAL("\"to all\"");
    atomic_fetch_add(&race.n_asked, 1);
    gateway_broadcast(race.node, broadcast);
}

static void on_looked(struct gateway_user *user)
{
    gateway_user_clear(user);
    race_answered(user);
}

static void on_listed(struct gateway_clients *clients)
{
    if (clients->error != ERR_OK)
        abort();
    gateway_clients_clear(clients);
    race_answered(clients);
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        struct race_kick *kick = calloc(1, sizeof *kick);
        snprintf(kick->user, sizeof kick->user, "u%d", rand_r(&seed) % USERS);
        kick->kick.on_done = on_kicked;
        kick->kick.user_id = span_of(kick->user);
        kick->kick.is_purge = rand_r(&seed) % 8 == 0;
        kick->kick.block_s = rand_r(&seed) % 64 == 0; /* else hardly anybody gets in */
        atomic_fetch_add(&race.n_asked, 1);
        gateway_kick(race.node, &kick->kick);

        struct gateway_user *user = calloc(1, sizeof *user);
        user->on_done = on_looked;
        user->user_id = SPAN_LITERAL("u1");
        atomic_fetch_add(&race.n_asked, 1);
        gateway_user(race.node, user);

        withdraw_one(&seed);
        broadcast_one();
        struct gateway_stats stats;
        gateway_stats(race.node, &stats);
        struct gateway_clients *clients = calloc(1, sizeof *clients);
        clients->on_done = on_listed;
        clients->limit = 8;
        atomic_fetch_add(&race.n_asked, 1);
        gateway_clients(race.node, clients);
        usleep(2000);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char *more[] = {"--log-level", "warn", "--inbox-max", "50", NULL};
    log_setup(LOG_WARN, LOG_LOGFMT);
    if (!race_start(more))
        return 1;
    for (size_t i = 0; i < PUSHERS; i++)
        race_thread(pusher, i + 1);
    for (size_t i = 0; i < CONNECTORS; i++)
        race_thread(connector, i + 100);
    race_thread(pusher_to_many, 0);
    race_thread(operator_thread, 7);
    usleep((useconds_t)race_run_ms(argc, argv, USUAL_MS) * 1000);
    race_join();
    return race_end() ? 0 : 1;
}
