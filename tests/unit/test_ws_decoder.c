/* Frames: their heads, masks and lengths, control frames, and streams that are broken anywhere. */
#include "tests/unit/ws_stream.h"

Test(ws_decoder, is_at_most_24_bytes)
{
    cr_assert_leq(sizeof(struct ws_decoder), 24);
}

/* RFC 6455, 5.7: the masked "Hello". */
Test(ws_decoder, reads_the_example_of_the_rfc)
{
    ADD_RAW("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    expect("T\"Hello\"");
}

Test(ws_decoder, reads_texts_binaries_pings_and_pongs_in_a_row)
{
    ADD(FINAL | WS_TEXT, "one");
    ADD(FINAL | WS_BINARY, "two");
    ADD(FINAL | WS_PING, "three");
    ADD(FINAL | WS_PONG, "118");
    ADD(FINAL | WS_TEXT, "");
    ADD(FINAL | WS_PING, "");
    add_close(1000, "bye");
    expect("T\"one\"B\"two\"P\"three\"O\"118\"T\"\"P\"\"C1000\"bye\"");
}

Test(ws_decoder, reads_lengths_of_each_form)
{
    add_long(FINAL | WS_TEXT, 201);
    add_long(FINAL | WS_TEXT, 65535);
    expect("T[201]T[65535]");
    add_long(FINAL | WS_TEXT, 65536);
    expect("T[65536]");
}

Test(ws_decoder, unmasks_at_every_length_and_offset)
{
    char text[101];
    char expected[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('0' + i % 64);
    for (size_t len = 0; len <= 100; len++) {
        add_frame(FINAL | WS_TEXT, (struct span){text, len});
        snprintf(expected, sizeof expected, "T\"%.*s\"", (int)len, text);
        expect(expected);
    }
}

/* RFC 6455, 5.1. */
Test(ws_decoder, refuses_a_frame_without_a_mask)
{
    ADD_RAW("\x81\x05Hello");
    expect("!1002");
    ADD_RAW("\x89\x00");
    expect("!1002");
}

Test(ws_decoder, refuses_reserved_bits)
{
    for (unsigned bits = 1; bits < 8; bits++) {
        ADD(FINAL | bits << 4 | WS_TEXT, "x");
        expect("!1002");
        ADD(FINAL | bits << 4 | WS_PING, "");
        expect("!1002");
    }
}

Test(ws_decoder, refuses_reserved_opcodes)
{
    static const unsigned opcodes[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++) {
        ADD(FINAL | opcodes[i], "");
        expect("!1002");
    }
}

/* RFC 6455, 5.2. */
Test(ws_decoder, refuses_a_length_that_is_not_minimal)
{
    static const struct {
        uint64_t len;
        unsigned n_bytes;
    } rows[] = {{0, 2}, {5, 2}, {125, 2}, {0, 8}, {125, 8}, {126, 8}, {65535, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        add_header(FINAL | WS_TEXT, rows[i].len, rows[i].n_bytes);
        expect("!1002");
    }
}

Test(ws_decoder, refuses_the_top_bit_of_a_64_bit_length)
{
    add_header(FINAL | WS_TEXT, UINT64_C(1) << 63, 8);
    expect("!1002");
    add_header(FINAL | WS_TEXT, UINT64_MAX, 8);
    expect("!1002");
}

/* RFC 6455, 5.5. */
Test(ws_decoder, takes_a_ping_of_125_bytes)
{
    char text[126] = "";
    char expected[200];
    memset(text, 'x', 125);
    add_frame(FINAL | WS_PING, span_of(text));
    snprintf(expected, sizeof expected, "P\"%s\"", text);
    expect(expected);
}

Test(ws_decoder, refuses_a_ping_longer_than_125_bytes)
{
    add_long(FINAL | WS_PING, 126);
    expect("!1002");
    add_long(FINAL | WS_PONG, 126);
    expect("!1002");
    add_long(FINAL | WS_CLOSE, 126);
    expect("!1002");
    add_header(FINAL | WS_PING, 5, 2);
    expect("!1002");
    add_header(FINAL | WS_PING, 5, 8);
    expect("!1002");
}

Test(ws_decoder, refuses_a_fragmented_control_frame)
{
    ADD(WS_PING, "");
    expect("!1002");
    ADD(WS_PONG, "");
    expect("!1002");
    ADD(WS_CLOSE, "");
    expect("!1002");
}

Test(ws_decoder, holds_back_nothing_but_unfinished_headers_and_control_frames)
{
    struct ws_decoder decoder;
    struct ws_event event;
    ws_decoder_init(&decoder, MAX_MESSAGE);
    add_header(FINAL | WS_TEXT, 3, 0);
    add_masked(SPAN_LITERAL("ab"));
    cr_assert_eq(ws_decoder_next(&decoder, stream.bytes, 5, &event), 0);
    cr_assert_eq(event.kind, WS_EVENT_MORE);
    cr_assert_eq(ws_decoder_next(&decoder, stream.bytes, stream.len, &event), 8);
    cr_assert_eq(event.kind, WS_EVENT_DATA);
    cr_assert(event.is_first && !event.is_last);
    cr_assert(span_equal(event.payload, SPAN_LITERAL("ab")));
    cr_assert_eq(ws_decoder_next(&decoder, stream.bytes, 0, &event), 0);
    cr_assert_eq(event.kind, WS_EVENT_MORE);
}

/* A ping that is not complete is offered again: it must come back as it was. */
Test(ws_decoder, does_not_touch_a_control_frame_that_is_not_complete)
{
    struct ws_decoder decoder;
    struct ws_event event;
    uint8_t copy[64];
    ws_decoder_init(&decoder, MAX_MESSAGE);
    ADD(FINAL | WS_PING, "number 118");
    memcpy(copy, stream.bytes, stream.len);
    for (size_t len = 0; len < stream.len; len++) {
        cr_assert_eq(ws_decoder_next(&decoder, stream.bytes, len, &event), 0);
        cr_assert_eq(event.kind, WS_EVENT_MORE);
        cr_assert_arr_eq(stream.bytes, copy, stream.len);
    }
    cr_assert_eq(ws_decoder_next(&decoder, stream.bytes, stream.len, &event), stream.len);
    cr_assert_eq(event.kind, WS_EVENT_PING);
}

/* Whatever comes, and however it is cut, the verdict is the same and nothing is read or written
 * outside. Mutations of a stream of all kinds of frames, from a fixed seed. */
Test(ws_decoder, gives_the_same_verdict_for_broken_streams_however_they_are_cut)
{
    uint32_t seed = 6455;
    for (int round = 0; round < 2000; round++) {
        char whole[sizeof transcript.text];
        stream.len = 0;
        ADD(WS_TEXT, "gr\xc3\xbc");
        ADD(FINAL | WS_PING, "118");
        ADD(FINAL | WS_CONTINUATION, "\xc3\x9f"
                                     "e");
        ADD(FINAL | WS_BINARY, "\x01\x02");
        add_close(1000, "bye");
        for (int flips = 0; flips < 1 + round % 3; flips++) {
            seed = seed * 1664525u + 1013904223u;
            stream.bytes[(seed >> 16) % stream.len] ^= (uint8_t)(1u << (seed >> 8) % 8);
        }
        snprintf(whole, sizeof whole, "%s", play(stream.len, 1));
        for (size_t step = 1; step < 8; step++)
            cr_assert_str_eq(play(step, step), whole, "round %d, steps of %zu", round, step);
    }
}
