#include "proto/note/payload.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* The frame is the header and the data in one run of bytes, for each length of header. */
Test(payload, has_its_frame_header_right_before_the_data)
{
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        char *text = malloc(len + 1);
        memset(text, 'j', len);
        struct payload *payload = payload_new((struct span){text, len});
        cr_assert_not_null(payload);
        cr_assert(span_equal(payload_data(payload), (struct span){text, len}));

        uint8_t header[WS_HEADER_MAX_BYTES];
        size_t header_len = ws_header_write(WS_TEXT, len, header);
        struct span frame = payload_frame(payload);
        cr_assert_eq(frame.len, header_len + len);
        cr_assert_arr_eq(frame.bytes, header, header_len);
        cr_assert_eq(frame.bytes + header_len, payload_data(payload).bytes);
        payload_unref(payload);
        free(text);
    }
}

/* The key is stored after the data and is not part of the frame. */
Test(payload, keeps_its_collapse_key_beside_the_data)
{
    char key[COLLAPSE_KEY_MAX_BYTES];
    memset(key, 'k', sizeof key);
    for (size_t key_len = 0; key_len <= sizeof key; key_len++) {
        struct payload *payload =
            payload_new_keyed(SPAN_LITERAL("{\"n\":1}"), (struct span){key, key_len});
        cr_assert_not_null(payload);
        cr_expect(span_equal(payload_key(payload), (struct span){key, key_len}));
        cr_expect(span_equal(payload_data(payload), SPAN_LITERAL("{\"n\":1}")));
        cr_expect(span_equal(payload_frame(payload), SPAN_LITERAL("\x81\x07{\"n\":1}")));
        payload_unref(payload);
    }
    struct payload *payload = payload_new_keyed((struct span){0}, SPAN_LITERAL("k"));
    cr_expect(span_equal(payload_key(payload), SPAN_LITERAL("k")));
    cr_expect_eq(payload_data(payload).len, 0);
    payload_unref(payload);
    payload = payload_new(SPAN_LITERAL("1"));
    cr_expect_eq(payload_key(payload).len, 0);
    payload_unref(payload);
}

Test(payload, can_be_sent_unchanged)
{
    struct payload *payload = payload_new_bare(SPAN_LITERAL("data: 1\n\n"));
    cr_assert(span_equal(payload_frame(payload), SPAN_LITERAL("data: 1\n\n")));
    payload_unref(payload);
}

Test(payload, is_a_copy)
{
    char text[] = "{\"n\":1}";
    struct payload *payload = payload_new(span_of(text));
    text[1] = 'X';
    cr_assert(span_equal(payload_data(payload), SPAN_LITERAL("{\"n\":1}")));
    payload_unref(payload);
}

Test(payload, lives_until_the_last_reference_goes)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    cr_assert_eq(payload_ref(payload), payload);
    payload_unref(payload);
    cr_assert(span_equal(payload_data(payload), SPAN_LITERAL("1")));
    payload_unref(payload);
    payload_unref(NULL);
}
