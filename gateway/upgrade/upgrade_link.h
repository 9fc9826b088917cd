/* The link between a running Herald and its successor: one end each of a pair of unix stream
 * sockets. A message is a header, bytes, and descriptors. The bytes are records, which others
 * write and read.
 *
 *     u32 length, u16 kind, u16 number of descriptors    in the order of this machine's bytes
 *     length bytes                                       descriptors go with the first of all bytes
 *
 * Both ends are non-blocking, so every wait has an end. Threads: one at a time. */
#ifndef HERALD_UPGRADE_LINK_H
#define HERALD_UPGRADE_LINK_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The kinds never change their numbers; GREETING, READY and REFUSED never change their shape. */
enum upgrade_kind {
    UPGRADE_GREETING = 1, /* from the running process */
    UPGRADE_BEGIN,
    UPGRADE_LISTEN,
    UPGRADE_PROCESS,
    UPGRADE_SESSIONS,
    UPGRADE_HTTP,
    UPGRADE_END,
    UPGRADE_COMMIT,
    UPGRADE_DONE,
    UPGRADE_READY = 65, /* from the new one */
    UPGRADE_TAKEN,
    UPGRADE_ADOPTED,
    UPGRADE_REFUSED,
};

enum {
    UPGRADE_MAX_FDS = 253,               /* of a message: the most that the kernel passes at once */
    UPGRADE_MAX_BYTES = 16 * 1024 * 1024 /* of a message; what is longer is malformed */
};

struct upgrade_link;

struct upgrade_message {
    enum upgrade_kind kind;
    struct span bytes; /* until the next upgrade_link_receive */
    unsigned n_fds;
    /* Whoever keeps one sets its place to -1; the next upgrade_link_receive and upgrade_link_free
     * close the others. */
    int *fds;
};

enum upgrade_receipt {
    UPGRADE_MESSAGE,
    UPGRADE_NOTHING,   /* no complete message in time; what has come of it is kept */
    UPGRADE_CLOSED,    /* the peer has closed its end. That does not mean that it is dead */
    UPGRADE_MALFORMED, /* what has come is no message; the link is of no more use */
    UPGRADE_FAILED,    /* out of memory, or errno: the socket cannot be read */
};

/* The link owns `fd`, a unix stream socket, from here on; on error it stays the caller's.
 * ERR_NO_MEMORY, ERR_SYSTEM. */
MUST_CHECK enum err upgrade_link_new(int fd, struct upgrade_link **ret_link);
void upgrade_link_free(struct upgrade_link *link);    /* NULL is fine */
int upgrade_link_fd(const struct upgrade_link *link); /* to wait for messages with poll */

/* Sends all of it, and waits until `end_ms` (monotonic) for room. The descriptors stay the
 * caller's, and may be closed afterwards. ERR_OK; ERR_BUSY: there was no room in time; ERR_SYSTEM:
 * errno, EPIPE when the peer has closed its end. After an error the link is of no more use. */
MUST_CHECK enum err upgrade_link_send(struct upgrade_link *link, enum upgrade_kind kind,
                                      struct span bytes, const int *fds, unsigned n_fds,
                                      int64_t end_ms);

/* The next message, for which it waits until `end_ms` (monotonic; in the past: not at all). Its
 * descriptors are close-on-exec. */
enum upgrade_receipt upgrade_link_receive(struct upgrade_link *link, int64_t end_ms,
                                          struct upgrade_message *ret_message);

#endif
