/* Decodes the WebSocket frames that a server reads (RFC 6455, section 5): a pure state machine.
 *
 * Payload is unmasked in place. Data frames are returned in pieces as they arrive, so the decoder
 * keeps no bytes. Only an incomplete frame header or control frame (at most 139 bytes) must be kept
 * by the caller and passed again together with the bytes that follow.
 *
 * Checked here: masking required (5.1), reserved bits and opcodes, minimal lengths, the top bit of
 * a 64-bit length, control frames final and at most 125 bytes, fragmentation (5.4), UTF-8 of text
 * messages as it arrives, fail-fast (8.1), close codes and the UTF-8 of close reasons (5.5.1, 7.4),
 * the size of a whole message.
 *
 * Where compression was agreed (RFC 7692, 6.1) RSV1 on the first frame of a data message marks it
 * as compressed. Its pieces are returned compressed, and the caller checks the UTF-8 and the size
 * of the inflated text. Everywhere else RSV1 remains an error. */
#ifndef HERALD_PROTO_WS_DECODER_H
#define HERALD_PROTO_WS_DECODER_H

#include "proto/bytes/utf8.h"
#include "proto/error.h"
#include "proto/ws/ws_frame.h"

enum { WS_REST_MAX_BYTES = 14 + WS_CONTROL_MAX_BYTES };

enum ws_event_kind {
    WS_EVENT_MORE, /* no event yet: keep what was not consumed (at most WS_REST_MAX_BYTES) */
    WS_EVENT_DATA, /* a piece of a data message; may be empty */
    WS_EVENT_PING, /* answer it with a pong of the same payload */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE,     /* close_code (1005: none was sent); payload is the reason */
    WS_EVENT_MALFORMED, /* error: ERR_PROTOCOL, ERR_BAD_UTF8 or ERR_MESSAGE_TOO_LARGE */
};

struct ws_event {
    enum ws_event_kind kind;
    uint8_t opcode;      /* DATA: WS_TEXT or WS_BINARY, for every piece */
    bool is_first;       /* DATA: the first piece of a message */
    bool is_last;        /* DATA: the last */
    bool is_compressed;  /* DATA: the message is, for every piece */
    unsigned close_code; /* CLOSE */
    enum err error;      /* MALFORMED */
    struct span payload; /* inside the caller's bytes; DATA, PING, PONG, CLOSE (the reason) */
};

/* It is kept at 24 bytes, because each message that is under way has one. Between two messages it
 * has nothing to remember: it may be thrown away, and another one made (ws_decoder_init). */
struct ws_decoder {
    uint32_t max_message; /* ceiling of a message in bytes as sent, over all its fragments */
    uint32_t message_len; /* so far */
    uint32_t remaining;   /* of the current data frame's payload */
    uint8_t mask[4];      /* rotated so that mask[0] applies to the next byte */
    uint8_t state;
    uint8_t opcode; /* of the message that is being received; 0: none */
    utf8_state utf8;
    uint8_t flags;
};

/* Has a data message begun but not ended? */
static inline bool ws_decoder_is_in_message(const struct ws_decoder *decoder)
{
    return decoder->opcode != 0;
}

void ws_decoder_init(struct ws_decoder *decoder, uint32_t max_message);

/* Allows compressed messages, if permessage-deflate was agreed. Call it before the first byte. */
void ws_decoder_allow_compressed(struct ws_decoder *decoder);

/* Decodes one event; returns how many bytes it consumed. Call it again with the rest until
 * WS_EVENT_MORE. It unmasks `bytes` in place. It must not be called after CLOSE or MALFORMED. */
size_t ws_decoder_next(struct ws_decoder *decoder, uint8_t *bytes, size_t len,
                       struct ws_event *ret_event);

#endif
