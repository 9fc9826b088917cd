/* Pushes, connects, kicks and drops from many threads at once against a whole gateway on the memory
 * store, for ThreadSanitizer. It also checks what must hold in any interleaving: each push is
 * answered once, and what was stored for a user and not acknowledged is pending. Ends by itself
 * within 20 s. */
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/gateway.h"
#include "tests/support/loopback.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { USERS = 24, PUSHERS = 2, CONNECTORS = 3, RUN_MS = 6000 };

static struct node *node;
static struct options options;
static unsigned port;
static atomic_int n_asked;
static atomic_int n_answered;
static atomic_bool is_over;

struct race_push {
    struct gateway_push push;
    struct gateway_target target;
    char user[16];
};

static void on_pushed(struct gateway_push *push)
{
    struct race_push *race = (struct race_push *)push;
    if (race->target.error != ERR_OK) {
        fprintf(stderr, "a push failed: %d\n", race->target.error);
        abort();
    }
    atomic_fetch_add(&n_answered, 1);
    free(race);
}

static void push_one(unsigned *seed)
{
    struct race_push *race = calloc(1, sizeof *race);
    snprintf(race->user, sizeof race->user, "u%d", rand_r(seed) % USERS);
    race->target.user_id = span_of(race->user);
    race->push = (struct gateway_push){.on_done = on_pushed,
                                       .data = SPAN_LITERAL("{\"hello\":\"world\"}"),
                                       .ttl_s = rand_r(seed) % 4 == 0 ? 0 : 60,
                                       .n_targets = 1,
                                       .targets = &race->target};
    if (race->push.ttl_s > 0 && rand_r(seed) % 4 == 0)
        race->push.collapse_key = SPAN_LITERAL("score");
    if (race->push.ttl_s > 0 && rand_r(seed) % 8 == 0)
        race->push.wait_ms = 200;
    atomic_fetch_add(&n_asked, 1);
    gateway_push(node, &race->push);
}

static void *pusher(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&is_over)) {
        push_one(&seed);
        if (rand_r(&seed) % 64 == 0)
            usleep(1000);
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
    while (!atomic_load(&is_over)) {
        int fd = loopback_dial(port);
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
    atomic_fetch_add(&n_answered, 1);
    free((struct race_kick *)kick);
}

struct race_message {
    struct gateway_message message;
    struct gateway_inbox inbox;
    char user[16];
};

static void on_message(struct gateway_message *message)
{
    free((struct race_message *)message);
    atomic_fetch_add(&n_answered, 1);
}

/* The newest of what waits is withdrawn. */
static void on_inbox(struct gateway_inbox *inbox)
{
    struct race_message *race =
        (struct race_message *)((char *)inbox - offsetof(struct race_message, inbox));
    race->message.epoch = inbox->epoch;
    race->message.seq = inbox->head > 0 ? inbox->head : 1;
    gateway_inbox_clear(inbox);
    gateway_message(node, &race->message);
}

static void withdraw_one(unsigned *seed)
{
    struct race_message *race = calloc(1, sizeof *race);
    snprintf(race->user, sizeof race->user, "u%d", rand_r(seed) % USERS);
    race->inbox.on_done = on_inbox;
    race->inbox.user_id = span_of(race->user);
    race->inbox.limit = 10;
    race->inbox.is_purge = rand_r(seed) % 16 == 0;
    race->message.on_done = on_message;
    race->message.user_id = span_of(race->user);
    race->message.is_cancel = true;
    atomic_fetch_add(&n_asked, 1);
    gateway_inbox(node, &race->inbox);
}

static void on_broadcast(struct gateway_broadcast *broadcast)
{
    free(broadcast);
    atomic_fetch_add(&n_answered, 1);
}

static void broadcast_one(void)
{
    struct gateway_broadcast *broadcast = calloc(1, sizeof *broadcast);
    broadcast->on_done = on_broadcast;
    broadcast->data = SPAN_LITERAL("\"to all\"");
    atomic_fetch_add(&n_asked, 1);
    gateway_broadcast(node, broadcast);
}

static void on_looked(struct gateway_user *user)
{
    free(user->connections);
    atomic_fetch_add(&n_answered, 1);
    free(user);
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    struct gateway_client clients[8];
    char next[32];
    size_t n;
    while (!atomic_load(&is_over)) {
        struct race_kick *kick = calloc(1, sizeof *kick);
        snprintf(kick->user, sizeof kick->user, "u%d", rand_r(&seed) % USERS);
        kick->kick.on_done = on_kicked;
        kick->kick.user_id = span_of(kick->user);
        kick->kick.is_purge = rand_r(&seed) % 8 == 0;
        kick->kick.block_s = rand_r(&seed) % 64 == 0; /* else hardly anybody gets in */
        atomic_fetch_add(&n_asked, 1);
        gateway_kick(node, &kick->kick);

        struct gateway_user *user = calloc(1, sizeof *user);
        user->on_done = on_looked;
        user->user_id = SPAN_LITERAL("u1");
        atomic_fetch_add(&n_asked, 1);
        gateway_user(node, user);

        withdraw_one(&seed);
        broadcast_one();
        struct gateway_stats stats;
        gateway_stats(node, &stats);
        if (gateway_clients(node, (struct span){0}, clients, 8, &n, next) != ERR_OK)
            abort();
        usleep(2000);
    }
    return NULL;
}

int main(void)
{
    char why[1024];
    char listen[64];
    enum options_action action;
    port = loopback_free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    char *argv[] = {"race", "--store",     "memory:", "--listen",    listen, "--workers",
                    "3",    "--log-level", "warn",    "--inbox-max", "50",   NULL};
    char *environment[] = {NULL};
    if (options_read(11, argv, environment, &options, &action, why, sizeof why) != ERR_OK ||
        gateway_start(&options, &node, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "race_gateway: %s\n", why);
        return 1;
    }
    pthread_t threads[PUSHERS + CONNECTORS + 1];
    size_t n = 0;
    for (size_t i = 0; i < PUSHERS; i++)
        pthread_create(&threads[n++], NULL, pusher, (void *)(i + 1));
    for (size_t i = 0; i < CONNECTORS; i++)
        pthread_create(&threads[n++], NULL, connector, (void *)(i + 100));
    pthread_create(&threads[n++], NULL, operator_thread, (void *)(size_t)7);
    usleep(RUN_MS * 1000);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 500 && atomic_load(&n_answered) < atomic_load(&n_asked); i++)
        usleep(10 * 1000);
    int asked = atomic_load(&n_asked);
    int answered = atomic_load(&n_answered);
    gateway_stop(node);
    options_fini(&options);
    printf("race_gateway: %d asked, %d answered\n", asked, answered);
    return asked > 0 && asked == answered ? 0 : 1;
}
