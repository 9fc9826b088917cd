#include "proto/ws/ws_frame.h"

#include <criterion/criterion.h>

static void expect_header(uint64_t payload_len, const char *bytes, size_t len)
{
    uint8_t out[WS_HEADER_MAX_BYTES];
    cr_assert_eq(ws_header_write(WS_TEXT, payload_len, out), len);
    cr_assert_arr_eq(out, bytes, len);
}

/* RFC 6455, 5.2: the minimal number of bytes must be used. */
Test(ws_frame, writes_lengths_in_the_fewest_bytes)
{
    expect_header(0, "\x81\x00", 2);
    expect_header(125, "\x81\x7d", 2);
    expect_header(126, "\x81\x7e\x00\x7e", 4);
    expect_header(127, "\x81\x7e\x00\x7f", 4);
    expect_header(65535, "\x81\x7e\xff\xff", 4);
    expect_header(65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    expect_header(INT64_MAX, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
}

Test(ws_frame, writes_final_unmasked_frames_of_each_opcode)
{
    static const enum ws_opcode opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
                                             WS_CLOSE,        WS_PING, WS_PONG};
    for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++) {
        uint8_t out[WS_HEADER_MAX_BYTES];
        cr_assert_eq(ws_header_write(opcodes[i], 1, out), 2);
        cr_assert_eq(out[0], 0x80 | (unsigned)opcodes[i]);
        cr_assert_eq(out[1], 1);
    }
}

Test(ws_frame, writes_a_ping_with_its_payload)
{
    uint8_t out[WS_CONTROL_FRAME_MAX_BYTES];
    cr_assert_eq(ws_control_write(WS_PING, SPAN_LITERAL("118"), out), 5);
    cr_assert_arr_eq(out,
                     "\x89\x03"
                     "118",
                     5);
    cr_assert_eq(ws_control_write(WS_PONG, (struct span){NULL, 0}, out), 2);
    cr_assert_arr_eq(out, "\x8a\x00", 2);
}

Test(ws_frame, writes_a_control_payload_of_125_bytes)
{
    char payload[WS_CONTROL_MAX_BYTES];
    uint8_t out[WS_CONTROL_FRAME_MAX_BYTES];
    memset(payload, 'x', sizeof payload);
    cr_assert_eq(ws_control_write(WS_PING, (struct span){payload, sizeof payload}, out), 127);
    cr_assert_eq(out[1], 125);
    cr_assert_arr_eq(out + 2, payload, sizeof payload);
}

Test(ws_frame, writes_a_close_with_code_and_reason)
{
    uint8_t out[WS_CONTROL_FRAME_MAX_BYTES];
    cr_assert_eq(ws_close_write(4503, SPAN_LITERAL("kicked"), out), 10);
    cr_assert_arr_eq(out, "\x88\x08\x11\x97kicked", 10);
    cr_assert_eq(ws_close_write(1000, (struct span){NULL, 0}, out), 4);
    cr_assert_arr_eq(out, "\x88\x02\x03\xe8", 4);
    char reason[WS_CONTROL_MAX_BYTES - 2];
    memset(reason, 'r', sizeof reason);
    cr_assert_eq(ws_close_write(1001, (struct span){reason, sizeof reason}, out), 127);
}

/* RFC 6455, 5.5: a control frame has 125 bytes at most. */
Test(ws_frame, cuts_a_reason_that_is_too_long_after_a_whole_character)
{
    uint8_t out[WS_CONTROL_FRAME_MAX_BYTES];
    char reason[200];
    memset(reason, 'r', sizeof reason);
    cr_assert_eq(ws_close_write(4101, (struct span){reason, sizeof reason}, out), 127);
    memcpy(reason + 121, "\xe2\x82\xac", 3); /* the 123rd byte is inside of it */
    cr_assert_eq(ws_close_write(4101, (struct span){reason, sizeof reason}, out), 4 + 121);
    cr_assert_eq(out[1], 2 + 121);
}

Test(ws_frame, writes_a_close_without_a_body_for_code_0)
{
    uint8_t out[WS_CONTROL_FRAME_MAX_BYTES];
    cr_assert_eq(ws_close_write(0, SPAN_LITERAL("not written"), out), 2);
    cr_assert_arr_eq(out, "\x88\x00", 2);
}

/* RFC 6455, 7.4.1 and 7.4.2, and IANA's registry for 1012 to 1014. */
Test(ws_frame, knows_the_close_codes_that_may_be_sent)
{
    for (unsigned code = 0; code <= 70000; code++) {
        bool is_standard = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
        bool is_private = code >= 3000 && code <= 4999;
        cr_assert_eq(ws_close_code_is_valid(code), is_standard || is_private, "%u", code);
    }
}
