/* Frames as a client sends them, whole and split. A byte: bit 0, compression was agreed; bit 1, a
 * ceiling of 1000 bytes a message. Two bytes: where they are split. What is compressed is inflated
 * as session_read does it. */
#include "proto/ws/deflate.h"
#include "proto/ws/ws_decoder.h"
#include "tests/fuzz/fuzz.h"

enum { SMALL_MESSAGE = 1000, LARGE_MESSAGE = 65536 };

/* One feeding of the decoder. */
struct run {
    struct ws_decoder decoder;
    uint32_t max_message;
    struct buf log;
    struct buf message; /* under way; a piece of it may or may not come before a failure */
    bool is_over;
};

static void inflate(struct run *run)
{
    static struct inflater *inflater;
    struct buf text;
    if (inflater == NULL)
        FUZZ_CHECK(inflater_new(&inflater) == ERR_OK);
    size_t ceiling = inflate_ceiling(run->message.len, run->max_message);
    FUZZ_CHECK(ceiling <= run->max_message);
    buf_init(&text, ceiling + 1);
    enum err error = inflater_message(inflater, buf_span(&run->message), ceiling, &text);
    FUZZ_CHECK(error == ERR_OK || error == ERR_PROTOCOL || error == ERR_CONTEXT_TAKEN_OVER ||
               error == ERR_MESSAGE_TOO_LARGE);
    FUZZ_CHECK(text.len <= ceiling + (error != ERR_OK));
    FUZZ_NOTE(&run->log, error);
    if (error == ERR_OK)
        fuzz_note(&run->log, text.bytes, text.len);
    buf_fini(&text);
}

static void on_data(struct run *run, const struct ws_event *event)
{
    FUZZ_CHECK(event->is_first == (run->message.len == 0) || event->payload.len == 0 ||
               !event->is_first);
    fuzz_note(&run->message, event->payload.bytes, event->payload.len);
    FUZZ_CHECK(run->message.len <= run->max_message);
    if (!event->is_last)
        return;
    FUZZ_NOTE(&run->log, event->opcode);
    FUZZ_NOTE(&run->log, event->is_compressed);
    fuzz_note(&run->log, run->message.bytes, run->message.len);
    if (event->is_compressed)
        inflate(run);
    else
        FUZZ_CHECK(event->opcode != WS_TEXT || utf8_is_valid(buf_span(&run->message)));
    run->message.len = 0;
}

static void on_event(struct run *run, const struct ws_event *event)
{
    if (event->kind == WS_EVENT_DATA) {
        FUZZ_CHECK(event->opcode == WS_TEXT || event->opcode == WS_BINARY);
        on_data(run, event);
        return;
    }
    FUZZ_NOTE(&run->log, event->kind);
    if (event->kind == WS_EVENT_MALFORMED) {
        FUZZ_CHECK(event->error == ERR_PROTOCOL || event->error == ERR_BAD_UTF8 ||
                   event->error == ERR_MESSAGE_TOO_LARGE);
        FUZZ_NOTE(&run->log, event->error);
    } else {
        FUZZ_CHECK(event->payload.len <= WS_CONTROL_MAX_BYTES);
        FUZZ_NOTE(&run->log, event->close_code);
        fuzz_note(&run->log, event->payload.bytes, event->payload.len);
    }
    run->is_over = event->kind == WS_EVENT_MALFORMED || event->kind == WS_EVENT_CLOSE;
}

/* Answers how many bytes were taken; the rest is to be offered again. */
static size_t feed(struct run *run, char *bytes, size_t len)
{
    size_t at = 0;
    while (!run->is_over) {
        struct ws_event event;
        size_t taken = ws_decoder_next(&run->decoder, (uint8_t *)bytes + at, len - at, &event);
        FUZZ_CHECK(taken <= len - at);
        FUZZ_CHECK(fuzz_is_inside(event.payload, (struct span){bytes + at, taken}));
        at += taken;
        if (event.kind == WS_EVENT_MORE) {
            FUZZ_CHECK(len - at <= WS_REST_MAX_BYTES);
            break;
        }
        on_event(run, &event);
    }
    return at;
}

static void run_init(struct run *run, unsigned flags)
{
    run->max_message = flags & 2 ? SMALL_MESSAGE : LARGE_MESSAGE;
    run->is_over = false;
    ws_decoder_init(&run->decoder, run->max_message);
    if (flags & 1)
        ws_decoder_allow_compressed(&run->decoder);
    fuzz_log_init(&run->log);
    fuzz_log_init(&run->message);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    unsigned flags = fuzz_byte(&input);
    size_t split = fuzz_split(&input);
    struct span text = fuzz_rest(&input);
    struct run whole, pieces;
    run_init(&whole, flags);
    run_init(&pieces, flags);

    char *copy = fuzz_copy(text);
    feed(&whole, copy, text.len);
    free(copy);

    char *front = fuzz_copy((struct span){text.bytes, split});
    size_t taken = feed(&pieces, front, split);
    char *rest = malloc(text.len - taken + 1);
    FUZZ_CHECK(rest != NULL);
    memcpy(rest, front + taken, split - taken);
    if (text.len > split)
        memcpy(rest + split - taken, text.bytes + split, text.len - split);
    free(front);
    feed(&pieces, rest, text.len - taken);
    free(rest);

    fuzz_same_logs(&whole.log, &pieces.log);
    buf_fini(&whole.message);
    buf_fini(&pieces.message);
    return 0;
}
