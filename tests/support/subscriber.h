/* A subscriber's end of a connection to a session of node_fixture.h, over a socketpair. What it
 * reads was written by a server: frames are not masked. Failures end the test (criterion). */
#ifndef HERALD_TESTS_SUBSCRIBER_H
#define HERALD_TESTS_SUBSCRIBER_H

#include "gateway/session/session.h"
#include "proto/ws/ws_frame.h"

struct subscriber {
    int fd;
    struct session *session; /* freed with its session: not to be looked at after that */
    size_t len;              /* received and not taken yet */
    uint8_t bytes[1 << 18];
};

struct subscriber_frame {
    unsigned opcode;
    struct span payload; /* valid until more is taken */
};

/* A socketpair; *ret_ours is the node's end. For tests that make the session on another way. */
void subscriber_dial(struct subscriber *subscriber, int *ret_ours);

/* A session of that admission, which needs no socket; it has no client. A WebSocket's 101 is sent
 * and taken, if `is_page` is set. */
void subscriber_open(struct subscriber *subscriber, struct admission admission);

/* The same, answered at once, as a session of that user (delivery_enter) whose first page has come.
 * `device` NULL: none. */
void subscriber_enter(struct subscriber *subscriber, enum handshake_level level,
                      const char *user_id, const char *device);

void subscriber_hang_up(struct subscriber *subscriber);

/* What has come by now, without a turn. */
size_t subscriber_receive(struct subscriber *subscriber);

/* Everything that has come, as text, which is taken; valid until more is received. */
const char *subscriber_text(struct subscriber *subscriber);

/* Reads and turns the node until nothing more comes: all of it as text, with blanks for zeros.
 * Valid until the next call. */
const char *subscriber_read_all(struct subscriber *subscriber);

/* The next frame is taken; false: none has come whole. */
bool subscriber_next(struct subscriber *subscriber, struct subscriber_frame *ret_frame);

/* The next frame must be this one. `payload` NULL: any. */
void subscriber_expect(struct subscriber *subscriber, unsigned opcode, const char *payload);
/* The next frame must be a text that begins so. */
void subscriber_expect_start(struct subscriber *subscriber, const char *start);
void subscriber_expect_nothing(struct subscriber *subscriber);

/* The next frame must be a close frame of that code; answers its reason, valid until more is
 * taken. */
struct span subscriber_expect_close(struct subscriber *subscriber, unsigned code);

/* Fills the node's end of a session's socket: what is written from now on stays in the node's
 * memory until the subscriber reads. */
void subscriber_fill_socket(const struct session *session);

/* Has the node closed the socket, or sent its FIN? All that came before must have been taken. */
bool subscriber_has_ended(struct subscriber *subscriber);

/* Sends a frame, masked with zeros; the node reads it in its next turn. */
void subscriber_send(struct subscriber *subscriber, unsigned opcode, struct span payload);
void subscriber_say(struct subscriber *subscriber, const char *text); /* a text frame, and a turn */
void subscriber_send_raw(struct subscriber *subscriber, const void *bytes, size_t len);

#endif
