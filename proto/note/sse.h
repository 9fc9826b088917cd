/* Server-Sent Events (WHATWG HTML, 9.2.5 and 9.2.6), as CONTRACT 2 uses them. Text is appended to a
 * buffer; a failure leaves the buffer as it was. Pure. */
#ifndef HERALD_PROTO_SSE_H
#define HERALD_PROTO_SSE_H

#include "proto/bytes/buf.h"
#include "proto/note/gap.h"
#include "proto/note/notification.h"

/* `id:` (unless seq is 0) and `data:`, a new one behind each line break (LF, CR or CRLF) of it. */
MUST_CHECK enum err sse_notification(struct buf *out, const struct notification *note);

/* `event: gap`, with the last missing number as its id, so that a resume begins behind it; without
 * an id when it is a reset. data: {"epoch","from","to","cause"}. */
MUST_CHECK enum err sse_gap(struct buf *out, struct epoch epoch, const struct gap *gap);
/* `event: cancel`, data: {"id"}; no `id:`, since the client's position does not move. */
MUST_CHECK enum err sse_cancel(struct buf *out, struct epoch epoch, uint64_t seq);

/* The first lines of a stream: retry, and `event: hello` with the position as its id and `{}` as
 * its data, so that every client has an id to resume from before its first notification. seq 0 is
 * written too: it resumes from the beginning of the epoch. Where the epoch is none there is no
 * hello. */
MUST_CHECK enum err sse_begin(struct buf *out, uint32_t retry_ms, struct epoch epoch, uint64_t seq);

/* Lines without an empty one behind them, since that would end a block without data, which some
 * clients take for a notification: the last words of a stream, and what keeps proxies awake. */
MUST_CHECK enum err sse_retry(struct buf *out, uint32_t retry_ms);
MUST_CHECK enum err sse_comment(struct buf *out);

#endif
