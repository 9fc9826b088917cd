/* What passes between the door and the library: the head of a request, written anew, and the head
 * of the library's answer. The library is lenient about heads (bare line feeds, folded lines,
 * spaces before colons), so it never sees what a client has written, except for the target, which
 * the strict parser has let through. Pure. */
#ifndef HERALD_ADMIN_BRIDGE_HEAD_H
#define HERALD_ADMIN_BRIDGE_HEAD_H

#include "proto/bytes/buf.h"
#include "proto/http/http_head.h"

/* Appends "METHOD PATH HTTP/1.1", Host, and the Content-Length of a body. ERR_NO_MEMORY,
 * ERR_FULL. */
MUST_CHECK enum err bridge_head_write(struct buf *out, const struct http_head *head,
                                      const char *bytes, size_t body_len);

enum {
    BRIDGE_ANSWER_MAX_BYTES =
        2048, /* the head of an answer: the routes' fields and the library's */
    BRIDGE_TYPE_MAX_BYTES = 80,
};

/* The head of an answer, for the client's connection. */
struct bridge_answer {
    unsigned status;
    size_t body_len;                          /* as Content-Length says, also of a HEAD */
    char content_type[BRIDGE_TYPE_MAX_BYTES]; /* with a NUL, as `fields` */
    char fields[BRIDGE_ANSWER_MAX_BYTES];     /* the other lines, but for those of the connection */
};

/* Answers how many bytes the head has; 0: it is not complete. ERR_BAD_HEAD: it is not a head as the
 * library writes it with Content-Length. */
MUST_CHECK enum err bridge_head_read(struct span bytes, struct bridge_answer *ret_answer,
                                     size_t *ret_len);

#endif
