/* There are two states: between frames, and inside the payload of a data frame. Between frames the
 * decoder needs a whole header (2 to 14 bytes) or a whole control frame, and returns WS_EVENT_MORE
 * until it is there. The payload of a data frame is unmasked and returned in pieces as it arrives.
 * A header that is wrong or announces too much is refused before its payload arrives. */
#include "proto/ws/ws_decoder.h"

#include <assert.h>

_Static_assert(sizeof(struct ws_decoder) <= 24, "one for each message under way");

enum { STATE_HEADER, STATE_PAYLOAD };
/* The first two describe the current frame, the third the message, the last the connection. */
enum { FLAG_FINAL = 1, FLAG_FIRST = 2, FLAG_COMPRESSED = 4, FLAG_MAY_COMPRESS = 8 };
enum { BIT_FINAL = 0x80, BITS_RESERVED = 0x70, BIT_MASKED = 0x80, NO_CODE = 1005 };

void ws_decoder_init(struct ws_decoder *decoder, uint32_t max_message)
{
    *decoder = (struct ws_decoder){.max_message = max_message};
}

void ws_decoder_allow_compressed(struct ws_decoder *decoder)
{
    decoder->flags |= FLAG_MAY_COMPRESS;
}

static size_t mark_malformed(struct ws_event *event, enum err error, size_t taken)
{
    event->kind = WS_EVENT_MALFORMED;
    event->error = error;
    return taken;
}

/* XORs with the mask (5.3), eight bytes at a time, and rotates the mask so that mask[0] applies to
 * the next byte. */
static void unmask_bytes(uint8_t *bytes, size_t len, uint8_t mask[4])
{
    uint32_t half;
    memcpy(&half, mask, sizeof half);
    uint64_t wide = (uint64_t)half << 32 | half;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (size_t rest = i; rest < len; rest++)
        bytes[rest] ^= mask[rest % 4];
    uint8_t turned[4];
    for (size_t j = 0; j < 4; j++)
        turned[j] = mask[(len + j) % 4];
    memcpy(mask, turned, sizeof turned);
}

struct header {
    uint64_t payload_len;
    size_t len; /* mask included */
    uint8_t opcode;
    bool is_final;
    bool is_compressed;
    uint8_t mask[4];
};

/* 0: more bytes are needed; else the header is complete and *ret_error says whether it is allowed.
 */
static size_t read_header(const uint8_t *bytes, size_t len, bool may_compress,
                          struct header *header, enum err *ret_error)
{
    *ret_error = ERR_OK;
    if (len < 2)
        return 0;
    header->opcode = bytes[0] & 0x0f;
    header->is_final = bytes[0] & BIT_FINAL;
    size_t short_len = bytes[1] & 0x7f;
    bool is_control = header->opcode & 0x08;
    bool is_known =
        header->opcode <= WS_BINARY || (header->opcode >= WS_CLOSE && header->opcode <= WS_PONG);
    bool begins = header->opcode == WS_TEXT || header->opcode == WS_BINARY;
    unsigned reserved = bytes[0] & BITS_RESERVED;
    header->is_compressed = may_compress && begins && reserved & WS_RSV1;
    if (reserved != (header->is_compressed ? WS_RSV1 : 0) || !(bytes[1] & BIT_MASKED) ||
        !is_known || (is_control && (!header->is_final || short_len > WS_CONTROL_MAX_BYTES))) {
        *ret_error = ERR_PROTOCOL;
        return 2;
    }
    size_t extra = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;
    header->len = 2 + extra + 4;
    if (len < 2 + extra)
        return 0;
    header->payload_len = extra == 0 ? short_len : 0;
    for (size_t i = 0; i < extra; i++)
        header->payload_len = header->payload_len << 8 | bytes[2 + i];
    bool is_minimal = extra == 0 || header->payload_len > (extra == 2 ? 125u : UINT16_MAX);
    if (!is_minimal || header->payload_len >> 63) {
        *ret_error = ERR_PROTOCOL;
        return 2;
    }
    if (len < header->len)
        return 0;
    memcpy(header->mask, bytes + 2 + extra, sizeof header->mask);
    return header->len;
}

static size_t take_close(uint8_t *payload, size_t len, size_t taken, struct ws_event *event)
{
    event->kind = WS_EVENT_CLOSE;
    event->close_code = NO_CODE;
    event->payload = (struct span){0};
    if (len == 0)
        return taken;
    if (len == 1)
        return mark_malformed(event, ERR_PROTOCOL, taken);
    event->close_code = (unsigned)payload[0] << 8 | payload[1];
    event->payload = (struct span){(const char *)payload + 2, len - 2};
    if (!ws_close_code_is_valid(event->close_code))
        return mark_malformed(event, ERR_PROTOCOL, taken);
    if (!utf8_is_valid(event->payload))
        return mark_malformed(event, ERR_BAD_UTF8, taken);
    return taken;
}

