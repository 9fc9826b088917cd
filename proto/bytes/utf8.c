/* A state says what the next byte must be: how many continuation bytes are missing, and the range
 * of the first of them, which excludes overlong forms, surrogates and code points above U+10FFFF
 * (RFC 3629, 4). */
#include "proto/bytes/utf8.h"

enum {
    NEED_1 = 1, /* one continuation byte, any */
    NEED_2,     /* two, any */
    NEED_3,     /* three, any */
    AFTER_E0,   /* A0-BF, then one */
    AFTER_ED,   /* 80-9F, then one */
    AFTER_F0,   /* 90-BF, then two */
    AFTER_F4,   /* 80-8F, then two */
    MALFORMED,
};

static utf8_state begin_character(uint8_t byte)
{
    if (byte < 0x80)
        return UTF8_ACCEPT;
    if (byte < 0xc2)
        return MALFORMED;
    if (byte < 0xe0)
        return NEED_1;
    if (byte < 0xf0)
        return byte == 0xe0 ? AFTER_E0 : byte == 0xed ? AFTER_ED : NEED_2;
    if (byte < 0xf5)
        return byte == 0xf0 ? AFTER_F0 : byte == 0xf4 ? AFTER_F4 : NEED_3;
    return MALFORMED;
}

static utf8_state step_character(utf8_state state, uint8_t byte)
{
    static const struct {
        uint8_t low;
        uint8_t high;
        utf8_state next;
    } rules[] = {
        [NEED_1] = {0x80, 0xbf, UTF8_ACCEPT}, [NEED_2] = {0x80, 0xbf, NEED_1},
        [NEED_3] = {0x80, 0xbf, NEED_2},      [AFTER_E0] = {0xa0, 0xbf, NEED_1},
        [AFTER_ED] = {0x80, 0x9f, NEED_1},    [AFTER_F0] = {0x90, 0xbf, NEED_2},
        [AFTER_F4] = {0x80, 0x8f, NEED_2},
    };
    if (state == UTF8_ACCEPT)
        return begin_character(byte);
    if (byte < rules[state].low || byte > rules[state].high)
        return MALFORMED;
    return rules[state].next;
}

bool utf8_feed(utf8_state *state, const void *bytes, size_t len)
{
    utf8_state now = *state;
    if (now >= MALFORMED)
        return false;
    if (len == 0) /* bytes may be NULL then, and adding to NULL is undefined */
        return true;
    const uint8_t *at = bytes;
    const uint8_t *end = at + len;
    while (at < end) {
        uint64_t word;
        if (now == UTF8_ACCEPT && (size_t)(end - at) >= sizeof word) {
            memcpy(&word, at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        now = step_character(now, *at++);
        if (now == MALFORMED) {
            *state = MALFORMED;
            return false;
        }
    }
    *state = now;
    return true;
}

bool utf8_is_valid(struct span text)
{
    utf8_state state = UTF8_ACCEPT;
    return utf8_feed(&state, text.bytes, text.len) && state == UTF8_ACCEPT;
}
