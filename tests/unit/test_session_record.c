#include "gateway/upgrade/session_record.h"

#include "gateway/net/conn.h"
#include "tests/support/sample_session.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void write_record(struct buf *buf, const struct carried_session *carried)
{
    buf_init(buf, 1 << 20);
    struct record_writer writer = {.out = buf};
    session_record_write(&writer, carried, 1);
    cr_assert_eq(writer.error, ERR_OK);
}

/* From a block of exactly that size, so that a sanitizer sees a read beyond its end. */
static enum err read_copy(struct span bytes, struct carried_session *ret_carried, char *why)
{
    char *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    cr_assert_not_null(copy);
    memcpy(copy, bytes.bytes, bytes.len);
    enum err error = session_record_read((struct span){copy, bytes.len}, ret_carried, why);
    free(copy);
    return error;
}

/* Every member of the sample is another one than in a zeroed struct, so one without a row shows. */
Test(session_record, gives_back_every_member)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_session full, carried;
    struct buf buf;
    sample_session_full(&full);
    write_record(&buf, &full);
    cr_assert_eq(session_record_read(buf_span(&buf), &carried, why), ERR_OK, "%s", why);
    cr_assert(sample_session_equal(&full, &carried));
    buf_fini(&buf);
}

Test(session_record, is_short_for_a_session_at_rest)
{
    struct carried_session idle, carried;
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct buf buf;
    sample_session_idle(&idle);
    write_record(&buf, &idle);
    cr_assert_leq(buf.len, 200);
    cr_assert_eq(session_record_read(buf_span(&buf), &carried, why), ERR_OK, "%s", why);
    cr_assert(sample_session_equal(&idle, &carried));
    buf_fini(&buf);
}

Test(session_record, gives_back_sessions_as_they_are)
{
    static void (*const samples[])(struct carried_session *) = {sample_session_busy,
                                                                sample_session_stream};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct carried_session sample, carried;
        char why[RECORD_WHY_MAX_BYTES] = "";
        struct buf buf;
        samples[i](&sample);
        write_record(&buf, &sample);
        cr_assert_eq(session_record_read(buf_span(&buf), &carried, why), ERR_OK, "%s", why);
        cr_assert(sample_session_equal(&sample, &carried), "%zu", i);
        buf_fini(&buf);
    }
}

Test(session_record, tells_an_empty_token_from_none)
{
    struct carried_session idle, carried;
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct buf buf;
    sample_session_idle(&idle);
    write_record(&buf, &idle);
    cr_assert_eq(session_record_read(buf_span(&buf), &carried, why), ERR_OK);
    cr_assert_null(carried.token.bytes);
    buf_fini(&buf);
    idle.token = SPAN_LITERAL("");
    write_record(&buf, &idle);
    cr_assert_eq(session_record_read(buf_span(&buf), &carried, why), ERR_OK);
    cr_assert_not_null(carried.token.bytes);
    cr_assert_eq(carried.token.len, 0);
    buf_fini(&buf);
}

Test(session_record, is_refused_wherever_it_is_cut_off_within_an_item)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_session full, carried;
    struct buf buf;
    sample_session_full(&full);
    write_record(&buf, &full);
    unsigned n_whole = 0;
    for (size_t len = 0; len < buf.len; len++) {
        struct span rest = {buf.bytes, len};
        struct span item;
        uint8_t tag;
        enum record_step step;
        while ((step = record_take(&rest, &tag, &item)) == RECORD_ITEM) {
        }
        enum err error = read_copy((struct span){buf.bytes, len}, &carried, why);
        if (step == RECORD_CUT)
            cr_assert_eq(error, ERR_INVALID_FIELD, "%zu", len);
        n_whole += error == ERR_OK;
    }
    cr_assert_gt(n_whole, 10, "what comes after the required members may be missing");
    buf_fini(&buf);
}

static void must_refuse(const struct carried_session *carried, const char *text)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_session again;
    struct buf buf;
    write_record(&buf, carried);
    cr_assert_eq(session_record_read(buf_span(&buf), &again, why), ERR_INVALID_FIELD, "%s", text);
    cr_assert_str_eq(why, text);
    buf_fini(&buf);
}

Test(session_record, holds_each_member_to_its_bounds)
{
    static char long_text[CONN_REST_MAX_BYTES + 1];
    struct carried_session carried;
    sample_session_idle(&carried);
    carried.user_id = (struct span){long_text, 129};
    must_refuse(&carried, "userId is malformed or out of range");
    sample_session_idle(&carried);
    carried.device = (struct span){long_text, 65};
    must_refuse(&carried, "device is malformed or out of range");
    sample_session_idle(&carried);
    carried.rest = (struct span){long_text, sizeof long_text};
    must_refuse(&carried, "rest is malformed or out of range");
    sample_session_idle(&carried);
    carried.level = LEVEL_SSE + 1;
    must_refuse(&carried, "level is malformed or out of range");
    sample_session_idle(&carried);
    carried.decoder.state = 2;
    must_refuse(&carried, "decoder.state is malformed or out of range");
    carried.decoder.state = 0;
    carried.decoder.utf8 = 8;
    must_refuse(&carried, "decoder.utf8 is malformed or out of range");
    sample_session_idle(&carried);
    carried.window_bits = 16;
    must_refuse(&carried, "windowBits is malformed or out of range");
    sample_session_idle(&carried);
    carried.n_unmatched = 3;
    must_refuse(&carried, "unmatchedPings is malformed or out of range");
}

Test(session_record, without_a_user_or_a_level_is_refused)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_session carried;
    cr_assert_eq(session_record_read(SPAN_NONE, &carried, why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "userId is missing");
    cr_assert_eq(session_record_read(SPAN_LITERAL("\x80\x01\0\0\0a"), &carried, why),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "level is missing");
}

/* What these numbers mean is part of the format. */
Test(session_record, keeps_the_numbers_of_a_decoder)
{
    struct ws_decoder decoder;
    struct ws_event event;
    uint8_t begin[] = {0xc1, 0x84, 1, 2, 3, 4, 0xe2 ^ 1};
    cr_assert_eq(LEVEL_PLAIN, 0);
    cr_assert_eq(LEVEL_PLAIN_NAMED, 1);
    cr_assert_eq(LEVEL_V1, 2);
    cr_assert_eq(LEVEL_SSE, 3);
    ws_decoder_init(&decoder, 1000);
    ws_decoder_allow_compressed(&decoder);
    cr_assert_eq(decoder.flags, 8, "may compress");
    cr_assert_eq(ws_decoder_next(&decoder, begin, sizeof begin, &event), sizeof begin);
    cr_assert_eq(decoder.state, 1, "within a payload");
    cr_assert_eq(decoder.opcode, WS_TEXT);
    cr_assert_eq(decoder.flags, 8 | 4 | 1, "compressed, and final");
    ws_decoder_init(&decoder, 1000);
    uint8_t text[] = {0x01, 0x84, 1, 2, 3, 4, 0xe2 ^ 1};
    ws_decoder_next(&decoder, text, sizeof text, &event);
    cr_assert_eq(decoder.flags, 0);
    cr_assert_eq(decoder.utf8, 2, "two continuation bytes are missing");
    uint8_t empty[] = {0x01, 0x84, 1, 2, 3, 4};
    ws_decoder_init(&decoder, 1000);
    ws_decoder_next(&decoder, empty, sizeof empty, &event);
    cr_assert_eq(decoder.flags, 2, "no piece was given yet");
}
