/* Clients that say something to the backends and leave before they are answered, over WebSockets
 * and by POST /message, against pushes to single connections, and a main thread that lets all
 * messages rest and go on as an upgrade does. For ThreadSanitizer. Each push was answered, and in
 * the end no message is without its answer. Ends by itself within 20 s. */
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/node/worker.h"
#include "gateway/session/session_unanswered.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TALKERS = 3, PAGES = 1, PUSHERS = 2, HELD = 12, USERS = 20, USUAL_MS = 4000 };

/* ---- WebSockets ---- */

struct talker {
    int fd; /* -1: it is not connected */
    bool is_v1;
};

static void connect_talker(struct talker *talker, unsigned *seed)
{
    char head[400];
    talker->is_v1 = rand_r(seed) % 2 == 0;
    talker->fd = loopback_dial(race.port);
    int len = snprintf(
        head, sizeof head,
        "GET /ws?userId=u%d HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "%s\r\n",
        rand_r(seed) % USERS, talker->is_v1 ? "Sec-WebSocket-Protocol: herald.v1\r\n" : "");
    if (talker->fd >= 0 && send(talker->fd, head, (size_t)len, MSG_NOSIGNAL) != len) {
        close(talker->fd);
        talker->fd = -1;
    }
}

/* A text frame of at most 125 bytes, masked with zeros. false: the connection is gone. */
static bool say_text(int fd, const char *text)
{
    uint8_t frame[6 + 125] = {0x81, (uint8_t)(0x80 | strlen(text))};
    size_t len = 6 + strlen(text);
    memcpy(frame + 6, text, strlen(text));
    return send(fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static bool say_some(const struct talker *talker, unsigned *seed)
{
    char text[100];
    uint8_t drain[4096];
    for (int n = rand_r(seed) % 100; n > 0; n--) {
        snprintf(text, sizeof text,
                 talker->is_v1 ? "{\"type\":\"message\",\"id\":\"%d\",\"data\":1}" : "%d", n);
        if (!say_text(talker->fd, text))
            return false;
    }
    while (recv(talker->fd, drain, sizeof drain, MSG_DONTWAIT) > 0) {
    }
    return true;
}

static void *talker_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    struct talker held[HELD];
    for (int i = 0; i < HELD; i++)
        held[i].fd = -1;
    while (!atomic_load(&race.is_over)) {
        struct talker *talker = &held[rand_r(&seed) % HELD];
        if (talker->fd < 0) {
            connect_talker(talker, &seed);
        } else if (!say_some(talker, &seed) || rand_r(&seed) % 8 == 0) {
            loopback_leave(talker->fd, rand_r(&seed) % 2 == 0);
            talker->fd = -1;
        }
        usleep((useconds_t)rand_r(&seed) % 1000);
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i].fd >= 0)
            close(held[i].fd);
    }
    return NULL;
}

/* ---- pages ---- */

static void *page_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        char request[300], answer[1000];
        int fd = loopback_dial(race.port);
        int len = snprintf(request, sizeof request,
                           "POST /message?userId=u%d&id=1 HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]",
                           rand_r(&seed) % USERS);
        if (fd >= 0 && send(fd, request, (size_t)len, MSG_NOSIGNAL) == len &&
            rand_r(&seed) % 2 == 0)
            (void)!recv(fd, answer, sizeof answer, 0);
        if (fd >= 0)
            loopback_leave(fd, rand_r(&seed) % 2 == 0);
        usleep((useconds_t)rand_r(&seed) % 2000);
    }
    return NULL;
}

/* ---- backends ---- */

static void *pusher_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        char user[RACE_USER_CAP];
        uint64_t next = atomic_load(&race.node->next_connection);
        struct gateway_push how = {.data = SPAN_LITERAL("7"),
                                   .is_to_connection = rand_r(&seed) % 4 != 0,
                                   .connection = next - (uint64_t)(rand_r(&seed) % 40)};
        snprintf(user, sizeof user, "u%d", rand_r(&seed) % USERS);
        race_push(user, &how);
        usleep((useconds_t)rand_r(&seed) % 500);
    }
    return NULL;
}

/* ---- the run ---- */

static void hold_here(struct worker *worker, void *argument)
{
    (void)argument;
    session_hold_all(worker);
}

static void read_on_here(struct worker *worker, void *argument)
{
    (void)argument;
    session_read_on_all(worker);
}

static void count_here(struct worker *worker, void *argument)
{
    *(unsigned *)argument += worker->n_unanswered;
}

/* true: within 5 s no message is without its answer, while none is read. */
static bool rest_and_go_on(void)
{
    unsigned n_unanswered = 1;
    worker_run_on_all(race.node, hold_here, NULL);
    for (int i = 0; i < 500 && n_unanswered > 0; i++) {
        usleep(10 * 1000);
        n_unanswered = 0;
        worker_run_on_all(race.node, count_here, &n_unanswered);
    }
    worker_run_on_all(race.node, read_on_here, NULL);
    return n_unanswered == 0;
}

int main(int argc, char **argv)
{
    char *more[] = {"--events",
                    "client.message",
                    "--client-messages",
                    "all",
                    "--client-messages-per-second",
                    "1000000",
                    "--log-level",
                    "error",
                    NULL};
    bool has_rested = true;
    log_setup(LOG_ERROR, LOG_LOGFMT);
    if (!race_start(more))
        return 1;
    for (size_t i = 0; i < TALKERS; i++)
        race_thread(talker_thread, i + 1);
    for (size_t i = 0; i < PAGES; i++)
        race_thread(page_thread, i + 50);
    for (size_t i = 0; i < PUSHERS; i++)
        race_thread(pusher_thread, i + 100);
    for (int left_ms = race_run_ms(argc, argv, USUAL_MS); left_ms > 0; left_ms -= 200) {
        usleep(200 * 1000);
        has_rested = rest_and_go_on() && has_rested;
    }
    race_join();
    has_rested = rest_and_go_on() && has_rested;
    long kept[] = {(long)metrics_read(METRIC_MESSAGES_KEPT_PLAIN),
                   (long)metrics_read(METRIC_MESSAGES_KEPT_V1),
                   (long)metrics_read(METRIC_MESSAGES_KEPT_HTTP)};
    bool is_good = race_end();
    printf("race_messages: kept %ld plain, %ld of herald.v1, %ld of pages\n", kept[0], kept[1],
           kept[2]);
    return is_good && has_rested && kept[0] > 0 && kept[1] > 0 && kept[2] > 0 ? 0 : 1;
}
