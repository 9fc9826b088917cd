#include "proto/ws_decoder.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_MESSAGE = 65536, FINAL = 0x80, RSV1 = 0x40, MASKED = 0x80, ROOM = 256 * 1024 };

/* What a client sends. */
struct stream {
    uint8_t bytes[ROOM];
    size_t len;
};

/* What came out, as text: T"..." and B"..." are messages (t and b compressed ones), P"..." and
 * O"..." pings and pongs, C1000"..." a close, !1002 the close code of an error. Long payloads are
 * written as [length]. */
struct transcript {
    char text[4096];
    size_t len;
    char message[ROOM];
    size_t message_len;
    char kind; /* of the message under way; 0: none */
    bool is_over;
};

static struct stream stream;
static struct transcript transcript;
static bool may_compress;

static void add_raw(const char *bytes, size_t len)
{
    cr_assert_leq(stream.len + len, sizeof stream.bytes);
    memcpy(stream.bytes + stream.len, bytes, len);
    stream.len += len;
}

#define ADD_RAW(literal) add_raw(literal, sizeof(literal) - 1)

/* `first` is the whole first byte; n_length_bytes 0, 2 or 8. */
static void add_header(unsigned first, uint64_t len, unsigned n_length_bytes)
{
    static const char mask[] = "\x37\xfa\x21\x3d";
    unsigned small = n_length_bytes == 0 ? (unsigned)len : n_length_bytes == 2 ? 126 : 127;
    char head[2] = {(char)first, (char)(MASKED | small)};
    add_raw(head, 2);
    for (unsigned i = n_length_bytes; i > 0; i--) {
        char byte = (char)(len >> 8 * (i - 1));
        add_raw(&byte, 1);
    }
    add_raw(mask, 4);
}

static void add_masked(struct span payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (size_t i = 0; i < payload.len; i++) {
        char byte = (char)((uint8_t)payload.bytes[i] ^ mask[i % 4]);
        add_raw(&byte, 1);
    }
}

static void add_frame(unsigned first, struct span payload)
{
    add_header(first, payload.len, payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8);
    add_masked(payload);
}

#define ADD(first, literal) add_frame(first, SPAN_LITERAL(literal))

static void add_long(unsigned first, size_t len)
{
    char *text = malloc(len);
    memset(text, 'x', len);
    add_frame(first, (struct span){text, len});
    free(text);
}

static void add_close(unsigned code, const char *reason)
{
    char body[WS_CONTROL_MAX_BYTES];
    size_t len = strlen(reason);
    body[0] = (char)(code >> 8);
    body[1] = (char)(code & 0xff);
    memcpy(body + 2, reason, len);
    add_frame(FINAL | WS_CLOSE, (struct span){body, 2 + len});
}

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(transcript.text + transcript.len, sizeof transcript.text - transcript.len,
                        format, args);
    va_end(args);
    transcript.len += (size_t)len;
    cr_assert_lt(transcript.len, sizeof transcript.text);
}

static void note_payload(struct span payload)
{
    if (payload.len > 200)
        note("[%zu]", payload.len);
    else
        note("\"%.*s\"", (int)payload.len, payload.len > 0 ? payload.bytes : "");
}

static void on_piece(const struct ws_event *event)
{
    char kind = event->opcode == WS_TEXT ? 'T' : 'B';
    if (event->is_compressed)
        kind = kind == 'T' ? 't' : 'b';
    cr_assert(event->opcode == WS_TEXT || event->opcode == WS_BINARY);
    cr_assert_eq(event->is_first, transcript.kind == 0);
    cr_assert(event->is_first || transcript.kind == kind);
    transcript.kind = kind;
    memcpy(transcript.message + transcript.message_len, event->payload.bytes, event->payload.len);
    transcript.message_len += event->payload.len;
    if (!event->is_last)
        return;
    note("%c", kind);
    note_payload((struct span){transcript.message, transcript.message_len});
    transcript.kind = 0;
    transcript.message_len = 0;
}

static void on_event(const struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_MORE:
        break;
    case WS_EVENT_DATA:
        on_piece(event);
        break;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        note("%c", event->kind == WS_EVENT_PING ? 'P' : 'O');
        note_payload(event->payload);
        break;
    case WS_EVENT_CLOSE:
        note("C%u", event->close_code);
        note_payload(event->payload);
        transcript.is_over = true;
        break;
    case WS_EVENT_MALFORMED:
        note("!%u", error_close_code(event->error));
        transcript.is_over = true;
        break;
    }
}

