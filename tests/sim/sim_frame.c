#include "tests/sim/sim.h"

#include <string.h>

size_t sim_frame_read(struct sim *sim, const uint8_t *bytes, size_t len, struct sim_frame *ret)
{
    if (len < 2)
        return 0;
    if ((bytes[0] & 0x70) != 0 || (bytes[0] & 0x80) == 0 || (bytes[1] & 0x80) != 0)
        sim_fail(sim, "the server sent a frame that begins with %02x %02x", bytes[0], bytes[1]);
    size_t header = 2;
    size_t n = bytes[1];
    if (n == 127)
        sim_fail(sim, "the server sent a frame that is too long");
    if (n == 126) {
        if (len < 4)
            return 0;
        header = 4;
        n = (size_t)bytes[2] << 8 | bytes[3];
    }
    if (len < header + n)
        return 0;
    *ret = (struct sim_frame){bytes[0] & 0x0f, {(const char *)bytes + header, n}};
    return header + n;
}

size_t sim_frame_write(struct sim *sim, unsigned opcode, struct span payload,
                       uint8_t out[SIM_OUT_MAX_BYTES])
{
    size_t at = 0;
    out[at++] = (uint8_t)(0x80 | opcode);
    if (payload.len < 126) {
        out[at++] = (uint8_t)(0x80 | payload.len);
    } else {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(payload.len >> 8);
        out[at++] = (uint8_t)payload.len;
    }
    uint32_t mask = (uint32_t)sim_random(sim);
    uint8_t key[4];
    memcpy(key, &mask, sizeof key);
    memcpy(out + at, key, sizeof key);
    at += sizeof key;
    for (size_t i = 0; i < payload.len; i++)
        out[at++] = (uint8_t)((uint8_t)payload.bytes[i] ^ key[i % 4]);
    return at;
}
