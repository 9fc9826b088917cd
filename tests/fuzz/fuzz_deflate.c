/* Compressed messages: any bytes inflated under a ceiling of two bytes' choice, and any bytes
 * compressed, inflated and compared. */
#include "proto/ws/deflate.h"
#include "tests/fuzz/fuzz.h"

static void inflate_anything(struct inflater *inflater, struct span bytes, size_t max)
{
    struct buf text;
    buf_init(&text, max + 1);
    enum err error = inflater_message(inflater, bytes, max, &text);
    FUZZ_CHECK(error == ERR_OK || error == ERR_PROTOCOL || error == ERR_CONTEXT_TAKEN_OVER ||
               error == ERR_MESSAGE_TOO_LARGE);
    FUZZ_CHECK(text.len <= max + (error != ERR_OK));
    buf_fini(&text);
}

static void there_and_back(struct deflater *deflater, struct inflater *inflater, struct span text)
{
    struct buf small, again;
    buf_init(&small, 2 * text.len + 1024);
    buf_init(&again, text.len + 1);
    FUZZ_CHECK(deflater_message(deflater, text, &small) == ERR_OK);
    FUZZ_CHECK(inflater_message(inflater, buf_span(&small), text.len, &again) == ERR_OK);
    FUZZ_CHECK(span_equal(buf_span(&again), text));
    if (text.len > 0) {
        again.len = 0;
        FUZZ_CHECK(inflater_message(inflater, buf_span(&small), text.len - 1, &again) ==
                   ERR_MESSAGE_TOO_LARGE);
    }
    buf_fini(&small);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct deflater *deflater;
    static struct inflater *inflater;
    struct fuzz_input input = {bytes, len};
    if (deflater == NULL)
        FUZZ_CHECK(deflater_new(&deflater) == ERR_OK && inflater_new(&inflater) == ERR_OK);
    size_t max = fuzz_number(&input, 2);
    char *copy = fuzz_copy(fuzz_rest(&input));
    struct span text = {copy, input.len};
    inflate_anything(inflater, text, max);
    there_and_back(deflater, inflater, text);
    free(copy);
    return 0;
}
