/* permessage-deflate (RFC 7692): what is compressed inflates to the same, examples of the RFC, and
 * input that is hostile. */
#include "proto/ws/deflate.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

static struct deflater *deflater;
static struct inflater *inflater;
static struct buf small;
static struct buf text;

static void set_up(void)
{
    cr_assert_eq(deflater_new(&deflater), ERR_OK);
    cr_assert_eq(inflater_new(&inflater), ERR_OK);
    buf_init(&small, 64 << 20);
    buf_init(&text, 64 << 20);
}

static void tear_down(void)
{
    deflater_free(deflater);
    inflater_free(inflater);
    buf_fini(&small);
    buf_fini(&text);
}

TestSuite(deflate, .init = set_up, .fini = tear_down);

static enum err inflate_span(struct span compressed, size_t max)
{
    buf_clear(&text);
    return inflater_message(inflater, compressed, max, &text);
}

#define INFLATE(literal) inflate_span(SPAN_LITERAL(literal), 1000)

static void expect_text(const char *expected)
{
    cr_assert(span_equal(buf_span(&text), span_of(expected)), "\"%.*s\"", (int)text.len,
              text.bytes);
}

/* RFC 7692, 7.2.3.1 to 7.2.3.5: "Hello" in one block, without compression, with a final block, in
 * two blocks. */
