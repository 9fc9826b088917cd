#include "storm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUBLISHERS       16
#define PUBLISHER_REPEAT (50 * MS)

struct publisher {
    int fd;
    bool is_asking;
    uint32_t number; /* of the push under way */
    uint64_t due_ns; /* of its repeat; 0: none is due */
    uint32_t kept;
    char input[INPUT_MAX];
};

static struct publisher publishers[PUBLISHERS];
static uint64_t publish_from_ns, publish_to_ns;
struct publish_totals published;

void publishers_init(void)
{
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        publishers[i].fd = -1;
}

void publishers_begin(void)
{
    publish_from_ns = now_ns();
}

void publishers_end(void)
{
    publish_to_ns = now_ns();
}

static void end_publisher(struct publisher *publisher)
{
    if (publisher->fd >= 0)
        close(publisher->fd);
    publisher->fd = -1;
    publisher->kept = 0;
}

static void repeat_later(struct publisher *publisher)
{
    published.repeated++;
    publisher->due_ns = now_ns() + PUBLISHER_REPEAT;
}

static void send_push(uint32_t index)
{
    struct publisher *publisher = &publishers[index];
    const struct push *push = &pushes[publisher->number];
    char body[200], request[600];
    publisher->due_ns = 0;
    if (publisher->fd < 0) {
        publisher->fd = begin_connect(options.admin_port, 100);
        if (publisher->fd < 0) {
            repeat_later(publisher);
            return;
        }
        watch(EPOLL_CTL_ADD, publisher->fd, EPOLLIN, USERS_MAX + index);
    }
    int len = snprintf(body, sizeof body, "{\"userId\":\"u%06u\",\"data\":\"storm %u %u\"}",
                       options.first_user + push->user, push->user, publisher->number);
    int length = snprintf(request, sizeof request,
                          "POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                          "Content-Type: application/json\r\nIdempotency-Key: storm-%u-%u\r\n"
                          "Content-Length: %d\r\n\r\n%s",
                          options.first_user, publisher->number, len, body);
    if (send(publisher->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        if (errno != EAGAIN) /* it is still being connected */
            end_publisher(publisher);
        repeat_later(publisher);
    }
}

void publishers_event(uint32_t index)
{
    struct publisher *publisher = &publishers[index];
    ssize_t count =
        recv(publisher->fd, publisher->input + publisher->kept, INPUT_MAX - 1 - publisher->kept, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        end_publisher(publisher);
        if (publisher->is_asking && publisher->due_ns == 0)
            repeat_later(publisher);
        return;
    }
    publisher->kept += (uint32_t)count;
    publisher->input[publisher->kept] = '\0';
    const char *end = strstr(publisher->input, "\r\n\r\n");
    const char *length = strcasestr(publisher->input, "\r\ncontent-length: ");
    if (end == NULL || length == NULL ||
        publisher->input + publisher->kept < end + 4 + strtoul(length + 18, NULL, 10))
        return;
    bool is_accepted = strncmp(publisher->input, "HTTP/1.1 202", 12) == 0;
    publisher->kept = 0;
    if (!is_accepted) {
        repeat_later(publisher);
        return;
    }
    publisher->is_asking = false;
    pushes[publisher->number].is_accepted = true;
    published.accepted++;
}

/* Those that are due; a publisher who waits for a repeat holds up nobody but itself. */
void publishers_go_on(uint64_t now)
{
    uint64_t until = publish_to_ns != 0 && publish_to_ns < now ? publish_to_ns : now;
    uint64_t due = publish_from_ns == 0 ? 0 : (until - publish_from_ns) * options.rate / SECOND;
    for (uint32_t i = 0; i < PUBLISHERS; i++) {
        struct publisher *publisher = &publishers[i];
        if (publisher->is_asking && publisher->due_ns != 0 && publisher->due_ns <= now)
            send_push(i);
        if (publisher->is_asking || n_pushes >= due || n_pushes == PUSHES_MAX)
            continue;
        publisher->is_asking = true;
        publisher->number = n_pushes;
        pushes[n_pushes++].user = draw(options.n_users);
        send_push(i);
    }
}

bool publishers_are_busy(void)
{
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        if (publishers[i].is_asking)
            return true;
    return false;
}
