/* Plain HTTP answers on the subscriber port: refusals before the upgrade, and the demo's pages.
 * Pure. */
#ifndef HERALD_HTTP_ANSWER_H
#define HERALD_HTTP_ANSWER_H

#include "proto/buf.h"

#include <stdint.h>

/* The headers that let pages of that origin read an answer (the Fetch standard's CORS protocol).
 * Empty: none. */
MUST_CHECK enum err http_cors(struct buf *out, struct span origin);

/* The head of the 200 that an event stream begins with; it ends with the connection (RFC 9112,
 * 6.3). */
MUST_CHECK enum err http_stream_head(struct buf *out, struct span origin);

/* A whole response with `Connection: close`. `headers` is NULL or complete lines with CRLF;
 * `reader` as in http_cors. content_type NULL: there is no body. */
MUST_CHECK enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                                const char *headers, struct span reader, struct span body);

/* The requestId as text; a refusal has it. */
enum { HTTP_REQUEST_ID_MAX_BYTES = 17 };
void http_request_id(uint64_t request_id, char out[HTTP_REQUEST_ID_MAX_BYTES]);

/* A refusal with its problem body (CONTRACT section 4) and the headers that belong to it: Allow,
 * Upgrade, Retry-After. `detail` is a sentence, NULL: the error's title; `field` may be NULL. */
MUST_CHECK enum err http_refusal(struct buf *out, enum err error, const char *detail,
                                 const char *field, const char *allow, struct span reader,
                                 uint64_t request_id);

#endif
