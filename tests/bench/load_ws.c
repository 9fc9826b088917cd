/* Subscribers. Each connects, sends its handshake, and then reads text frames and answers pings;
 * with herald.v1 it takes the data out of the envelopes and acknowledges what has an id; an event
 * stream is read line by line. One that is stuck reads its handshake and nothing more.
 *
 * Almost always a read ends where a frame or an event ends; what is left of one that does not is
 * kept until more comes. Frames of a server are not masked (RFC 6455, 5.1), ours are. Whatever a
 * server may not send ends the process: a gateway that breaks the protocol has no speed worth
 * measuring. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define USERS_PER_ADDRESS 10000
#define READ_SIZE         65536
#define KEPT_MAX                                                                                   \
    32768 /* the largest part of a frame that is kept, more than any payload of ours               \
           */

enum subscriber_state {
    STATE_CONNECTING,
    STATE_SECURING,
    STATE_HANDSHAKE,
    STATE_OPEN,
    STATE_CLOSED
};

struct subscriber {
    struct conn conn;
    uint8_t state;
    bool is_named; /* the event that is read is no notification */
    uint16_t kept_length;
    uint8_t *kept;
    uint64_t started_ns;
};

struct ws_totals ws;
static struct subscriber *subscribers;
static uint8_t input[KEPT_MAX + READ_SIZE];

void ws_init(void)
{
    subscribers = allocate((size_t)options.subscribers, sizeof *subscribers);
}

static void subscriber_close(struct subscriber *subscriber)
{
    if (subscriber->state == STATE_OPEN) {
        ws.open--;
        ws.closed++;
    }
    conn_close(&subscriber->conn);
    subscriber->state = STATE_CLOSED;
}

static int write_handshake(char *request, size_t cap, uint32_t index)
{
    unsigned port = ntohs(options.ws[index % options.n_ws].sin_port);
    unsigned user = (unsigned)options.first_user + index;
    if (options.level == LEVEL_SSE)
        return snprintf(request, cap,
                        "GET /sse?userId=u%06u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                        "Accept: text/event-stream\r\n\r\n",
                        user, port);
    return snprintf(request, cap,
                    "GET /ws?userId=u%06u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n%s\r\n",
                    user, port,
                    options.level == LEVEL_V1 ? "Sec-WebSocket-Protocol: herald.v1\r\n" : "");
}

/* Once it is connected: shakes hands with TLS, and sends the request. */
static void go_on(uint32_t index)
{
    struct subscriber *subscriber = &subscribers[index];
    char request[256];
    subscriber->state = STATE_SECURING;
    if (!conn_secure(&subscriber->conn))
        return;
    int length = write_handshake(request, sizeof request, index);
    if (conn_send(&subscriber->conn, request, (size_t)length) != length)
        die("subscriber %u cannot connect: %s", index, strerror(errno));
    subscriber->state = STATE_HANDSHAKE;
}

void ws_connect_more(uint32_t limit)
{
    while (ws.started < (uint32_t)options.subscribers && ws.under_way < limit) {
        uint32_t index = ws.started++;
        struct subscriber *subscriber = &subscribers[index];
        subscriber->started_ns = now_ns();
        subscriber->state = STATE_CONNECTING;
        ws.under_way++;
        bool is_connected = conn_start(&subscriber->conn, &options.ws[index % options.n_ws],
                                       index / USERS_PER_ADDRESS);
        if (is_connected)
            go_on(index);
        watch(EPOLL_CTL_ADD, subscriber->conn.fd, is_connected ? EPOLLIN : EPOLLOUT, TAG_SUBSCRIBER,
              index);
    }
}

static bool is_accepted(const uint8_t *bytes, size_t head)
{
    if (options.level == LEVEL_SSE)
        return memcmp(bytes, "HTTP/1.1 200", 12) == 0;
    /* The accept value that belongs to the key above (RFC 6455, 1.3). */
    return memcmp(bytes, "HTTP/1.1 101", 12) == 0 &&
           memmem(bytes, head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28);
}

/* Takes the answer to the handshake. Returns its length, 0 when it is not all there. */
static size_t take_handshake(uint32_t index, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct subscriber *subscriber = &subscribers[index];
    const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - bytes) + 4;
    if (!is_accepted(bytes, head))
        die("subscriber %u was refused: %.*s", index, (int)(length < 300 ? length : 300),
            (const char *)bytes);
    subscriber->state = STATE_OPEN;
    ws.open++;
    ws.under_way--;
    hist_add(&ws.handshake, now - subscriber->started_ns);
    if (index >= (uint32_t)(options.subscribers - options.stuck))
        watch(EPOLL_CTL_DEL, subscriber->conn.fd, 0, TAG_SUBSCRIBER, index);
    return head;
}

/* At most 125 bytes. */
static void send_frame(const struct subscriber *subscriber, uint8_t first, const void *payload,
                       size_t length)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t frame[6 + 125] = {first, (uint8_t)(0x80 | length), key[0], key[1], key[2], key[3]};
    for (size_t i = 0; i < length; i++)
        frame[6 + i] = ((const uint8_t *)payload)[i] ^ key[i & 3];
    if (conn_send(&subscriber->conn, frame, 6 + length) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        die("a frame could not be sent: %s", strerror(errno));
}

/* {"type":"notification","id":"EPOCH-SEQ",...,"data":DATA}; without an id there is nothing to
 * acknowledge. */
