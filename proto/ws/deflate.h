/* Messages compressed and inflated one by one: permessage-deflate without context takeover (RFC
 * 7692, 7). Pure; an object belongs to one thread and serves all of its connections, because
 * nothing is carried from one message to the next. */
#ifndef HERALD_PROTO_DEFLATE_H
#define HERALD_PROTO_DEFLATE_H

#include "proto/bytes/buf.h"

/* Shorter texts are not worth a compressed form. */
enum { DEFLATE_MIN_BYTES = 1024 };

struct deflater; /* about 260 KiB */
struct inflater; /* about 40 KiB */

MUST_CHECK enum err deflater_new(struct deflater **ret_deflater); /* ERR_NO_MEMORY */
void deflater_free(struct deflater *deflater);                    /* NULL is fine */

/* Appends the payload of a compressed message (7.2.1). Distances go as far back as the text is
 * long: see deflate_fits. ERR_NO_MEMORY; ERR_FULL: over the buffer's ceiling. */
MUST_CHECK enum err deflater_message(struct deflater *deflater, struct span text, struct buf *out);

/* May a peer whose window has 2^window_bits bytes (server_max_window_bits, 8..15; 0: nothing was
 * agreed) be sent that text compressed? zlib has no window of 2^8 and one size of window is made
 * here, so a text that is longer than the peer's window goes out as it is. */
bool deflate_fits(unsigned window_bits, size_t text_len);

MUST_CHECK enum err inflater_new(struct inflater **ret_inflater); /* ERR_NO_MEMORY */
void inflater_free(struct inflater *inflater);                    /* NULL is fine */

/* Appends the text of a whole compressed message (7.2.2), of any window. ERR_PROTOCOL: not the
 * compressed form of anything, or cut off. ERR_CONTEXT_TAKEN_OVER: it refers to an earlier message.
 * ERR_MESSAGE_TOO_LARGE: more than max bytes, of which at
 * most one more was made. ERR_NO_MEMORY, ERR_FULL. What was appended before an error is to be
 * thrown away. */
MUST_CHECK enum err inflater_message(struct inflater *inflater, struct span compressed, size_t max,
                                     struct buf *out);

/* How large the text of so many compressed bytes may be where a message has that ceiling: never
 * more than it, and what is over 64 KiB must not be over ten times its compressed form. */
size_t inflate_ceiling(size_t compressed_len, size_t max_message);

#endif