static size_t take_control(uint8_t *bytes, size_t len, struct header *header,
                           struct ws_event *event)
{
    size_t payload_len = (size_t)header->payload_len;
    size_t whole = header->len + payload_len;
    if (len < whole)
        return 0;
    uint8_t *payload = bytes + header->len;
    unmask_bytes(payload, payload_len, header->mask);
    if (header->opcode == WS_CLOSE)
        return take_close(payload, payload_len, whole, event);
    event->kind = header->opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG;
    event->payload = (struct span){(const char *)payload, payload_len};
    return whole;
}

/* Checks the header of a data frame: is the frame allowed here (5.4), and is the message still
 * within its limit? */
static enum err begin_data(struct ws_decoder *decoder, const struct header *header)
{
    bool is_continuation = header->opcode == WS_CONTINUATION;
    if (is_continuation != (decoder->opcode != 0))
        return ERR_PROTOCOL;
    if (header->payload_len > decoder->max_message - decoder->message_len)
        return ERR_MESSAGE_TOO_LARGE;
    decoder->flags &= FLAG_COMPRESSED | FLAG_MAY_COMPRESS;
    decoder->flags |= header->is_final ? FLAG_FINAL : 0;
    if (!is_continuation) {
        decoder->flags &= FLAG_MAY_COMPRESS | FLAG_FINAL;
        decoder->flags |= header->is_compressed ? FLAG_COMPRESSED : 0;
        decoder->opcode = header->opcode;
        decoder->utf8 = UTF8_ACCEPT;
        decoder->flags |= FLAG_FIRST;
    }
    decoder->message_len += (uint32_t)header->payload_len;
    decoder->remaining = (uint32_t)header->payload_len;
    memcpy(decoder->mask, header->mask, sizeof decoder->mask);
    decoder->state = STATE_PAYLOAD;
    return ERR_OK;
}

static size_t take_payload(struct ws_decoder *decoder, uint8_t *bytes, size_t len,
                           struct ws_event *event)
{
    size_t n = len < decoder->remaining ? len : decoder->remaining;
    unmask_bytes(bytes, n, decoder->mask);
    decoder->remaining -= (uint32_t)n;
    bool is_last = decoder->remaining == 0 && decoder->flags & FLAG_FINAL;
    bool is_compressed = decoder->flags & FLAG_COMPRESSED;
    if (decoder->opcode == WS_TEXT && !is_compressed &&
        (!utf8_feed(&decoder->utf8, bytes, n) || (is_last && decoder->utf8 != UTF8_ACCEPT)))
        return mark_malformed(event, ERR_BAD_UTF8, n);

    event->kind = WS_EVENT_DATA;
    event->opcode = decoder->opcode;
    event->payload = (struct span){(const char *)bytes, n};
    event->is_first = decoder->flags & FLAG_FIRST;
    event->is_last = is_last;
    event->is_compressed = is_compressed;
    decoder->flags &= (uint8_t)~FLAG_FIRST;
    if (decoder->remaining == 0)
        decoder->state = STATE_HEADER;
    if (is_last) {
        decoder->opcode = 0;
        decoder->message_len = 0;
    }
    return n;
}

size_t ws_decoder_next(struct ws_decoder *decoder, uint8_t *bytes, size_t len,
                       struct ws_event *ret_event)
{
    *ret_event = (struct ws_event){.kind = WS_EVENT_MORE};
    if (decoder->state == STATE_PAYLOAD)
        return len > 0 ? take_payload(decoder, bytes, len, ret_event) : 0;

    struct header header;
    enum err error;
    size_t header_len =
        read_header(bytes, len, decoder->flags & FLAG_MAY_COMPRESS, &header, &error);
    if (error != ERR_OK)
        return mark_malformed(ret_event, error, header_len);
    if (header_len == 0)
        return 0;
    if (header.opcode & 0x08)
        return take_control(bytes, len, &header, ret_event);
    error = begin_data(decoder, &header);
    if (error != ERR_OK)
        return mark_malformed(ret_event, error, header_len);
    if (decoder->remaining > 0 && len == header_len)
        return header_len; /* MORE: the payload has not begun */
    return header_len + take_payload(decoder, bytes + header_len, len - header_len, ret_event);
}
