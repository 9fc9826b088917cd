/* Messages: fragments, UTF-8, ceilings and compression, and the close. */
#include "tests/unit/ws_stream.h"

Test(ws_messages, reads_a_fragmented_message)
{
    ADD(WS_TEXT, "Hel");
    ADD(WS_CONTINUATION, "");
    ADD(WS_CONTINUATION, "l");
    ADD(FINAL | WS_CONTINUATION, "o");
    ADD(WS_BINARY, "");
    ADD(FINAL | WS_CONTINUATION, "");
    ADD(FINAL | WS_TEXT, "next");
    expect("T\"Hello\"B\"\"T\"next\"");
}

/* RFC 6455, 5.4: control frames may stand between fragments. */
Test(ws_messages, hands_on_control_frames_between_fragments)
{
    ADD(WS_TEXT, "a");
    ADD(FINAL | WS_PING, "1");
    ADD(WS_CONTINUATION, "b");
    ADD(FINAL | WS_PONG, "2");
    ADD(FINAL | WS_CONTINUATION, "c");
    expect("P\"1\"O\"2\"T\"abc\"");
    ADD(WS_TEXT, "a");
    add_close(1001, "");
    expect("C1001\"\"");
}

/* RFC 6455, 5.4. */
Test(ws_messages, refuses_a_continuation_of_nothing)
{
    ADD(FINAL | WS_CONTINUATION, "x");
    expect("!1002");
    ADD(WS_CONTINUATION, "x");
    expect("!1002");
    ADD(FINAL | WS_TEXT, "a");
    ADD(FINAL | WS_CONTINUATION, "x");
    expect("T\"a\"!1002");
    ADD(WS_TEXT, "a");
    ADD(FINAL | WS_CONTINUATION, "b");
    ADD(FINAL | WS_CONTINUATION, "x");
    expect("T\"ab\"!1002");
}

Test(ws_messages, refuses_a_new_message_inside_a_fragmented_one)
{
    ADD(WS_TEXT, "a");
    ADD(FINAL | WS_TEXT, "b");
    expect("!1002");
    ADD(WS_TEXT, "a");
    ADD(FINAL | WS_BINARY, "b");
    expect("!1002");
    ADD(WS_BINARY, "");
    ADD(WS_TEXT, "b");
    expect("!1002");
}

Test(ws_messages, takes_a_character_that_is_split_over_fragments)
{
    ADD(WS_TEXT, "\xe2");
    ADD(WS_CONTINUATION, "");
    ADD(FINAL | WS_PING, "\xff");
    ADD(WS_CONTINUATION, "\x82");
    ADD(FINAL | WS_CONTINUATION, "\xac");
    expect("P\"\xff\"T\"\xe2\x82\xac\"");
}

Test(ws_messages, refuses_text_that_is_not_utf8)
{
    ADD(FINAL | WS_TEXT, "a\xff");
    expect("!1007");
    ADD(FINAL | WS_TEXT, "\xc0\xaf");
    expect("!1007");
    ADD(FINAL | WS_TEXT, "\xed\xa0\x80");
    expect("!1007");
    ADD(FINAL | WS_TEXT, "\xf4\x90\x80\x80");
    expect("!1007");
}

Test(ws_messages, refuses_text_that_ends_inside_a_character)
{
    ADD(FINAL | WS_TEXT, "\xe2\x82");
    expect("!1007");
    ADD(WS_TEXT, "\xe2\x82");
    ADD(FINAL | WS_CONTINUATION, "");
    expect("!1007");
    ADD(WS_TEXT, "a\xf0\x9f");
    ADD(FINAL | WS_CONTINUATION, "b");
    expect("!1007");
}

/* RFC 6455, 8.1: the rest need not come. */
Test(ws_messages, refuses_bad_utf8_before_the_frame_is_complete)
{
    add_header(FINAL | WS_TEXT, 1000, 2);
    add_masked(SPAN_LITERAL("fine\xff"));
    expect("!1007");
    add_header(WS_TEXT, 1000, 2);
    add_masked(SPAN_LITERAL("\xf4\x90"));
    expect("!1007");
}

Test(ws_messages, starts_each_text_anew_after_a_whole_one)
{
    ADD(FINAL | WS_TEXT, "\xc3\xa9");
    ADD(FINAL | WS_TEXT, "\xc3\xa9");
    ADD(FINAL | WS_TEXT, "\xa9");
    expect("T\"\xc3\xa9\"T\"\xc3\xa9\"!1007");
}

Test(ws_messages, does_not_look_into_binaries)
{
    ADD(FINAL | WS_BINARY, "\xff\xfe");
    ADD(WS_BINARY, "\xe2");
    ADD(FINAL | WS_CONTINUATION, "\xff");
    expect("B\"\xff\xfe\"B\"\xe2\xff\"");
}

