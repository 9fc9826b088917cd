#include "tests/support/subscriber.h"

#include "gateway/delivery/delivery.h"
#include "gateway/session/session_life.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void subscriber_dial(struct subscriber *subscriber, int *ret_ours)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    *ret_ours = ends[0];
    subscriber->fd = ends[1];
    subscriber->session = NULL;
    subscriber->len = 0;
}

void subscriber_open(struct subscriber *subscriber, struct admission admission)
{
    int ours;
    subscriber_dial(subscriber, &ours);
    admission.socket = (struct transport_socket){ours, &transport_plain};
    memset(admission.accept, 'a', sizeof admission.accept);
    atomic_fetch_add(&fixture.node.n_sockets, 1);
    atomic_fetch_add(&fixture.node.n_sessions, 1);
    cr_assert_eq(session_new(fixture.worker, &admission, &subscriber->session), ERR_OK);
    if (admission.level == LEVEL_SSE || !admission.is_page)
        return;
    node_fixture_turn();
    const char *head = subscriber_text(subscriber);
    cr_assert(strstr(head, "HTTP/1.1 101 ") == head, "%s", head);
}

void subscriber_enter(struct subscriber *subscriber, enum handshake_level level,
                      const char *user_id, const char *device)
{
    struct span name = device == NULL ? SPAN_NONE : span_of(device);
    subscriber_open(subscriber, (struct admission){.level = level, .is_page = true});
    cr_assert_eq(delivery_enter(subscriber->session, span_of(user_id), name), ERR_OK);
    node_fixture_turn();
}

void subscriber_hang_up(struct subscriber *subscriber)
{
    close(subscriber->fd);
    subscriber->fd = -1;
}

/* ---- what it reads ---- */

size_t subscriber_receive(struct subscriber *subscriber)
{
    ssize_t n;
    while ((n = recv(subscriber->fd, subscriber->bytes + subscriber->len,
                     sizeof subscriber->bytes - 1 - subscriber->len, 0)) > 0)
        subscriber->len += (size_t)n;
    return subscriber->len;
}

const char *subscriber_text(struct subscriber *subscriber)
{
    subscriber_receive(subscriber);
    subscriber->bytes[subscriber->len] = '\0';
    subscriber->len = 0;
    return (const char *)subscriber->bytes;
}

const char *subscriber_read_all(struct subscriber *subscriber)
{
    static char all[1 << 20];
    size_t len = 0;
    while (subscriber_receive(subscriber) > 0) {
        cr_assert_lt(len + subscriber->len, sizeof all);
        memcpy(all + len, subscriber->bytes, subscriber->len);
        len += subscriber->len;
        subscriber->len = 0;
        node_fixture_turn();
    }
    for (size_t i = 0; i < len; i++)
        all[i] = all[i] == '\0' ? ' ' : all[i];
    all[len] = '\0';
    return all;
}

void subscriber_fill_socket(const struct session *session)
{
    static char filling[4096];
    memset(filling, 'x', sizeof filling);
    while (send(session->conn.watch.fd, filling, sizeof filling, MSG_NOSIGNAL) > 0) {
    }
}

static size_t header_len(const struct subscriber *subscriber, uint64_t *ret_payload_len)
{
    const uint8_t *bytes = subscriber->bytes;
    size_t n_extended = bytes[1] == 126 ? 2 : bytes[1] == 127 ? 8 : 0;
    cr_assert_lt(bytes[1], 128, "a server masks nothing");
    *ret_payload_len = n_extended == 0 ? bytes[1] : 0;
    for (size_t i = 0; i < n_extended; i++)
        *ret_payload_len = *ret_payload_len << 8 | bytes[2 + i];
    return 2 + n_extended;
}

bool subscriber_next(struct subscriber *subscriber, struct subscriber_frame *ret_frame)
{
    static uint8_t taken[sizeof subscriber->bytes];
    uint64_t payload_len;
    if (subscriber_receive(subscriber) < 2)
        return false;
    size_t start = header_len(subscriber, &payload_len);
    if (subscriber->len < start + payload_len)
        return false;
    memcpy(taken, subscriber->bytes, start + payload_len);
    taken[start + payload_len] = '\0';
    ret_frame->opcode = taken[0] & 0xf;
    ret_frame->payload = (struct span){(const char *)taken + start, payload_len};
    subscriber->len -= start + payload_len;
    memmove(subscriber->bytes, subscriber->bytes + start + payload_len, subscriber->len);
    return true;
}

void subscriber_expect(struct subscriber *subscriber, unsigned opcode, const char *payload)
{
    struct subscriber_frame frame;
    cr_assert(subscriber_next(subscriber, &frame), "no frame has come");
    cr_assert_eq(frame.opcode, opcode, "opcode %u: %s", frame.opcode, frame.payload.bytes);
    if (payload != NULL)
        cr_assert(span_equal(frame.payload, span_of(payload)), "%s", frame.payload.bytes);
}

void subscriber_expect_start(struct subscriber *subscriber, const char *start)
{
    struct subscriber_frame frame;
    cr_assert(subscriber_next(subscriber, &frame), "%s has not come", start);
    cr_assert_eq(frame.opcode, WS_TEXT, "opcode %u: %s", frame.opcode, frame.payload.bytes);
    cr_assert_eq(strncmp(frame.payload.bytes, start, strlen(start)), 0, "%s", frame.payload.bytes);
}

void subscriber_expect_nothing(struct subscriber *subscriber)
{
    struct subscriber_frame frame = {0};
    cr_assert_not(subscriber_next(subscriber, &frame), "opcode %u: %s", frame.opcode,
                  frame.payload.bytes);
    cr_assert_eq(subscriber->len, 0);
}

struct span subscriber_expect_close(struct subscriber *subscriber, unsigned code)
{
    struct subscriber_frame frame;
    cr_assert(subscriber_next(subscriber, &frame), "no frame has come");
    cr_assert_eq(frame.opcode, WS_CLOSE, "opcode %u: %s", frame.opcode, frame.payload.bytes);
    cr_assert_geq(frame.payload.len, 2);
    unsigned got = (unsigned)(uint8_t)frame.payload.bytes[0] << 8 | (uint8_t)frame.payload.bytes[1];
    cr_assert_eq(got, code, "%u %s", got, frame.payload.bytes + 2);
    return (struct span){frame.payload.bytes + 2, frame.payload.len - 2};
}

bool subscriber_has_ended(struct subscriber *subscriber)
{
    uint8_t byte;
    ssize_t n = recv(subscriber->fd, &byte, 1, MSG_PEEK);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* ---- what it sends ---- */

void subscriber_send_raw(struct subscriber *subscriber, const void *bytes, size_t len)
{
    cr_assert_eq(send(subscriber->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

void subscriber_send(struct subscriber *subscriber, unsigned opcode, struct span payload)
{
    uint8_t frame[8 + 65535];
    size_t n = 2;
    cr_assert_lt(payload.len, 65536);
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | (payload.len < 126 ? payload.len : 126));
    if (payload.len >= 126) {
        frame[n++] = (uint8_t)(payload.len >> 8);
        frame[n++] = (uint8_t)payload.len;
    }
    memset(frame + n, 0, 4); /* the mask */
    n += 4;
    if (payload.len > 0)
        memcpy(frame + n, payload.bytes, payload.len);
    subscriber_send_raw(subscriber, frame, n + payload.len);
}

void subscriber_say(struct subscriber *subscriber, const char *text)
{
    subscriber_send(subscriber, WS_TEXT, span_of(text));
    node_fixture_turn();
}
