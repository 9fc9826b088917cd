/* Server-Sent Events (WHATWG HTML, 9.2.5 and 9.2.6), as CONTRACT 2 uses them. Text is appended to a
 * buffer; a failure leaves the buffer as it was. Pure. */
#ifndef HERALD_PROTO_SSE_H
#define HERALD_PROTO_SSE_H

#include "proto/bytes/buf.h"
#include "proto/note/gap.h"
#include "proto/note/notification.h"

/* `id:` (unless seq is 0) and `data:`, with a new `data:` line after each line break (LF, CR or
 * CRLF) in the data. */
MUST_CHECK enum err sse_notification(struct buf *out, const struct notification *note);

/* `event: gap`, with the last missing number as its id, so that a resume begins after it; without
 * an id if the cause is a reset. data: {"epoch","from","to","cause"}. */
MUST_CHECK enum err sse_gap(struct buf *out, struct epoch epoch, const struct gap *gap);
/* `event: cancel`, data: {"id"}; no `id:`, because the client's position does not change. */
MUST_CHECK enum err sse_cancel(struct buf *out, struct epoch epoch, uint64_t seq);

/* The first lines of a stream: retry, and `event: hello` with the position as its id and `{}` as
 * its data, so that every client has an id to resume from before its first notification. seq 0 is
 * written too: it resumes from the beginning of the epoch. If epoch_is_none(epoch), there is no
 * hello. */
MUST_CHECK enum err sse_begin(struct buf *out, uint32_t retry_ms, struct epoch epoch, uint64_t seq);

/* The last line of a stream, and the comment that keeps proxies from closing an idle one. No empty
 * line follows them: it would end a block without data, which some clients take for a
 * notification. */
MUST_CHECK enum err sse_retry(struct buf *out, uint32_t retry_ms);
MUST_CHECK enum err sse_comment(struct buf *out);

#endif
