/* Backends that read events in all ways at once: calls that wait, give up and acknowledge,
 * consumers that are listed and deleted, and webhooks whose file is read again all the while, whose
 * endpoint fails at random, and which are listed and tested. For ThreadSanitizer. Each request is
 * answered once, also those that the gateway's stop finds under way. Ends by itself within 20 s. */
#include "gateway/base/log.h"
#include "gateway/events/event_log.h"
#include "gateway/events/event_requests.h"
#include "gateway/events/webhook_requests.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 2, PULLERS = 2, USERS = 40, CONSUMERS = 3, FILES = 4, USUAL_MS = 4000 };

static char path[] = "/tmp/herald-race-XXXXXX";
static int listener; /* of the endpoint */
static unsigned endpoint_port;
static atomic_int n_read, n_sent;

static struct span consumer_of(int number)
{
    static const char *const names[CONSUMERS] = {"one", "two", "three"};
    return span_of(names[number % CONSUMERS]);
}

/* ---- writers ---- */

struct said {
    struct event_append append;
    char user[RACE_USER_CAP];
    char data[100];
};

static void on_said(struct event_append *append)
{
    race_answered(CONTAINER_OF(append, struct said, append));
}

static void say(unsigned *seed)
{
    struct said *said = calloc(1, sizeof *said);
    int len = snprintf(said->user, sizeof said->user, "u%d", rand_r(seed) % USERS);
    snprintf(said->data, sizeof said->data,
             "{\"type\":\"client.message\",\"userId\":\"%s\",\"data\":1}", said->user);
    said->append = (struct event_append){
        .on_done = on_said, .user_id = {said->user, (size_t)len}, .data = span_of(said->data)};
    atomic_fetch_add(&race.n_asked, 1);
    if (event_log_append(race.node->events->log, &said->append) != ERR_OK)
        race_answered(said);
}

static void *writer_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        say(&seed);
        usleep((useconds_t)rand_r(&seed) % 1000);
    }
    return NULL;
}

/* ---- those that pull ---- */

struct pulling {
    struct gateway_events op;
    atomic_bool is_done;
};

static void on_pulled(struct gateway_events *op)
{
    atomic_store(&CONTAINER_OF(op, struct pulling, op)->is_done, true);
    atomic_fetch_add(&race.n_answered, 1);
}

static void on_acked(struct gateway_event_ack *op)
{
    race_answered(op);
}

static void acknowledge(const char *cursor)
{
    struct gateway_event_ack *op = calloc(1, sizeof *op);
    if (event_cursor_read(span_of(cursor), &op->cursor) != ERR_OK) {
        free(op);
        return;
    }
    op->on_done = on_acked;
    atomic_fetch_add(&race.n_asked, 1);
    gateway_event_ack(race.node, op);
}

/* One call, until it is answered; with the cursor of the one before, or with none. */
static void pull(struct pulling *pulling, char *cursor, unsigned *seed)
{
    struct gateway_events *op = &pulling->op;
    *op = (struct gateway_events){.on_done = on_pulled,
                                  .consumer = consumer_of(rand_r(seed)),
                                  .limit = 1 + (uint32_t)rand_r(seed) % 50,
                                  .wait_ms = (uint32_t)rand_r(seed) % 100,
                                  .types = EVENT_BIT(EVENT_TYPES) - 1};
    struct event_cursor *ack = &op->ack;
    if (rand_r(seed) % 2 == 0 && event_cursor_read(span_of(cursor), ack) == ERR_OK) {
        op->has_ack = true;
        op->consumer = (struct span){ack->consumer, ack->consumer_len};
    }
    atomic_store(&pulling->is_done, false);
    atomic_fetch_add(&race.n_asked, 1);
    gateway_events(race.node, op);
    if (rand_r(seed) % 4 == 0)
        gateway_events_give_up(race.node, op);
    while (!atomic_load(&pulling->is_done))
        usleep(200);
    if (op->error == ERR_OK)
        memcpy(cursor, op->cursor, EVENT_CURSOR_MAX_BYTES);
    if (op->events.len > 0)
        atomic_fetch_add(&n_read, 1);
    gateway_events_clear(op);
}

static void *puller_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char cursor[EVENT_CURSOR_MAX_BYTES] = "";
    struct pulling *pulling = calloc(1, sizeof *pulling);
    while (!atomic_load(&race.is_over)) {
        pull(pulling, cursor, &seed);
        if (rand_r(&seed) % 8 == 0)
            acknowledge(cursor);
    }
    free(pulling);
    return NULL;
}

/* ---- operators ---- */

static void on_listed(struct gateway_event_consumers *op)
{
    race_answered(op);
}

static void on_forgotten(struct gateway_event_forget *op)
{
    race_answered(op);
}

static void on_webhooks(struct webhooks_list *op)
{
    race_answered(op);
}

static void on_tested(struct webhook_test *op)
{
    race_answered(op);
}

