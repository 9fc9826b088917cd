#include "tests/support/slow_subscriber.h"

#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SOCKET_BYTES = 4096, TRIES = 20 };

void slow_subscriber_narrow(struct subscriber *subscriber)
{
    int bytes = SOCKET_BYTES;
    int fd = subscriber->session->conn.watch.fd;
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

void slow_subscriber_push(const char *user_id, unsigned number, size_t len, uint32_t ttl_s)
{
    char *text = malloc(len + 1);
    cr_assert_not_null(text);
    snprintf(text, len + 1, "\"%-*u\"", (int)len - 2, number);
    node_fixture_push(user_id, text, ttl_s);
    free(text);
}

bool slow_subscriber_next(struct subscriber *subscriber, struct subscriber_frame *ret_frame)
{
    for (unsigned i = 0; i < TRIES; i++) {
        while (subscriber_next(subscriber, ret_frame)) {
            if (ret_frame->opcode != WS_PING)
                return true;
        }
        node_fixture_turn();
    }
    return false;
}

void slow_subscriber_expect_all(struct subscriber *subscriber, unsigned n)
{
    struct subscriber_frame frame;
    for (unsigned i = 0; i < n; i++) {
        cr_assert(slow_subscriber_next(subscriber, &frame), "%u has not come", i);
        cr_assert_eq(frame.opcode, WS_TEXT, "opcode %u", frame.opcode);
        cr_assert_eq(strtoul(frame.payload.bytes + 1, NULL, 10), i, "%.20s, not %u",
                     frame.payload.bytes, i);
    }
    cr_assert_not(slow_subscriber_next(subscriber, &frame), "more than %u have come", n);
}

void slow_subscriber_expect_part(struct subscriber *subscriber, const char *part)
{
    struct subscriber_frame frame;
    cr_assert(slow_subscriber_next(subscriber, &frame), "nothing with %s has come", part);
    cr_assert(strstr(frame.payload.bytes, part), "no %s in %.80s", part, frame.payload.bytes);
}

void slow_subscriber_skip_pings(struct subscriber *subscriber)
{
    while (subscriber_receive(subscriber) >= 2 && (subscriber->bytes[0] & 0xf) == WS_PING) {
        struct subscriber_frame ping;
        cr_assert(subscriber_next(subscriber, &ping));
    }
}
