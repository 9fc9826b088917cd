/* HTTP responses of the subscriber port: refusals before the upgrade, the head of an event stream,
 * and the demo's pages. Pure. */
#ifndef HERALD_HTTP_ANSWER_H
#define HERALD_HTTP_ANSWER_H

#include "proto/bytes/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* The fields that every response has. */
struct http_terms {
    const char *date; /* a line with CRLF: http_date_write, or worker_date; NULL: none */
    struct span
        reader; /* the origin whose pages may read it (the Fetch standard's CORS); empty: none */
    unsigned keep_s; /* the connection goes on, idle for so long; 0: `Connection: close` */
};

/* The head of the 200 that an event stream begins with; it ends with the connection (RFC 9112,
 * 6.3), whatever the terms say. */
MUST_CHECK enum err http_stream_head(struct buf *out, const struct http_terms *terms);

/* A whole response. `headers` is NULL or complete lines with CRLF. content_type NULL: there is no
 * body. */
MUST_CHECK enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                                const char *headers, const struct http_terms *terms,
                                struct span body);

/* The head of a response whose body of `len` bytes follows, or of one whose length is not known:
 * sent in chunks, or until the end of the connection. content_type may be NULL. */
enum { HTTP_ANSWER_CHUNKED = -1, HTTP_ANSWER_TO_END = -2 };
MUST_CHECK enum err http_answer_head(struct buf *out, unsigned status, const char *content_type,
                                     const char *headers, const struct http_terms *terms,
                                     int64_t len);

/* Writes the line "Date: Sun, 06 Nov 1994 08:49:37 GMT" with CRLF (RFC 9110, 5.6.7) for a time in
 * seconds since 1970. */
enum { HTTP_DATE_MAX_BYTES = 96 }; /* enough for every year */
void http_date_write(int64_t unix_s, char out[HTTP_DATE_MAX_BYTES]);

/* The requestId of a refusal, as text with its NUL. */
enum { HTTP_REQUEST_ID_MAX_BYTES = 17 };
void http_request_id(uint64_t request_id, char out[HTTP_REQUEST_ID_MAX_BYTES]);

/* A refusal with its problem body (CONTRACT section 4) and its headers: Allow, Upgrade,
 * Retry-After. `detail` is a sentence; NULL: the error's title. `field` may be NULL. */
MUST_CHECK enum err http_refusal(struct buf *out, enum err error, const char *detail,
                                 const char *field, const char *allow,
                                 const struct http_terms *terms, uint64_t request_id);

#endif
