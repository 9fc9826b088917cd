/* herald-echo: Herald's own protocol code in a server that sends every message back, so that a
 * client which tests WebSocket servers has something to talk to. One thread. */
#ifndef HERALD_TESTS_ECHO_H
#define HERALD_TESTS_ECHO_H

#include "gateway/net/conn.h"

/* What all its connections share. */
struct echo_server {
    struct reactor *reactor;
    struct conn_loop loop;
    struct list open; /* connections */
    struct list gone; /* to be freed at the end of the turn */
    struct reactor_task bury;
    struct deflater *deflater;
    struct inflater *inflater;
    size_t chop;   /* bytes that the decoder gets at a time; SIZE_MAX: all there are */
    bool compress; /* agrees to permessage-deflate */
};

/* On error *server holds nothing. */
MUST_CHECK enum err echo_server_init(struct echo_server *server, struct reactor *reactor);
void echo_server_fini(struct echo_server *server); /* ends what is open */

/* Takes over an accepted, non-blocking socket; closes it when it cannot. */
void echo_open(struct echo_server *server, int fd);

#endif
