/* Publishers: keep-alive connections to the admin port, at most one request under way on each. */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

struct publisher {
    struct conn conn;
    bool is_secured;
    char *request;
    size_t unsent;
    uint32_t pushes; /* in the request that is under way; 0: none is */
    uint32_t user;
    uint64_t stamp;
    struct answer *answer;
};

struct http_totals http;
static struct publisher *publishers;
static uint32_t *idle;
static bool *busy_users;

static void secure(uint32_t index)
{
    struct publisher *publisher = &publishers[index];
    publisher->is_secured = conn_secure(&publisher->conn);
    if (publisher->is_secured)
        idle[http.idle++] = index;
}

void http_init(void)
{
    uint32_t count = (uint32_t)options.publishers;
    request_init();
    publishers = allocate(count, sizeof *publishers);
    idle = allocate(count, sizeof *idle);
    busy_users = allocate((size_t)options.subscribers, sizeof *busy_users);
    for (uint32_t i = 0; i < count; i++) {
        struct publisher *publisher = &publishers[i];
        publisher->request = request_new();
        publisher->answer = answer_new();
        bool is_connected = conn_start(&publisher->conn, &options.admin[i % options.n_admin], 0);
        watch(EPOLL_CTL_ADD, publisher->conn.fd, is_connected ? EPOLLIN : EPOLLIN | EPOLLOUT,
              TAG_PUBLISHER, i);
        if (is_connected)
            secure(i);
    }
}

bool http_is_busy(uint32_t user)
{
    return busy_users[user];
}

static void send_more(uint32_t index)
{
    struct publisher *publisher = &publishers[index];
    const char *from = publisher->request + request_length - publisher->unsent;
    bool was_whole = publisher->unsent == request_length;
    ssize_t count = conn_send(&publisher->conn, from, publisher->unsent);
    if (count < 0 && errno != EAGAIN)
        die("a publisher cannot send: %s", strerror(errno));
    publisher->unsent -= count > 0 ? (size_t)count : 0;
    if (publisher->unsent > 0)
        watch(EPOLL_CTL_MOD, publisher->conn.fd, EPOLLIN | EPOLLOUT, TAG_PUBLISHER, index);
    else if (!was_whole)
        watch(EPOLL_CTL_MOD, publisher->conn.fd, EPOLLIN, TAG_PUBLISHER, index);
}

static void push(uint32_t index, uint32_t user, uint64_t stamp)
{
    struct publisher *publisher = &publishers[index];
    if (user != USER_ALL)
        busy_users[user] = true;
    publisher->user = user;
    publisher->stamp = stamp;
    publisher->unsent = request_length;
    publisher->pushes = request_fill(publisher->request, index, user, stamp);
    http.sent += publisher->pushes;
    send_more(index);
}

/* Who was idle last has its request in the caches. In turn nobody is idle for so long that the
 * gateway closes the connection, and all nodes are asked. */
static uint32_t take_idle(void)
{
    uint32_t first = idle[0];
    http.idle--;
    if (!options.in_turn)
        return idle[http.idle];
    memmove(idle, idle + 1, http.idle * sizeof *idle);
    return first;
}

void http_publish(void)
{
    uint32_t user;
    uint64_t stamp;
    while (http.idle > 0 && plan_next(now_ns(), &user, &stamp))
        push(take_idle(), user, stamp);
}

static void answered(uint32_t index, uint64_t now)
{
    struct publisher *publisher = &publishers[index];
    uint32_t accepted = answer_count(publisher->answer, publisher->pushes);
    if (publisher->user != USER_ALL)
        busy_users[publisher->user] = false;
    http.accepted += accepted;
    http.failed += publisher->pushes - accepted;
    if (now >= tally.from_ns && now < tally.to_ns)
        http.window_accepted += accepted;
    if (publisher->stamp >= tally.from_ns && publisher->stamp < tally.to_ns)
        hist_add(&http.answer, now - publisher->stamp);
    publisher->pushes = 0;
    idle[http.idle++] = index;
}

static void read_answer(uint32_t index)
{
    static char input[262144];
    struct publisher *publisher = &publishers[index];
    ssize_t count = conn_recv(&publisher->conn, input, sizeof input);
    if (count <= 0) {
        if (count < 0 && errno == EAGAIN)
            return;
        die("the admin port has closed a connection%s: %s",
            publisher->pushes > 0 ? " instead of answering" : "",
            count < 0 ? strerror(errno) : "end of file");
    }
    uint64_t now = now_ns();
    for (size_t at = 0; at < (size_t)count;) {
        bool is_whole;
        if (publisher->pushes == 0)
            die("an answer that nobody asked for");
        at += answer_take(publisher->answer, input + at, (size_t)count - at, &is_whole);
        if (is_whole)
            answered(index, now);
    }
}

void http_event(uint32_t index, uint32_t events)
{
    struct publisher *publisher = &publishers[index];
    if (!publisher->is_secured) {
        watch(EPOLL_CTL_MOD, publisher->conn.fd, EPOLLIN, TAG_PUBLISHER, index);
        secure(index);
        return;
    }
    if (events & EPOLLOUT && publisher->unsent > 0)
        send_more(index);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        do {
            read_answer(index);
        } while (conn_has_more(&publisher->conn));
    }
}
