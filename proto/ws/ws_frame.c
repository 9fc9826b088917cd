#include "proto/ws/ws_frame.h"

#include <assert.h>

enum { FINAL = 0x80 };

static size_t header_len(uint64_t payload_len)
{
    return payload_len < 126 ? 2 : payload_len <= UINT16_MAX ? 4 : 10;
}

size_t ws_header_write(enum ws_opcode opcode, uint64_t payload_len,
                       uint8_t out[WS_HEADER_MAX_BYTES])
{
    size_t len = header_len(payload_len);
    out[0] = (uint8_t)(FINAL | opcode);
    if (len == 2) {
        out[1] = (uint8_t)payload_len;
        return len;
    }
    out[1] = len == 4 ? 126 : 127;
    for (size_t i = 2; i < len; i++)
        out[i] = (uint8_t)(payload_len >> 8 * (len - 1 - i));
    return len;
}

size_t ws_control_write(enum ws_opcode opcode, struct span payload,
                        uint8_t out[WS_CONTROL_FRAME_MAX_BYTES])
{
    assert(payload.len <= WS_CONTROL_MAX_BYTES);
    out[0] = (uint8_t)(FINAL | opcode);
    out[1] = (uint8_t)payload.len;
    if (payload.len > 0)
        memcpy(out + 2, payload.bytes, payload.len);
    return 2 + payload.len;
}

size_t ws_close_write(unsigned code, struct span reason, uint8_t out[WS_CONTROL_FRAME_MAX_BYTES])
{
    char body[WS_CONTROL_MAX_BYTES];
    if (code == 0)
        return ws_control_write(WS_CLOSE, (struct span){0}, out);
    if (reason.len > WS_CONTROL_MAX_BYTES - 2) {
        reason.len = WS_CONTROL_MAX_BYTES - 2;
        while (reason.len > 0 && ((unsigned char)reason.bytes[reason.len] & 0xc0) == 0x80)
            reason.len--;
    }
    body[0] = (char)(code >> 8);
    body[1] = (char)(code & 0xff);
    if (reason.len > 0)
        memcpy(body + 2, reason.bytes, reason.len);
    return ws_control_write(WS_CLOSE, (struct span){body, 2 + reason.len}, out);
}

bool ws_close_code_is_valid(unsigned code)
{
    /* 1004-1006 and 1015 must not be sent; 1012-1014 were registered with IANA after the RFC. */
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}