static void operate(unsigned what, unsigned *seed)
{
    struct gateway_event_consumers *list = NULL;
    struct gateway_event_forget *forget = NULL;
    struct webhooks_list *webhooks = NULL;
    struct webhook_test *test = NULL;
    atomic_fetch_add(&race.n_asked, 1);
    if (what == 0) {
        list = calloc(1, sizeof *list);
        list->on_done = on_listed;
        gateway_event_consumers(race.node, list);
    } else if (what == 1) {
        forget = calloc(1, sizeof *forget);
        forget->on_done = on_forgotten;
        forget->consumer = rand_r(seed) % 2 == 0 ? consumer_of(rand_r(seed)) : span_of("shop");
        gateway_event_forget(race.node, forget);
    } else if (what == 2) {
        webhooks = calloc(1, sizeof *webhooks);
        webhooks->on_done = on_webhooks;
        webhooks_list(race.node, webhooks);
    } else {
        test = calloc(1, sizeof *test);
        test->on_done = on_tested;
        test->name = span_of("shop");
        webhooks_test(race.node, test);
    }
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        operate((unsigned)rand_r(&seed) % 4, &seed);
        usleep((useconds_t)rand_r(&seed) % 20000);
    }
    return NULL;
}

/* ---- the endpoint ---- */

/* Reads one request, as far as it comes within a second. true: all of it. */
static bool read_request(int fd, char *room, size_t cap)
{
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (len + 1 < cap && poll(&ready, 1, 1000) == 1) {
        ssize_t n = recv(fd, room + len, cap - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        room[len] = '\0';
        const char *body = strstr(room, "\r\n\r\n");
        const char *size = strstr(room, "Content-Length: ");
        if (body != NULL && size != NULL &&
            len >= (size_t)(body + 4 - room) + strtoul(size + 16, NULL, 10))
            return true;
    }
    return false;
}

static void serve_one(int fd, char *room, size_t cap, unsigned *seed)
{
    static const char *const answers[] = {"200 OK", "204 No Content", "503 Away",
                                          "422 No", "302 Found",      "410 Gone"};
    char head[200];
    unsigned which = (unsigned)rand_r(seed) % 40;
    if (!read_request(fd, room, cap) || which == 39)
        return; /* it is left without an answer */
    which = which < 30 ? 0 : which - 30;
    const char *answer = answers[which < 6 ? which : 0];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", answer);
    if (send(fd, head, (size_t)len, MSG_NOSIGNAL) == len && answer == answers[0])
        atomic_fetch_add(&n_sent, 1);
}

static void *endpoint_thread(void *argument)
{
    enum { ROOM_BYTES = 1 << 20 };
    unsigned seed = (unsigned)(size_t)argument;
    char *room = malloc(ROOM_BYTES);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    while (!atomic_load(&race.is_over)) {
        int fd = poll(&ready, 1, 100) == 1 ? accept(listener, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        serve_one(fd, room, ROOM_BYTES, &seed);
        loopback_leave(fd, rand_r(&seed) % 8 == 0);
    }
    free(room);
    return NULL;
}

static bool open_endpoint(void)
{
    int port;
    listener = loopback_bind_free(&port);
    endpoint_port = (unsigned)port;
    return listen(listener, 64) == 0;
}

/* ---- the file of the webhooks ---- */

/* 0: none; 1: one; 2: two; 3: the other one. */
static bool write_file(unsigned which)
{
    static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    if (which == 1 || which == 2)
        fprintf(file, "shop http://127.0.0.1:%u/a %s batch=7 timeout=1s\n", endpoint_port, secret);
    if (which == 2 || which == 3)
        fprintf(file, "crm http://127.0.0.1:%u/b %s from=now timeout=500ms\n", endpoint_port,
                secret);
    return fclose(file) == 0;
}

/* ---- the run ---- */

int main(int argc, char **argv)
{
    char *more[] = {"--events",    "client.message", "--client-messages",
                    "all",         "--webhooks",     path,
                    "--log-level", "error",          NULL};
    unsigned turn = 0;
    log_setup(LOG_ERROR, LOG_LOGFMT);
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || !open_endpoint() || !write_file(1) || !race_start(more))
        return 1;
    for (size_t i = 0; i < WRITERS; i++)
        race_thread(writer_thread, i + 1);
    for (size_t i = 0; i < PULLERS; i++)
        race_thread(puller_thread, i + 50);
    race_thread(operator_thread, 100);
    race_thread(endpoint_thread, 200);
    for (int left_ms = race_run_ms(argc, argv, USUAL_MS); left_ms > 0; left_ms -= 100) {
        usleep(100 * 1000);
        turn++;
        if (!write_file(turn % 8 == 0 ? turn / 8 % FILES : 1 + turn % 3))
            return 1;
        gateway_reload(race.node, true);
    }
    race_join();
    bool is_good = race_end();
    close(listener);
    unlink(path);
    printf("race_backends: %d answers with events, %d requests answered with 200\n",
           atomic_load(&n_read), atomic_load(&n_sent));
    return is_good && atomic_load(&n_read) > 0 && atomic_load(&n_sent) > 0 ? 0 : 1;
}
