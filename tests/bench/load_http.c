/* Publishers: keep-alive connections to the admin port, at most one request under way on each.
 *
 * A request is built once per publisher; from push to push only the user and the mark change, and
 * both have a fixed length. Of an answer, the status counts and the body is skipped. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 1024

struct publisher {
    int fd;
    char *request;
    size_t unsent;
    uint32_t user;
    uint64_t stamp;
    size_t head_length;
    size_t body_left; /* of the answer, once the head is complete */
    bool has_head;
    bool is_waiting; /* a request is under way */
    char head[HEAD_MAX + 1];
};

struct http_totals http;
static struct publisher *publishers;
static uint32_t *idle;
static bool *busy_users;
static size_t request_length, user_at, data_at; /* of every request */

static char *put_text(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

/* The body up to the data, as it is for every push but for the user's digits. */
static char *build_body(uint32_t users, long ttl, bool to_all)
{
    char *body = allocate(users + 2, USER_LENGTH + 8), *at = body;
    if (to_all) {
        at = put_text(at, "{\"userIds\":[");
        for (uint32_t i = 0; i < users; i++)
            at += snprintf(at, USER_LENGTH + 4, "%s\"u%06u\"", i > 0 ? "," : "", i);
        at = put_text(at, "]");
    } else {
        at = put_text(at, "{\"userId\":\"u000000\"");
    }
    if (ttl >= 0)
        at += snprintf(at, 24, ",\"ttl\":%ld", ttl);
    put_text(at, ",\"data\":");
    return body;
}

static char *build_request(const struct sockaddr_in *to, uint32_t users, size_t data_length,
                           long ttl, bool to_all)
{
    char *body = build_body(users, ttl, to_all);
    size_t body_length = strlen(body) + data_length + 1;
    char *request = allocate(1, body_length + 256);
    int head =
        snprintf(request, 256,
                 "POST /push HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 ntohs(to->sin_port), body_length);
    memcpy(request + head, body, strlen(body));
    request_length = (size_t)head + body_length;
    user_at = (size_t)head + strlen("{\"userId\":\"u");
    data_at = (size_t)head + strlen(body);
    request[request_length - 1] = '}';
    free(body);
    return request;
}

void http_init(const struct sockaddr_in *to, uint32_t count, uint32_t users, size_t data_length,
               long ttl, bool to_all)
{
    char *request = build_request(to, users, data_length, ttl, to_all);
    publishers = allocate(count, sizeof *publishers);
    idle = allocate(count, sizeof *idle);
    busy_users = allocate(users, sizeof *busy_users);
    for (uint32_t i = 0; i < count; i++) {
        struct publisher *publisher = &publishers[i];
        bool done;
        publisher->request = allocate(1, request_length);
        memcpy(publisher->request, request, request_length);
        publisher->fd = tcp_connect(to, 0, &done);
        watch(EPOLL_CTL_ADD, publisher->fd, EPOLLIN, TAG_PUBLISHER, i);
        idle[http.idle++] = i;
    }
    free(request);
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
    ssize_t count = send(publisher->fd, from, publisher->unsent, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN)
        die("a publisher cannot send: %s", strerror(errno));
    publisher->unsent -= count > 0 ? (size_t)count : 0;
    if (publisher->unsent > 0)
        watch(EPOLL_CTL_MOD, publisher->fd, EPOLLIN | EPOLLOUT, TAG_PUBLISHER, index);
    else if (!was_whole)
        watch(EPOLL_CTL_MOD, publisher->fd, EPOLLIN, TAG_PUBLISHER, index);
}

static void push(uint32_t index, uint32_t user, uint64_t stamp)
{
    struct publisher *publisher = &publishers[index];
    if (user != USER_ALL) {
        uint32_t rest = user;
        for (int digit = USER_LENGTH - 2; digit >= 0; digit--, rest /= 10)
            publisher->request[user_at + (size_t)digit] = (char)('0' + rest % 10);
        busy_users[user] = true;
    }
    tally_mark(publisher->request + data_at, user, stamp);
    publisher->user = user;
    publisher->stamp = stamp;
    publisher->unsent = request_length;
    publisher->is_waiting = true;
    http.sent++;
    send_more(index);
}

void http_publish(void)
{
    uint32_t user;
    uint64_t stamp;
    while (http.idle > 0 && plan_next(now_ns(), &user, &stamp))
        push(idle[--http.idle], user, stamp);
}

static void answered(uint32_t index, uint64_t now)
{
    struct publisher *publisher = &publishers[index];
    if (publisher->user != USER_ALL)
        busy_users[publisher->user] = false;
    if (publisher->head[9] == '2') {
        http.accepted++;
        http.window_accepted += now >= tally.from_ns && now < tally.to_ns;
        if (publisher->stamp >= tally.from_ns && publisher->stamp < tally.to_ns)
            hist_add(&http.answer, now - publisher->stamp);
    } else if (http.failed++ == 0) {
        snprintf(http.first_failure, sizeof http.first_failure, "%.*s",
                 (int)strcspn(publisher->head, "\r"), publisher->head);
    }
    publisher->has_head = false;
    publisher->head_length = 0;
    publisher->is_waiting = false;
    idle[http.idle++] = index;
}

/* Copies what may belong to the head. Returns how many bytes did. */
static size_t take_head(struct publisher *publisher, const char *bytes, size_t length)
{
    size_t before = publisher->head_length, space = HEAD_MAX - before;
    size_t count = length < space ? length : space;
    memcpy(publisher->head + before, bytes, count);
    publisher->head[before + count] = '\0';
    char *end = strstr(publisher->head, "\r\n\r\n");
    if (!end) {
        if (count == space)
            die("the head of an answer is over %d bytes", HEAD_MAX);
        publisher->head_length += count;
        return count;
    }
    end[2] = '\0';
    const char *field = strcasestr(publisher->head, "\r\ncontent-length:");
    if (!field || memcmp(publisher->head, "HTTP/1.1 ", 9) != 0)
        die("an answer without Content-Length: %s", publisher->head);
    publisher->has_head = true;
    publisher->body_left = strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
    return (size_t)(end - publisher->head) + 4 - before;
}

static void read_answer(uint32_t index)
{
    static char input[262144];
    struct publisher *publisher = &publishers[index];
    ssize_t count = recv(publisher->fd, input, sizeof input, 0);
    if (count <= 0) {
        if (count < 0 && errno == EAGAIN)
            return;
        die("the admin port has closed a connection%s: %s",
            publisher->is_waiting ? " instead of answering" : "",
            count < 0 ? strerror(errno) : "end of file");
    }
    uint64_t now = now_ns();
    size_t at = 0, length = (size_t)count;
    while (at < length) {
        if (!publisher->is_waiting)
            die("an answer that nobody asked for");
        if (!publisher->has_head) {
            at += take_head(publisher, input + at, length - at);
        } else {
            size_t part = length - at < publisher->body_left ? length - at : publisher->body_left;
            publisher->body_left -= part;
            at += part;
        }
        if (publisher->has_head && publisher->body_left == 0)
            answered(index, now);
    }
}

void http_event(uint32_t index, uint32_t events)
{
    if (events & EPOLLOUT && publishers[index].unsent > 0)
        send_more(index);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_answer(index);
}
