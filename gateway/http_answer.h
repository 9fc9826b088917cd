/* Plain HTTP answers on the subscriber port: refusals before the upgrade, and the demo's pages.
 * Pure. */
#ifndef HERALD_HTTP_ANSWER_H
#define HERALD_HTTP_ANSWER_H

#include "proto/buf.h"

#include <stdint.h>

/* A whole response with `Connection: close`. `headers` is NULL or complete lines with CRLF. */
MUST_CHECK enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                                const char *headers, struct span body);

/* A refusal with its problem body (CONTRACT section 4) and the headers that belong to it: Allow,
 * Upgrade, Retry-After. `detail` is a sentence of ours without characters that JSON escapes;
 * `field` may be NULL. */
MUST_CHECK enum err http_refusal(struct buf *out, enum err error, const char *detail,
                                 const char *field, const char *allow, uint64_t request_id);

#endif
