/* Drains that are asked for, taken back and asked for anew by two operators, against clients that
 * come and go, and a stop in the end. For ThreadSanitizer. Each
 * request was answered, and what is left in the end is nothing: no session, and none that a drain
 * counts. Ends by itself within 20 s. */
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNECTORS = 4, OPERATORS = 2, HELD = 40, USUAL_MS = 4000 };

/* ---- clients ---- */

static int connect_one(unsigned *seed)
{
    char head[400];
    int fd = loopback_dial(race.port);
    int len = snprintf(
        head, sizeof head,
        "GET /ws?userId=u%d HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "%s\r\n",
        rand_r(seed) % 100, rand_r(seed) % 2 == 0 ? "Sec-WebSocket-Protocol: herald.v1\r\n" : "");
    if (fd >= 0 && send(fd, head, (size_t)len, MSG_NOSIGNAL) != len) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Holds some connections, and replaces one after the other. */
static void *connector(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    int held[HELD];
    for (int i = 0; i < HELD; i++)
        held[i] = -1;
    for (int i = 0; !atomic_load(&race.is_over); i = (i + 1) % HELD) {
        if (held[i] >= 0)
            loopback_leave(held[i], rand_r(&seed) % 2 == 0);
        held[i] = connect_one(&seed);
        usleep((useconds_t)rand_r(&seed) % 1000);
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i] >= 0)
            close(held[i]);
    }
    return NULL;
}

/* ---- operators ---- */

static void on_drained(struct gateway_drain *drain)
{
    bool is_good = drain->error == ERR_OK || drain->error == ERR_CONFLICT;
    if (!is_good) {
        fprintf(stderr, "race_drain: %s\n", error_title(drain->error));
        abort();
    }
    race_answered(drain);
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        struct gateway_drain *drain = calloc(1, sizeof *drain);
        drain->on_done = on_drained;
        drain->is_cancel = rand_r(&seed) % 3 == 0;
        if (!drain->is_cancel) {
            drain->rate = rand_r(&seed) % 2 == 0 ? 0 : 1 + (unsigned)rand_r(&seed) % 1000;
            drain->connections = rand_r(&seed) % 3 == 0 ? 0 : 1 + (unsigned)rand_r(&seed) % 100;
        }
        atomic_fetch_add(&race.n_asked, 1);
        gateway_drain(race.node, drain);
        usleep((useconds_t)rand_r(&seed) % 8000);
    }
    return NULL;
}

/* ---- the run ---- */

/* The most sessions that were open, and the most that were to be closed. */
struct most {
    unsigned long open, closing;
};

static struct most look_for(int run_ms)
{
    struct most most = {0, 0};
    for (int i = 0; i < run_ms; i += 5) {
        struct gateway_stats stats;
        gateway_stats(race.node, &stats);
        most.open = stats.connections > most.open ? stats.connections : most.open;
        most.closing = stats.closing > most.closing ? stats.closing : most.closing;
        usleep(5000);
    }
    return most;
}

/* As main does it, while clients still come and operators still ask. */
static bool stop(void)
{
    gateway_begin_drain(race.node);
    usleep(50 * 1000);
    gateway_end_listening(race.node);
    int fd = loopback_dial(race.port);
    if (fd >= 0)
        close(fd);
    for (int i = 0; i < 500 && !gateway_is_drained(race.node); i++)
        usleep(10 * 1000);
    return fd < 0 && gateway_is_drained(race.node);
}

int main(int argc, char **argv)
{
    char *more[] = {"--drain-time", "500ms", "--max-session-age", "1m", "--log-level",
                    "error",        NULL};
    log_setup(LOG_ERROR, LOG_LOGFMT);
    if (!race_start(more))
        return 1;
    for (size_t i = 0; i < CONNECTORS; i++)
        race_thread(connector, i + 1);
    for (size_t i = 0; i < OPERATORS; i++)
        race_thread(operator_thread, i + 100);
    struct most most = look_for(race_run_ms(argc, argv, USUAL_MS));
    bool has_stopped = stop();
    race_join();
    long left = (long)metrics_read(METRIC_LEAVING);
    bool is_good = race_end();
    printf("race_drain: %lu sessions at most, %lu of them to be closed, %ld left\n", most.open,
           most.closing, left);
    return is_good && has_stopped && most.open > 0 && most.closing > 0 && left == 0 ? 0 : 1;
}
