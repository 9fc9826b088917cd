/* The admin API without memory: a worker's part of it with its library, a key file, and requests
 * over a connection. Each is answered whole, or its connection ends; none hangs, and what was taken
 * is given back. */
#include "admin/door.h"
#include "admin/routes/routes.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/http/http_conns.h"
#include "gateway/identity/auth.h"
#include "tests/alloc/fail.h"
#include "tests/alloc/prompt_store.h"
#include "tests/support/bare_node.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNS_MAX = 400, ANSWER_MAX_BYTES = 65536, PIECES_MAX = 3, ANSWERS_MAX = 4 };

#define KEY  "Authorization: Bearer the-key-of-the-test\r\n"
#define LAST "Host: localhost\r\n" KEY "\r\n"

/* One connection: what a client sends on it, in one piece or in several, and the statuses that it
 * gets while nothing fails. */
struct exchange {
    const char *name;
    const char *pieces[PIECES_MAX];
    unsigned statuses[ANSWERS_MAX];
};

#define PUSH(fields, body)                                                                         \
    "POST /push HTTP/1.1\r\nContent-Type: application/json\r\n" fields LAST body
#define JSON(target, len, body)                                                                    \
    "POST " target " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " len           \
    "\r\n" LAST body
#define GET(target)    "GET " target " HTTP/1.1\r\n" LAST
#define DELETE(target) "DELETE " target " HTTP/1.1\r\n" LAST

static const struct exchange exchanges[] = {
    {"pushes to one user, sent ahead",
     {PUSH("Content-Length: 23\r\n", "{\"userId\":\"u\",\"data\":1}")
          PUSH("Content-Length: 23\r\n", "{\"userId\":\"u\",\"data\":1}"),
      PUSH("Content-Length: 31\r\n", "{\"userId\":\"u\",\"data\":1,\"ttl\":0}")},
     {202, 202, 200}},
    {"a push to several users, in two pieces",
     {PUSH("Content-Length: 45\r\n", "{\"userIds\":[\"u\",\"v"),
      "\"],\"data\":{\"n\":1.50},\"a\":1}"},
     {400}},
    {"a push to many, with all that a push can have",
     {PUSH("Transfer-Encoding: chunked\r\nIdempotency-Key: abc\r\n",
           "56\r\n{\"userIds\":[\"u\",\"v\",\"w\"],\"data\":\"x\",\"ttl\":60,\"collapseKey\":\"k\","
           "\"idempotencyKey\":\"abc\"}"),
      "\r\n0\r\n\r\n"},
     {200}},
    {"pushes of many lines",
     {"POST /push HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: "
      "chunked\r\n" LAST "5c\r\n{\"userId\":\"u\",\"data\":1}\n{\"userId\":\"u\",\"ttl\":0,"
      "\"data\":\"\\u00e4\"}\n{\"user\"\n\n"
      "{\"userIds\":[\"u\",\"v\"]",
      "\r\n3a\r\n,\"data\":1}\n{\"userId\":\"u\",\"data\":1}\n{\"userId\":\"u\",\"data\":2}",
      "\r\n0\r\n\r\n"},
     {200}},
    {"a body that breaks off", {PUSH("Content-Length: 100\r\n", "{\"userId\":")}, {0}},
    {"a body of lines that breaks off",
     {"POST /push HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100\r\n" LAST
      "{\"userId\":\"u\",\"data\":1}\n{\"userId\":\"u\"",
      ",\"dat"},
     {0}},
    {"inboxes and users",
     {GET("/users/u/inbox?limit=10") GET("/users/u/messages/abcdefgh-1"), GET("/users/u"),
      DELETE("/users/u/inbox")},
     {200, 200, 200, 200}},
    {"withdrawals and kicks",
     {DELETE("/users/u/messages/abcdefgh-1"),
      JSON("/deleteClient", "28", "{\"userId\":\"u\",\"blockFor\":10}")},
     {200, 404}},
    {"what is asked of the node",
     {GET("/stats") GET("/metrics"), GET("/clients?limit=2"),
      JSON("/online", "21", "{\"userIds\":[\"u\",\"v\"]}")},
     {200, 200, 200, 200}},
    {"a broadcast, a ticket and a probe",
     {JSON("/broadcast", "10", "{\"data\":1}"), JSON("/tickets", "14", "{\"userId\":\"u\"}"),
      GET("/livez")},
     {200, 200, 200}},
    {"what is refused",
     {GET("/nowhere") GET("/users/u/inbox?limit=x"), JSON("/online", "3", "[1]"),
      GET("/users/%ff")},
     {404, 400, 400, 400}},
};

static const struct exchange *current;
static char key_file[] = "/tmp/herald-alloc-admin-XXXXXX";

/* ---- the client ---- */

struct admin_client {
    int fd;
    unsigned n_answers;
    bool has_ended;
    size_t len;
    char bytes[ANSWER_MAX_BYTES];
};

static void read_more(struct admin_client *client)
{
    ssize_t n =
        recv(client->fd, client->bytes + client->len, sizeof client->bytes - client->len, 0);
    if (n > 0)
        client->len += (size_t)n;
    client->has_ended |= n == 0;
}

static const char *find_text(const char *bytes, size_t len, const char *text)
{
    return memmem(bytes, len, text, strlen(text));
}

