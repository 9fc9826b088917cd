/* The offer of extensions: each line of the input is a Sec-WebSocket-Extensions of the request. */
#include "proto/ws/extensions.h"
#include "tests/fuzz/fuzz.h"

#define FIELD "Sec-WebSocket-Extensions: "

/* false: the lines are no head. */
static bool choose(struct span lines, struct deflate_terms *ret_terms, enum err *ret_error)
{
    struct fuzz_input input = {(const uint8_t *)lines.bytes, lines.len};
    struct http_head head;
    struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    struct buf text;
    const char *detail = NULL;
    fuzz_log_init(&text);
    FUZZ_CHECK(buf_append_text(&text, "GET / HTTP/1.1\r\nHost: a\r\n") == ERR_OK);
    while (input.len > 0)
        FUZZ_CHECK(buf_append_text(&text, FIELD) == ERR_OK &&
                   buf_append_span(&text, fuzz_until(&input, '\n')) == ERR_OK &&
                   buf_append_text(&text, "\r\n") == ERR_OK);
    FUZZ_CHECK(buf_append_text(&text, "\r\n") == ERR_OK);
    char *copy = fuzz_copy(buf_span(&text));
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    bool is_head = http_head_parse(&head, copy, text.len) == HTTP_HEAD_DONE;
    if (is_head)
        *ret_error = extensions_choose(&head, copy, ret_terms, &detail);
    FUZZ_CHECK(!is_head || *ret_error == ERR_OK || detail != NULL);
    free(copy);
    buf_fini(&text);
    return is_head;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct deflate_terms terms, again;
    char answer[EXTENSIONS_ANSWER_MAX_BYTES];
    enum err error;
    if (!choose((struct span){(const char *)bytes, len}, &terms, &error))
        return 0;
    FUZZ_CHECK(error == ERR_OK || error == ERR_BAD_HANDSHAKE);
    if (error != ERR_OK)
        return 0;
    FUZZ_CHECK(terms.window_bits == 0 || (terms.window_bits >= 8 && terms.window_bits <= 15));
    struct span said = span_of(extensions_answer(terms, answer));
    FUZZ_CHECK(said.len < sizeof answer && (said.len > 0) == (terms.window_bits != 0));
    if (said.len == 0)
        return 0;
    /* What is answered is acceptable as an offer, and means the same. */
    FUZZ_CHECK(choose(said, &again, &error) && error == ERR_OK);
    FUZZ_CHECK(again.window_bits == terms.window_bits && again.is_named == terms.is_named);
    return 0;
}
