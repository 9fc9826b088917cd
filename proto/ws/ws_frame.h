/* Writes WebSocket frames as a server must (RFC 6455, section 5.2): unmasked, with minimal lengths.
 * Pure. */
#ifndef HERALD_PROTO_WS_FRAME_H
#define HERALD_PROTO_WS_FRAME_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

/* A bit in the first byte of a header: the message is compressed (RFC 7692, 6). */
enum { WS_RSV1 = 0x40 };

enum {
    WS_HEADER_MAX_BYTES = 10,   /* of an unmasked frame */
    WS_CONTROL_MAX_BYTES = 125, /* payload of a control frame (5.5) */
    WS_CONTROL_FRAME_MAX_BYTES = 2 + WS_CONTROL_MAX_BYTES,
};

/* Writes the header of a final, unmasked frame; returns its length: 2, 4 or 10. */
size_t ws_header_write(enum ws_opcode opcode, uint64_t payload_len,
                       uint8_t out[WS_HEADER_MAX_BYTES]);

/* Writes a whole control frame (payload at most 125 bytes, asserted); returns its length. */
size_t ws_control_write(enum ws_opcode opcode, struct span payload,
                        uint8_t out[WS_CONTROL_FRAME_MAX_BYTES]);

/* Writes a close frame with a code and a reason; code 0 writes one without a body. The reason is
 * UTF-8 and is cut after the last character that fits into 123 bytes. Returns the frame's
 * length. */
size_t ws_close_write(unsigned code, struct span reason, uint8_t out[WS_CONTROL_FRAME_MAX_BYTES]);

/* May a peer send this close code (7.4.1, 7.4.2)? */
bool ws_close_code_is_valid(unsigned code);

#endif
