/* What a client sends, and what the decoder makes of it, as text: for the tests of frames
 * (test_ws_decoder.c) and of messages (test_ws_messages.c). */
#ifndef HERALD_TESTS_WS_STREAM_H
#define HERALD_TESTS_WS_STREAM_H

#include "proto/ws/ws_decoder.h"

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

static inline void add_raw(const char *bytes, size_t len)
{
    cr_assert_leq(stream.len + len, sizeof stream.bytes);
    memcpy(stream.bytes + stream.len, bytes, len);
    stream.len += len;
}

#define ADD_RAW(literal) add_raw(literal, sizeof(literal) - 1)

/* `first` is the whole first byte; n_length_bytes 0, 2 or 8. */
static inline void add_header(unsigned first, uint64_t len, unsigned n_length_bytes)
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

static inline void add_masked(struct span payload)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (size_t i = 0; i < payload.len; i++) {
        char byte = (char)((uint8_t)payload.bytes[i] ^ mask[i % 4]);
        add_raw(&byte, 1);
    }
}

static inline void add_frame(unsigned first, struct span payload)
{
    add_header(first, payload.len, payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8);
    add_masked(payload);
}

#define ADD(first, literal) add_frame(first, SPAN_LITERAL(literal))

static inline void add_long(unsigned first, size_t len)
{
    char *text = malloc(len);
    memset(text, 'x', len);
    add_frame(first, (struct span){text, len});
    free(text);
}

static inline void add_close(unsigned code, const char *reason)
{
    char body[WS_CONTROL_MAX_BYTES];
    size_t len = strlen(reason);
    body[0] = (char)(code >> 8);
    body[1] = (char)(code & 0xff);
    memcpy(body + 2, reason, len);
    add_frame(FINAL | WS_CLOSE, (struct span){body, 2 + len});
}

static inline void note(const char *format, ...) PRINTF_LIKE(1, 2);
static inline void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(transcript.text + transcript.len, sizeof transcript.text - transcript.len,
                        format, args);
    va_end(args);
    transcript.len += (size_t)len;
    cr_assert_lt(transcript.len, sizeof transcript.text);
}

static inline void note_payload(struct span payload)
{
    if (payload.len > 200)
        note("[%zu]", payload.len);
    else
        note("\"%.*s\"", (int)payload.len, payload.len > 0 ? payload.bytes : "");
}

static inline void on_piece(const struct ws_event *event)
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

static inline void on_event(const struct ws_event *event)
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
static inline uint8_t *room_end(void)
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
static inline size_t drain(struct ws_decoder *decoder, uint8_t *bytes, size_t len)
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
static inline const char *play(size_t first, size_t step)
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
static inline void expect(const char *expected)
{
    cr_assert_str_eq(play(stream.len, 1), expected);
    size_t stride = stream.len > 4000 ? stream.len / 37 : 1;
    for (size_t cut = 1; cut < stream.len; cut += stride)
        cr_assert_str_eq(play(cut, stream.len), expected, "cut at %zu: %s", cut, transcript.text);
    for (size_t step = 1; step < 10; step++)
        cr_assert_str_eq(play(step, step), expected, "steps of %zu: %s", step, transcript.text);
    stream.len = 0;
}

#endif
