/* libmicrohttpd as one worker's engine of the REST API: a daemon that listens at no socket and has
 * no thread. Its connections are given to it one by one; canonical requests come on them, which the
 * bridge writes (admin/bridge), and answers go back. The daemon's epoll descriptor is a watch of
 * the worker's reactor, and the daemon runs at most once a turn.
 *
 * Threads: whoever holds the worker's turn. The library allows one at a time: a request that is
 * answered elsewhere has its worker resume the connection (admin/request). */
#ifndef HERALD_ADMIN_LIBRARY_H
#define HERALD_ADMIN_LIBRARY_H

#include "admin/request.h"

struct library;
struct MHD_Connection;

/* A connection of the daemon; embedded by its owner, who gets it back in on_closed. */
struct library_conn {
    struct library *library;
    struct list link;
    int fd;                            /* the daemon's end, which the daemon closes */
    struct MHD_Connection *connection; /* NULL: the daemon has not begun it */
    struct request *request;           /* under way; NULL: none */
    bool is_executed;                  /* the request's route has run */
    bool is_suspended;
    void (*on_closed)(struct library_conn *conn); /* in a turn of the daemon, or in library_free */
};

/* ERR_NO_MEMORY, ERR_SYSTEM: the library does not start. */
MUST_CHECK enum err library_new(struct worker *worker, struct library **ret_library);

/* Closes all connections. The requests that are under way end without an answer. NULL is fine. */
void library_free(struct library *library);

/* Gives the daemon a connected stream socket, which the daemon owns from now on, also on an error:
 * ERR_SYSTEM, ERR_NO_MEMORY. conn->on_closed is set. */
MUST_CHECK enum err library_add(struct library *library, struct library_conn *conn, int fd);

/* The next request that comes on the connection is this one. Takes a reference, which ends when the
 * library has written the answer, or has closed the connection. */
void library_expect(struct library_conn *conn, struct request *request);

/* The other end is closed: the library closes the connection, and asks nothing more of its request.
 */
void library_resume(struct library_conn *conn);

#endif