Test(deflate, inflates_the_examples_of_the_rfc)
{
    cr_assert_eq(INFLATE("\xf2\x48\xcd\xc9\xc9\x07\x00"), ERR_OK);
    expect_text("Hello");
    cr_assert_eq(INFLATE("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), ERR_OK);
    expect_text("Hello");
    cr_assert_eq(INFLATE("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), ERR_OK);
    expect_text("Hello");
    cr_assert_eq(INFLATE("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), ERR_OK);
    expect_text("Hello");
}

/* 7.2.3.6: an empty message is one byte. */
Test(deflate, compresses_an_empty_message_to_one_byte)
{
    cr_assert_eq(deflater_message(deflater, (struct span){0}, &small), ERR_OK);
    cr_assert(span_equal(buf_span(&small), SPAN_LITERAL("\0")));
    cr_assert_eq(inflate_span(buf_span(&small), 1000), ERR_OK);
    cr_assert_eq(text.len, 0);
}

/* Some peers end the deflate stream and omit the empty block after it. */
Test(deflate, takes_a_final_block_that_nothing_follows)
{
    cr_assert_eq(INFLATE("\xf3\x48\xcd\xc9\xc9\x07\x00"), ERR_OK);
    expect_text("Hello");
}

Test(deflate, takes_blocks_after_a_final_one)
{
    cr_assert_eq(INFLATE("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), ERR_OK);
    expect_text("HelloHello");
}

/* No context takeover: the second "Hello" must not be a reference to the first. 7.2.3.2 shows
 * what it would be with one. */
Test(deflate, carries_nothing_from_one_message_to_the_next)
{
    struct span hello = SPAN_LITERAL("Hello");
    cr_assert_eq(deflater_message(deflater, hello, &small), ERR_OK);
    size_t len = small.len;
    cr_assert_eq(deflater_message(deflater, hello, &small), ERR_OK);
    cr_assert_eq(small.len, 2 * len);
    cr_assert_arr_eq(small.bytes, small.bytes + len, len);
    cr_assert_eq(INFLATE("\xf2\x48\xcd\xc9\xc9\x07\x00"), ERR_OK);
    cr_assert_eq(INFLATE("\xf2\x00\x11\x00\x00"), ERR_CONTEXT_TAKEN_OVER);
}

/* As a peer does that keeps its window from one message to the next although it agreed not to. */
Test(deflate, tells_a_reference_to_an_earlier_message_from_other_mistakes)
{
    static const char said[] = "{\"type\":\"ack\",\"id\":\"k3f9a2qd-118\"}";
    unsigned char room[200];
    z_stream peer = {.next_out = room, .avail_out = sizeof room};
    cr_assert_eq(deflateInit2(&peer, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i < 2; i++) {
        unsigned char *begin = peer.next_out;
        peer.next_in = (unsigned char *)said;
        peer.avail_in = sizeof said - 1;
        cr_assert_eq(deflate(&peer, Z_SYNC_FLUSH), Z_OK);
        size_t len = (size_t)(peer.next_out - begin) - 4;
        cr_expect_eq(inflate_span((struct span){(char *)begin, len}, 1000),
                     i == 0 ? ERR_OK : ERR_CONTEXT_TAKEN_OVER);
    }
    deflateEnd(&peer);
    cr_expect_eq(INFLATE("\x07"), ERR_PROTOCOL);
}

Test(deflate, refuses_what_is_no_compressed_message)
{
    cr_expect_eq(INFLATE(""), ERR_PROTOCOL);
    cr_expect_eq(INFLATE("\x07"), ERR_PROTOCOL);                 /* block type 3 */
    cr_expect_eq(INFLATE("\x00\x05\x00\x00\x00"), ERR_PROTOCOL); /* length without its complement */
    cr_expect_eq(INFLATE("\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00"), ERR_PROTOCOL); /* zlib's head */
    cr_expect_eq(INFLATE("Hello"), ERR_PROTOCOL);
}

static uint32_t seed = 7692;

static unsigned draw(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Words in a random order: it shrinks to a third or so. */
static struct span make_text(size_t len)
{
    static const char *const words[] = {"\"goal\":", "{\"id\":", "true,", "\"Zürich\",", "12345,"};
    char *bytes = malloc(len + 16);
    for (size_t at = 0; at < len;) {
        const char *word = words[draw(sizeof words / sizeof words[0])];
        size_t n = strlen(word) < len - at ? strlen(word) : len - at;
        memcpy(bytes + at, word, n);
        at += n;
    }
    return (struct span){bytes, len};
}

Test(deflate, gives_every_text_back)
{
    static const size_t lens[] = {1, 2, 1023, 1024, 16383, 16384, 16385, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct span sent = make_text(lens[i]);
        buf_clear(&small);
        cr_assert_eq(deflater_message(deflater, sent, &small), ERR_OK);
        cr_assert_eq(inflate_span(buf_span(&small), sent.len), ERR_OK, "%zu", sent.len);
        cr_assert(span_equal(buf_span(&text), sent));
        if (sent.len >= DEFLATE_MIN_BYTES)
            cr_assert_lt(small.len, sent.len / 2);
        free((char *)sent.bytes);
    }
}

Test(deflate, gives_noise_back)
{
    char noise[40000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)draw(256);
    cr_assert_eq(deflater_message(deflater, (struct span){noise, sizeof noise}, &small), ERR_OK);
    cr_assert_eq(inflate_span(buf_span(&small), sizeof noise), ERR_OK);
    cr_assert_arr_eq(text.bytes, noise, sizeof noise);
}

Test(deflate, refuses_a_message_that_is_cut_off_anywhere)
{
    struct span sent = make_text(2000);
    cr_assert_eq(deflater_message(deflater, sent, &small), ERR_OK);
    for (size_t len = 0; len < small.len; len++) {
        enum err error = inflate_span((struct span){small.bytes, len}, 4000);
        /* The last byte may hold nothing but the end of a block. */
        cr_expect(error == ERR_PROTOCOL || (len + 1 == small.len && text.len == sent.len),
                  "cut at %zu of %zu", len, small.len);
    }
    free((char *)sent.bytes);
}

/* Bytes that a peer made up: a verdict each time, and the next message is read all the same. */
Test(deflate, survives_broken_messages)
{
    struct span sent = make_text(3000);
    cr_assert_eq(deflater_message(deflater, sent, &small), ERR_OK);
    char *broken = malloc(small.len);
    for (int round = 0; round < 5000; round++) {
        memcpy(broken, small.bytes, small.len);
        for (int flips = 0; flips < 1 + round % 4; flips++)
            broken[draw((unsigned)small.len)] ^= (char)(1u << draw(8));
        enum err error = inflate_span((struct span){broken, small.len}, 5000);
        cr_assert(error == ERR_OK || error == ERR_PROTOCOL || error == ERR_CONTEXT_TAKEN_OVER ||
                  error == ERR_MESSAGE_TOO_LARGE);
        cr_assert_leq(text.len, 5001);
    }
    cr_assert_eq(inflate_span(buf_span(&small), 5000), ERR_OK);
    cr_assert(span_equal(buf_span(&text), sent));
    free(broken);
    free((char *)sent.bytes);
}

Test(deflate, stops_at_the_ceiling)
{
    size_t len = 4 << 20;
    char *zeros = calloc(1, len);
    cr_assert_eq(deflater_message(deflater, (struct span){zeros, len}, &small), ERR_OK);
    cr_assert_lt(small.len, 32768);
    cr_expect_eq(inflate_span(buf_span(&small), len), ERR_OK);
    cr_expect_eq(inflate_span(buf_span(&small), len - 1), ERR_MESSAGE_TOO_LARGE);
    cr_expect_eq(inflate_span(buf_span(&small), 100000), ERR_MESSAGE_TOO_LARGE);
    cr_expect_leq(text.len, 100001);
    cr_expect_eq(inflate_span(buf_span(&small), 0), ERR_MESSAGE_TOO_LARGE);
    free(zeros);
}

/* A bomb is over ten times its compressed form and over 64 KiB. */
Test(deflate, has_a_ceiling_for_bombs_below_that_of_a_message)
{
    size_t most = 16 << 20;
    cr_expect_eq(inflate_ceiling(0, most), 65536);
    cr_expect_eq(inflate_ceiling(6553, most), 65536);
    cr_expect_eq(inflate_ceiling(6554, most), 65540);
    cr_expect_eq(inflate_ceiling(1 << 20, most), 10 << 20);
    cr_expect_eq(inflate_ceiling(2 << 20, most), most);
    cr_expect_eq(inflate_ceiling(SIZE_MAX, most), most);
    cr_expect_eq(inflate_ceiling(100, 4096), 4096);
}

/* A text reaches back no further than its own length. */
Test(deflate, fits_into_a_window_that_is_as_long_as_the_text)
{
    cr_expect(!deflate_fits(0, 0));
    cr_expect(!deflate_fits(0, 4096));
    cr_expect(deflate_fits(15, 1 << 20));
    cr_expect(deflate_fits(14, 16384));
    cr_expect(!deflate_fits(14, 16385));
    cr_expect(deflate_fits(10, 1024));
    cr_expect(!deflate_fits(9, 1024));
    cr_expect(deflate_fits(8, 256));
    cr_expect(!deflate_fits(8, 257));
}

Test(deflate, does_not_go_over_a_ceiling_of_the_buffer)
{
    struct buf tight;
    buf_init(&tight, 10);
    cr_expect_eq(deflater_message(deflater, SPAN_LITERAL("Hello"), &tight), ERR_FULL);
    cr_expect_eq(tight.len, 0);
    cr_expect_eq(
        inflater_message(inflater, SPAN_LITERAL("\xf2\x48\xcd\xc9\xc9\x07\x00"), 1000, &tight),
        ERR_FULL);
    buf_fini(&tight);
}
