/* A user rests until its next attempt is due, connects, asks for its session, and has it until it
 * ends. All attempts go to the first node until a session has ended, and then to the other. */
#include "storm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 128 /* connects to the first node */

enum state { RESTING, CONNECTING, ASKING, OPEN };

struct user {
    int fd;
    uint8_t state;
    uint8_t failures;
    uint16_t kept;
    uint64_t due_ns;  /* RESTING: of the next attempt */
    uint64_t lost_ns; /* when its last session ended */
    char input[INPUT_MAX];
};

static struct user users[USERS_MAX];
struct user_totals totals;

void users_init(void)
{
    for (uint32_t i = 0; i < USERS_MAX; i++)
        users[i].fd = -1;
}

static void rest_user(struct user *user, uint64_t for_ns)
{
    if (user->fd >= 0)
        close(user->fd);
    if (user->state == OPEN)
        totals.open--;
    else if (user->state != RESTING)
        totals.under_way--;
    user->fd = -1;
    user->state = RESTING;
    user->kept = 0;
    user->due_ns = now_ns() + for_ns;
}

static void fail_user(struct user *user)
{
    uint64_t pause_ns = 50 * MS << (user->failures < 5 ? user->failures : 5);
    if (pause_ns > SECOND)
        pause_ns = SECOND;
    user->failures++;
    totals.failed++;
    rest_user(user, pause_ns / 2 + draw((uint32_t)(pause_ns / 2 / MS)) * MS);
}

/* Of an open one. */
static void lose_user(struct user *user)
{
    uint64_t now = now_ns();
    if (totals.killed_ns == 0)
        totals.killed_ns = now;
    user->lost_ns = now;
    rest_user(user, draw(options.jitter_ms + 1) * MS);
}

static void start_user(uint32_t index)
{
    struct user *user = &users[index];
    user->fd =
        begin_connect(totals.killed_ns == 0 ? options.from_port : options.to_port, index / 10000);
    if (user->fd < 0) {
        user->due_ns = now_ns() + 50 * MS;
        return;
    }
    user->state = CONNECTING;
    totals.under_way++;
    watch(EPOLL_CTL_ADD, user->fd, EPOLLOUT, index);
}

static void ask_user(uint32_t index)
{
    struct user *user = &users[index];
    char request[300];
    int failure = 0;
    socklen_t len = sizeof failure;
    getsockopt(user->fd, SOL_SOCKET, SO_ERROR, &failure, &len);
    int length = snprintf(request, sizeof request,
                          "GET /ws?userId=u%06u HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                          "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n",
                          options.first_user + index);
    if (failure != 0 || send(user->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        fail_user(user);
        return;
    }
    user->state = ASKING;
    watch(EPOLL_CTL_MOD, user->fd, EPOLLIN, index);
}

/* Bytes taken; 0: more must come, or the user rests now. */
static size_t take_answer(struct user *user)
{
    char *end = memmem(user->input, user->kept, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    *end = '\0';
    if (strncmp(user->input, "HTTP/1.1 101", 12) != 0) {
        const char *retry = strcasestr(user->input, "\r\nretry-after: ");
        totals.refused++;
        rest_user(user, (retry != NULL ? strtoull(retry + 15, NULL, 10) : 1) * SECOND);
        return 0;
    }
    user->state = OPEN;
    user->failures = 0;
    totals.under_way--;
    totals.open++;
    if (user->lost_ns != 0 && totals.n_back < USERS_MAX)
        totals.back_ns[totals.n_back++] = now_ns() - totals.killed_ns;
    return (size_t)(end - user->input) + 4;
}

static void take_data(uint32_t index, const char *text, size_t len)
{
    unsigned user, number;
    char copy[64] = "";
    memcpy(copy, text, len < sizeof copy - 1 ? len : sizeof copy - 1);
    if (sscanf(copy, "\"storm %u %u\"", &user, &number) != 2 || number >= n_pushes)
        die("user %u got what nobody pushed: %s", index, copy);
    if (user != index || pushes[number].user != index) {
        totals.misrouted++;
    } else if (pushes[number].is_received) {
        totals.duplicated++;
    } else {
        pushes[number].is_received = true;
        totals.received++;
        totals.last_received_ns = now_ns();
    }
}

static void send_pong(const struct user *user, const char *payload, size_t len)
{
    static const char key[4] = {0x37, 0x7a, 0x21, 0x3d};
    char frame[6 + 125] = {(char)0x8a, (char)(0x80 | len), key[0], key[1], key[2], key[3]};
    for (size_t i = 0; i < len; i++)
        frame[6 + i] = payload[i] ^ key[i & 3];
    if (send(user->fd, frame, 6 + len, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        die("a pong could not be sent: %s", strerror(errno));
}

/* Bytes taken; 0: more must come, or the user rests now. No frame of ours is longer than 125. */
static size_t take_frame(uint32_t index, const char *bytes, size_t length)
{
    struct user *user = &users[index];
    if (length < 2 || length < 2 + (size_t)(unsigned char)bytes[1])
        return 0;
    size_t len = (unsigned char)bytes[1];
    if (len > 125)
        die("a frame of more than 125 bytes");
    switch ((unsigned char)bytes[0]) {
    case 0x81:
        take_data(index, bytes + 2, len);
        break;
    case 0x89:
        send_pong(user, bytes + 2, len);
        break;
    case 0x88:
        lose_user(user);
        return 0;
    default:
        die("a frame that begins with %02x", (unsigned char)bytes[0]);
    }
    return 2 + len;
}

static void read_user(uint32_t index)
{
    struct user *user = &users[index];
    ssize_t count = recv(user->fd, user->input + user->kept, INPUT_MAX - user->kept, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        if (user->state == OPEN)
            lose_user(user);
        else
            fail_user(user);
        return;
    }
    user->kept = (uint16_t)(user->kept + count);
    size_t at = user->state == ASKING ? take_answer(user) : 0;
    for (size_t n = 1; user->state == OPEN && n > 0; at += n)
        n = take_frame(index, user->input + at, user->kept - at);
    if (user->state == RESTING)
        return;
    user->kept = (uint16_t)(user->kept - at);
    memmove(user->input, user->input + at, user->kept);
}

void users_start(uint64_t now)
{
    for (uint32_t i = 0; i < options.n_users; i++) {
        if (users[i].state != RESTING || users[i].due_ns > now)
            continue;
        if (totals.killed_ns == 0 && totals.under_way >= AT_ONCE)
            return;
        start_user(i);
    }
}

void users_event(uint32_t index)
{
    if (users[index].state == CONNECTING)
        ask_user(index);
    else if (users[index].state != RESTING)
        read_user(index);
}