/* Room that ends at a page which must not be touched. */
static uint8_t *room_end(void)
{
    static uint8_t *room;
    size_t page_len = (size_t)sysconf(_SC_PAGESIZE);
    if (room == NULL) {
        room =
            mmap(NULL, ROOM + page_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(room, MAP_FAILED);
        cr_assert_eq(mprotect(room + ROOM, page_len, PROT_NONE), 0);
    }
    return room + ROOM;
}

/* Takes all events that the bytes hold. They stand right before the guard page. */
static size_t drain(struct ws_decoder *decoder, uint8_t *bytes, size_t len)
{
    size_t taken = 0;
    struct ws_event event;
    do {
        size_t n = ws_decoder_next(decoder, bytes + taken, len - taken, &event);
        cr_assert_leq(n, len - taken);
        taken += n;
        on_event(&event);
    } while (event.kind != WS_EVENT_MORE && !transcript.is_over);
    return taken;
}

/* The stream in chunks: the first of `first` bytes, the others of `step`; what the decoder leaves
 * is offered again with what follows it. */
static const char *play(size_t first, size_t step)
{
    struct ws_decoder decoder;
    uint8_t rest[WS_REST_MAX_BYTES];
    size_t n_rest = 0;
    ws_decoder_init(&decoder, MAX_MESSAGE);
    if (may_compress)
        ws_decoder_allow_compressed(&decoder);
    transcript.len = 0;
    transcript.message_len = 0;
    transcript.kind = 0;
    transcript.is_over = false;
    transcript.text[0] = '\0';
    size_t size = first;
    for (size_t at = 0; at < stream.len && !transcript.is_over; at += size) {
        if (at > 0)
            size = step;
        size_t n_new = size < stream.len - at ? size : stream.len - at;
        uint8_t *bytes = room_end() - n_rest - n_new;
        memcpy(bytes, rest, n_rest);
        memcpy(bytes + n_rest, stream.bytes + at, n_new);
        size_t taken = drain(&decoder, bytes, n_rest + n_new);
        n_rest = transcript.is_over ? 0 : n_rest + n_new - taken;
        cr_assert_leq(n_rest, sizeof rest);
        memcpy(rest, bytes + taken, n_rest);
    }
    return transcript.text;
}

/* Whole, split in two anywhere, and in steps of 1 to 9 bytes: always the same comes out. */
static void expect(const char *expected)
{
    cr_assert_str_eq(play(stream.len, 1), expected);
    size_t stride = stream.len > 4000 ? stream.len / 37 : 1;
    for (size_t cut = 1; cut < stream.len; cut += stride)
        cr_assert_str_eq(play(cut, stream.len), expected, "cut at %zu: %s", cut, transcript.text);
    for (size_t step = 1; step < 10; step++)
        cr_assert_str_eq(play(step, step), expected, "steps of %zu: %s", step, transcript.text);
    stream.len = 0;
}

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

Test(ws_decoder, reads_a_fragmented_message)
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
Test(ws_decoder, hands_on_control_frames_between_fragments)
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

/* RFC 6455, 5.4. */
Test(ws_decoder, refuses_a_continuation_of_nothing)
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

Test(ws_decoder, refuses_a_new_message_inside_a_fragmented_one)
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

Test(ws_decoder, takes_a_character_that_is_split_over_fragments)
{
    ADD(WS_TEXT, "\xe2");
    ADD(WS_CONTINUATION, "");
    ADD(FINAL | WS_PING, "\xff");
    ADD(WS_CONTINUATION, "\x82");
    ADD(FINAL | WS_CONTINUATION, "\xac");
    expect("P\"\xff\"T\"\xe2\x82\xac\"");
}

Test(ws_decoder, refuses_text_that_is_not_utf8)
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

Test(ws_decoder, refuses_text_that_ends_inside_a_character)
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
Test(ws_decoder, refuses_bad_utf8_before_the_frame_is_complete)
{
    add_header(FINAL | WS_TEXT, 1000, 2);
    add_masked(SPAN_LITERAL("fine\xff"));
    expect("!1007");
    add_header(WS_TEXT, 1000, 2);
    add_masked(SPAN_LITERAL("\xf4\x90"));
    expect("!1007");
}

Test(ws_decoder, starts_each_text_anew_after_a_whole_one)
{
    ADD(FINAL | WS_TEXT, "\xc3\xa9");
    ADD(FINAL | WS_TEXT, "\xc3\xa9");
    ADD(FINAL | WS_TEXT, "\xa9");
    expect("T\"\xc3\xa9\"T\"\xc3\xa9\"!1007");
}

Test(ws_decoder, does_not_look_into_binaries)
{
    ADD(FINAL | WS_BINARY, "\xff\xfe");
    ADD(WS_BINARY, "\xe2");
    ADD(FINAL | WS_CONTINUATION, "\xff");
    expect("B\"\xff\xfe\"B\"\xe2\xff\"");
}

/* RFC 6455, 5.5.1. */
Test(ws_decoder, takes_a_close_without_a_code_as_1005)
{
    ADD(FINAL | WS_CLOSE, "");
    expect("C1005\"\"");
}

Test(ws_decoder, refuses_a_close_of_one_byte)
{
    ADD(FINAL | WS_CLOSE, "\x03");
    expect("!1002");
}

Test(ws_decoder, takes_the_close_codes_that_may_be_sent_and_no_others)
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

Test(ws_decoder, takes_a_close_reason_of_123_bytes_of_utf8)
{
    char reason[124];
    char expected[160];
    for (size_t i = 0; i < 123; i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 4);
    add_close(4503, reason);
    snprintf(expected, sizeof expected, "C4503\"%s\"", reason);
    expect(expected);
}

Test(ws_decoder, refuses_a_close_reason_that_is_not_utf8)
{
    add_close(1000, "\xff\xfe");
    expect("!1007");
    add_close(1000, "cut \xe2\x82");
    expect("!1007");
}

Test(ws_decoder, takes_nothing_after_a_close)
{
    add_close(1000, "");
    ADD(FINAL | WS_TEXT, "late");
    expect("C1000\"\"");
}

/* CONTRACT 2: 1009, message over 64 KiB. */
Test(ws_decoder, refuses_a_message_over_the_ceiling_by_its_header_alone)
{
    add_header(FINAL | WS_TEXT, MAX_MESSAGE + 1, 8);
    expect("!1009");
    add_header(FINAL | WS_TEXT, INT64_MAX, 8);
    expect("!1009");
    add_header(WS_BINARY, UINT64_C(1) << 32, 8);
    expect("!1009");
}

Test(ws_decoder, counts_a_message_over_all_its_fragments)
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
Test(ws_decoder, marks_compressed_messages_where_they_were_agreed)
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

Test(ws_decoder, refuses_rsv1_on_what_does_not_begin_a_message)
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
