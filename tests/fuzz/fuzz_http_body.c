/* The body of a request. One byte: 0 for chunks, or else its length; two bytes: how much is read at
 * once; one byte: how much of a piece is taken at once. The body and what follows it are the same
 * however it is read, and nothing outside of what was passed is a piece. */
#include "proto/http/http_body.h"
#include "tests/fuzz/fuzz.h"

static void begin(struct http_body *body, unsigned len)
{
    struct http_field fields[HTTP_HEAD_USUAL_FIELDS];
    struct http_head head;
    const char *detail;
    char text[100];
    int n = len == 0 ? snprintf(text, sizeof text,
                                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                     : snprintf(text, sizeof text,
                                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", len);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, fields, HTTP_HEAD_USUAL_FIELDS);
    FUZZ_CHECK(http_head_parse(&head, text, (size_t)n) == HTTP_HEAD_DONE);
    FUZZ_CHECK(http_body_init(body, &head, text, &detail) == ERR_OK);
}

/* `log` gets the body, and how it ended. */
static void read_body(unsigned body_len, struct span text, size_t step, size_t bite,
                      struct buf *log)
{
    struct http_body body;
    enum http_body_result result = HTTP_BODY_MORE;
    size_t at = 0;
    begin(&body, body_len);
    while (at < text.len || result == HTTP_BODY_PIECE) {
        size_t n_read;
        struct span piece;
        size_t len = text.len - at < step ? text.len - at : step;
        char *copy = fuzz_copy((struct span){text.bytes + at, len});
        result = http_body_next(&body, (struct span){copy, len}, &n_read, &piece);
        FUZZ_CHECK(n_read + piece.len <= len);
        FUZZ_CHECK((result == HTTP_BODY_PIECE) == (piece.len > 0));
        FUZZ_CHECK(result != HTTP_BODY_BAD || body.detail != NULL);
        FUZZ_CHECK(fuzz_is_inside(piece, (struct span){copy + n_read, len - n_read}));
        size_t taken = piece.len < bite ? piece.len : bite;
        if (taken > 0) {
            fuzz_note(log, piece.bytes, taken);
            http_body_take(&body, taken);
        }
        free(copy);
        at += n_read + taken;
        if (result == HTTP_BODY_DONE || result == HTTP_BODY_BAD)
            break;
    }
    FUZZ_NOTE(log, result == HTTP_BODY_DONE || result == HTTP_BODY_BAD ? (unsigned)result : 99);
    FUZZ_NOTE(log, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    struct buf whole;
    struct buf pieces;
    unsigned body_len = fuzz_byte(&input);
    size_t step = fuzz_number(&input, 2) + 1;
    size_t bite = (size_t)fuzz_byte(&input) + 1;
    fuzz_log_init(&whole);
    fuzz_log_init(&pieces);
    read_body(body_len, fuzz_rest(&input), len + 1, len + 1, &whole);
    read_body(body_len, fuzz_rest(&input), step, bite, &pieces);
    fuzz_same_logs(&whole, &pieces);
    return 0;
}