/* RFC 6455, 5.5.1. */
Test(ws_messages, takes_a_close_without_a_code_as_1005)
{
    ADD(FINAL | WS_CLOSE, "");
    expect("C1005\"\"");
}

Test(ws_messages, refuses_a_close_of_one_byte)
{
    ADD(FINAL | WS_CLOSE, "\x03");
    expect("!1002");
}

Test(ws_messages, takes_the_close_codes_that_may_be_sent_and_no_others)
{
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1011,
                                    1014, 3000, 3999, 4000, 4999};
    static const unsigned bad[] = {0,    1,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char expected[16];
        add_close(good[i], "");
        snprintf(expected, sizeof expected, "C%u\"\"", good[i]);
        expect(expected);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        add_close(bad[i], "why");
        expect("!1002");
    }
}

Test(ws_messages, takes_a_close_reason_of_123_bytes_of_utf8)
{
    char reason[124];
    char expected[160];
    for (size_t i = 0; i < 123; i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 4);
    add_close(4503, reason);
    snprintf(expected, sizeof expected, "C4503\"%s\"", reason);
    expect(expected);
}

Test(ws_messages, refuses_a_close_reason_that_is_not_utf8)
{
    add_close(1000, "\xff\xfe");
    expect("!1007");
    add_close(1000, "cut \xe2\x82");
    expect("!1007");
}

Test(ws_messages, takes_nothing_after_a_close)
{
    add_close(1000, "");
    ADD(FINAL | WS_TEXT, "late");
    expect("C1000\"\"");
}

/* CONTRACT 2: 1009, message over 64 KiB. */
Test(ws_messages, refuses_a_message_over_the_ceiling_by_its_header_alone)
{
    add_header(FINAL | WS_TEXT, MAX_MESSAGE + 1, 8);
    expect("!1009");
    add_header(FINAL | WS_TEXT, INT64_MAX, 8);
    expect("!1009");
    add_header(WS_BINARY, UINT64_C(1) << 32, 8);
    expect("!1009");
}

Test(ws_messages, counts_a_message_over_all_its_fragments)
{
    add_long(WS_TEXT, MAX_MESSAGE - 1);
    ADD(FINAL | WS_PING, "not counted");
    add_header(FINAL | WS_CONTINUATION, 2, 0);
    expect("P\"not counted\"!1009");
    add_long(WS_TEXT, MAX_MESSAGE - 1);
    ADD(WS_CONTINUATION, "x");
    ADD(FINAL | WS_CONTINUATION, "");
    ADD(FINAL | WS_TEXT, "next");
    expect("T[65536]T\"next\"");
    add_long(WS_TEXT, 40000);
    add_header(FINAL | WS_CONTINUATION, 40000, 2);
    expect("!1009");
}

/* RFC 7692, 6.1; what a compressed text says is not known here, so its bytes are not UTF-8. */
Test(ws_messages, marks_compressed_messages_where_they_were_agreed)
{
    may_compress = true;
    ADD(FINAL | RSV1 | WS_TEXT, "\xf2\x48\xcd\xc9\xc9\x07");
    ADD(FINAL | WS_TEXT, "plain");
    ADD(FINAL | RSV1 | WS_BINARY, "\xff");
    ADD(RSV1 | WS_TEXT, "\xf2");
    ADD(FINAL | WS_PING, "118");
    ADD(WS_CONTINUATION, "");
    ADD(FINAL | WS_CONTINUATION, "\x48");
    ADD(WS_BINARY, "\xff");
    ADD(FINAL | WS_CONTINUATION, "\xfe");
    ADD(FINAL | WS_TEXT, "\xff");
    expect(
        "t\"\xf2\x48\xcd\xc9\xc9\x07\"T\"plain\"b\"\xff\"P\"118\"t\"\xf2\x48\"B\"\xff\xfe\"!1007");
}

Test(ws_messages, refuses_rsv1_on_what_does_not_begin_a_message)
{
    may_compress = true;
    ADD(FINAL | RSV1 | WS_PING, "118");
    expect("!1002");
    ADD(FINAL | RSV1 | WS_CLOSE, "");
    expect("!1002");
    ADD(RSV1 | WS_TEXT, "a");
    ADD(FINAL | RSV1 | WS_CONTINUATION, "b");
    expect("!1002");
    ADD(WS_TEXT, "a");
    ADD(FINAL | RSV1 | WS_CONTINUATION, "b");
    expect("!1002");
    ADD(FINAL | RSV1 | 0x20 | WS_TEXT, "a");
    expect("!1002");
    ADD(FINAL | RSV1 | 0x10 | WS_BINARY, "a");
    expect("!1002");
    ADD(FINAL | RSV1 | 0x3, "a");
    expect("!1002");
    may_compress = false;
    ADD(FINAL | RSV1 | WS_TEXT, "a");
    expect("!1002");
}
