/* Cursors of GET /events: as text, and, so that more than the digest is reached, as the bytes that
 * a text with a right digest would have. What is read is written as it was. */
#include "proto/bytes/base64url.h"
#include "proto/bytes/digest.h"
#include "proto/note/event_cursor.h"
#include "tests/fuzz/fuzz.h"

enum { SUM_BYTES = 4 };

static void read_text(struct span text)
{
    char again[EVENT_CURSOR_MAX_BYTES];
    struct event_cursor cursor;
    if (event_cursor_read(text, &cursor) != ERR_OK)
        return;
    FUZZ_CHECK(event_consumer_is_valid((struct span){cursor.consumer, cursor.consumer_len}));
    FUZZ_CHECK(event_cursor_write(&cursor, again) == ERR_OK);
    FUZZ_CHECK(span_equal(span_of(again), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[512];
    uint8_t sum[DIGEST_LEN];
    char text[BASE64URL_CHARACTERS(sizeof bytes)];
    const struct span whole = {(const char *)data, size};
    read_text(whole);
    if (size > sizeof bytes - SUM_BYTES || digest_of(&whole, 1, sum) != ERR_OK)
        return 0;
    memcpy(bytes, data, size);
    memcpy(bytes + size, sum, SUM_BYTES);
    read_text((struct span){
        text, base64url_encode((struct span){(char *)bytes, size + SUM_BYTES}, text)});
    return 0;
}
