/* Compresses and inflates messages one by one: permessage-deflate without context takeover (RFC
 * 7692, 7). Pure; an object belongs to one thread and serves all connections of that thread,
 * because no state is carried from one message to the next. */
#ifndef HERALD_PROTO_DEFLATE_H
#define HERALD_PROTO_DEFLATE_H

#include "proto/bytes/buf.h"

/* Shorter texts are sent uncompressed: compressing them saves too little. */
enum { DEFLATE_MIN_BYTES = 1024 };

struct deflater; /* about 260 KiB */
struct inflater; /* about 40 KiB */

MUST_CHECK enum err deflater_new(struct deflater **ret_deflater); /* ERR_NO_MEMORY */
void deflater_free(struct deflater *deflater);                    /* NULL is fine */

/* Appends the payload of a compressed message (7.2.1). Its references reach back over the whole
 * text: see deflate_fits. ERR_NO_MEMORY; ERR_FULL: over the buffer's ceiling. */
MUST_CHECK enum err deflater_message(struct deflater *deflater, struct span text, struct buf *out);

/* Can a peer whose window has 2^window_bits bytes (server_max_window_bits, 8..15; 0: nothing was
 * agreed) inflate the compressed form of a text of this length? All texts are compressed with the
 * largest window, because zlib has none of 2^8 bytes and one deflater serves all peers; so a text
 * that is longer than the peer's window is sent uncompressed. */
bool deflate_fits(unsigned window_bits, size_t text_len);

MUST_CHECK enum err inflater_new(struct inflater **ret_inflater); /* ERR_NO_MEMORY */
void inflater_free(struct inflater *inflater);                    /* NULL is fine */

/* Appends the text of a whole compressed message (7.2.2), of any window. ERR_PROTOCOL: not the
 * compressed form of anything, or cut off. ERR_CONTEXT_TAKEN_OVER: it refers to an earlier message.
 * ERR_MESSAGE_TOO_LARGE: the text has more than max bytes; at most max + 1 were produced.
 * ERR_NO_MEMORY, ERR_FULL. After an error the caller drops what was appended. */
MUST_CHECK enum err inflater_message(struct inflater *inflater, struct span compressed, size_t max,
                                     struct buf *out);

/* The largest text that compressed_len bytes may inflate to: max_message, and above 64 KiB at most
 * ten times the compressed length, so that a small frame cannot make the server inflate a large
 * text. */
size_t inflate_ceiling(size_t compressed_len, size_t max_message);

#endif