/* 0: it has not come whole. */
static size_t answer_len(const struct admin_client *client)
{
    const char *end = find_text(client->bytes, client->len, "\r\n\r\n");
    if (end == NULL)
        return 0;
    size_t head_len = (size_t)(end - client->bytes) + 4;
    const char *length = find_text(client->bytes, head_len, "\r\nContent-Length: ");
    if (length != NULL) {
        size_t len = head_len + strtoul(length + 18, NULL, 10);
        return len <= client->len ? len : 0;
    }
    end = find_text(end, client->len - head_len + 4, "\r\n0\r\n\r\n");
    return end == NULL ? 0 : (size_t)(end - client->bytes) + 7;
}

static unsigned expected_answers(void)
{
    unsigned n = 0;
    while (n < ANSWERS_MAX && current->statuses[n] != 0)
        n++;
    return n;
}

/* An answer is the documented one, unless memory was missing: then it is a refusal, or that of a
 * request that did not need what was missing. */
static void take_answers(struct admin_client *client)
{
    for (size_t len; (len = answer_len(client)) > 0;) {
        unsigned status = (unsigned)strtoul(client->bytes + strlen("HTTP/1.1 "), NULL, 10);
        unsigned wanted =
            client->n_answers < expected_answers() ? current->statuses[client->n_answers] : 0;
        client->n_answers++;
        if (status != wanted && !fail_has_happened())
            fprintf(stderr, "%u, not %u: %.*s\n", status, wanted, (int)len, client->bytes);
        CHECK(status == wanted || (fail_has_happened() && status >= 400));
        memmove(client->bytes, client->bytes + len, client->len - len);
        client->len -= len;
    }
}

static void turn_until_answered(struct worker *worker, struct admin_client *client)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        reactor_turn(worker->reactor, 0);
        read_more(client);
        take_answers(client);
        if (client->has_ended || client->n_answers >= expected_answers())
            return;
    }
}

/* ---- a run ---- */

static void converse(struct worker *worker, struct http_conns *all)
{
    static struct admin_client client;
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    client = (struct admin_client){.fd = ends[1]};
    atomic_fetch_add(all->port->n_sockets, 1);
    enum err error =
        http_conn_new(worker, ends[0], NULL, &(struct ip){0}, worker_now_ms(worker) + 10000, all);
    if (!WENT_WELL(error)) {
        atomic_fetch_sub(all->port->n_sockets, 1);
        close(ends[0]);
        close(ends[1]);
        return;
    }
    for (size_t i = 0; i < PIECES_MAX && current->pieces[i] != NULL; i++) {
        (void)!send(ends[1], current->pieces[i], strlen(current->pieces[i]), MSG_NOSIGNAL);
        for (int n = 0; n < 5; n++)
            reactor_turn(worker->reactor, 0);
    }
    turn_until_answered(worker, &client);
    CHECK(client.n_answers >= expected_answers() || (client.has_ended && fail_has_happened()));
    close(ends[1]);
    for (int n = 0; n < 5; n++)
        reactor_turn(worker->reactor, 0);
    http_conns_drop_all(all);
}

static void count_refused(unsigned status)
{
    (void)status;
}

static void set_up_port(struct door *door, struct service *service, struct node *node,
                        atomic_uint *n_sockets)
{
    struct http_port *port = &door->port;
    http_port_init(port, node);
    port->on_request = door_on_request;
    port->is_open_path = guard_is_health;
    port->n_sockets = n_sockets;
    port->is_ending = &service->is_stopping;
    port->count_refused = count_refused;
    port->log_malformed = door_log_malformed;
    port->conn_kind = HTTP_KIND_ADMIN;
    port->limits.head_timeout_ms = 10000;
    port->limits.idle_timeout_ms = port->limits.stall_timeout_ms = 75000;
    port->limits.max_head = HTTP_HEAD_USUAL_BYTES;
}

static void serve(struct service *service, struct worker *worker)
{
    static struct http_conns all;
    atomic_uint n_sockets = 0;
    struct admin_worker *home = NULL;
    struct door door = {.homes = &home};
    set_up_port(&door, service, worker->node, &n_sockets);
    http_conns_init(&all, &door.port);
    enum err error = door_open_home(&door, worker, service);
    if (WENT_WELL(error))
        converse(worker, &all);
    door_close_home(&door, worker);
    for (int n = 0; n < 5; n++)
        reactor_turn(worker->reactor, 0);
    CHECK(n_sockets == 0);
}

static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
    return fd;
}

static void run(void)
{
    char why[1024];
    struct node node;
    struct options options;
    struct worker *worker;
    struct service *service;
    struct store store = {.ops = &prompt_store_ops};
    int before = lowest_free_descriptor();
    bare_node_init(&node, &options, &worker);
    node.store = &store;
    options.auth = "ticket";
    options.admin_listen = "127.0.0.1:0";
    options.admin_keys = key_file;
    options.admin_tls_cert = "";
    options.max_body = 65536;
    options.max_data = 65536;
    options.default_ttl = 60000;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    worker_be_here(worker); /* what is answered here needs no letter */
    if (WENT_WELL(auth_open(&options, &node.auth, why, sizeof why)) &&
        WENT_WELL(service_new(&options, &admin_routes, &node, &service, why, sizeof why))) {
        serve(service, worker);
        service_unref(service);
    }
    worker_be_here(NULL);
    auth_close(node.auth);
    bare_node_close(&node);
    CHECK(lowest_free_descriptor() == before);
}

int main(void)
{
    static const char key[] = "one admin the-key-of-the-test\n";
    int fd = mkstemp(key_file);
    CHECK(fd >= 0 && write(fd, key, sizeof key - 1) == sizeof key - 1);
    close(fd);
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    for (size_t i = 0; i < sizeof exchanges / sizeof exchanges[0]; i++) {
        current = &exchanges[i];
        fail_each(current->name, run);
    }
    unlink(key_file);
    return 0;
}