static void take_envelope(uint32_t index, const uint8_t *text, size_t length, uint64_t now)
{
    const uint8_t *data = memmem(text, length, "\"data\":", 7);
    if (!data)
        die("an envelope without data");
    size_t front = (size_t)(data - text);
    const uint8_t *id = memmem(text, front, "\"id\":\"", 6);
    if (id) {
        const uint8_t *end = memchr(id + 6, '"', (size_t)(data - id) - 6);
        char ack[125];
        int ack_length = snprintf(ack, sizeof ack, "{\"type\":\"ack\",\"id\":\"%.*s\"}",
                                  end ? (int)(end - id) - 6 : 0, (const char *)id + 6);
        send_frame(&subscribers[index], 0x81, ack, (size_t)ack_length);
    }
    tally_receive(index, data + 7, length - front - 8, now);
}

static void take_text(uint32_t index, const uint8_t *text, size_t length, uint64_t now)
{
    static const char front[] = "{\"type\":\"notification\"";
    static const char pong[] = "{\"type\":\"pong\"";
    if (options.level == LEVEL_PLAIN)
        tally_receive(index, text, length, now);
    else if (length > sizeof front && memcmp(text, front, sizeof front - 1) == 0)
        take_envelope(index, text, length, now);
    else if (length >= sizeof pong && memcmp(text, pong, sizeof pong - 1) == 0)
        ping_answered(index, now);
}

void ws_send_text(uint32_t index, const char *text, size_t length)
{
    send_frame(&subscribers[index], 0x81, text, length);
}

/* Takes one line of an event stream: our data has no line break. Events with a name, like the hello
 * at the start, are no notifications. Returns its length, 0 when it is not all there. */
static size_t take_line(uint32_t index, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct subscriber *subscriber = &subscribers[index];
    const uint8_t *end = memchr(bytes, '\n', length);
    if (!end)
        return 0;
    size_t line = (size_t)(end - bytes);
    if (line == 0)
        subscriber->is_named = false;
    else if (line > 7 && memcmp(bytes, "event: ", 7) == 0)
        subscriber->is_named = true;
    else if (line > 6 && memcmp(bytes, "data: ", 6) == 0 && !subscriber->is_named)
        tally_receive(index, bytes + 6, line - 6, now);
    return line + 1;
}

/* Takes one frame. Returns its length, 0 when it is not all there. */
static size_t take_frame(uint32_t index, const uint8_t *bytes, size_t length, uint64_t now)
{
    if (length < 2)
        return 0;
    size_t head = 2, payload = bytes[1];
    if (payload == 126) {
        if (length < 4)
            return 0;
        head = 4;
        payload = (size_t)bytes[2] << 8 | bytes[3];
    } else if (payload > 126) {
        die("a frame is masked, or over 64 KiB");
    }
    if (payload > KEPT_MAX - head)
        die("a frame of %zu bytes is none of ours", payload);
    if (length < head + payload)
        return 0;
    if (bytes[0] == 0x81) {
        take_text(index, bytes + head, payload, now);
    } else if (bytes[0] == 0x89 && payload <= 125) {
        ws.pings++;
        send_frame(&subscribers[index], 0x8a, bytes + head, payload);
    } else if (bytes[0] == 0x88) {
        subscriber_close(&subscribers[index]);
    } else {
        die("a frame begins with 0x%02x", bytes[0]);
    }
    return head + payload;
}

static size_t take_one(uint32_t index, const uint8_t *bytes, size_t length, uint64_t now)
{
    if (subscribers[index].state == STATE_HANDSHAKE)
        return take_handshake(index, bytes, length, now);
    return options.level == LEVEL_SSE ? take_line(index, bytes, length, now)
                                      : take_frame(index, bytes, length, now);
}

static void keep_rest(struct subscriber *subscriber, const uint8_t *bytes, size_t length)
{
    free(subscriber->kept);
    subscriber->kept = NULL;
    if (length > KEPT_MAX)
        die("%zu bytes are no frame of ours", length);
    subscriber->kept_length = (uint16_t)length;
    if (length > 0) {
        subscriber->kept = allocate(1, length);
        memcpy(subscriber->kept, bytes, length);
    }
}

static void read_more(uint32_t index)
{
    struct subscriber *subscriber = &subscribers[index];
    size_t length = subscriber->kept_length, at = 0, taken;
    if (length > 0)
        memcpy(input, subscriber->kept, length);
    ssize_t count = conn_recv(&subscriber->conn, input + length, READ_SIZE);
    if (count <= 0) {
        if (count < 0 && errno == EAGAIN)
            return;
        if (subscriber->state != STATE_OPEN)
            die("subscriber %u was dropped before it was open", index);
        subscriber_close(subscriber);
        return;
    }
    length += (size_t)count;
    uint64_t now = now_ns();
    do {
        taken = take_one(index, input + at, length - at, now);
        at += taken;
    } while (taken > 0 && at < length && subscriber->state != STATE_CLOSED);
    if (at < length || subscriber->kept_length > 0)
        keep_rest(subscriber, input + at, length - at);
}

void ws_event(uint32_t index)
{
    struct subscriber *subscriber = &subscribers[index];
    if (subscriber->state == STATE_CLOSED)
        return;
    if (subscriber->state == STATE_CONNECTING) {
        watch(EPOLL_CTL_MOD, subscriber->conn.fd, EPOLLIN, TAG_SUBSCRIBER, index);
        go_on(index);
    } else if (subscriber->state == STATE_SECURING) {
        go_on(index);
    } else {
        do {
            read_more(index);
        } while (subscriber->state != STATE_CLOSED && conn_has_more(&subscriber->conn));
    }
}
