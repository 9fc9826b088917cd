/* Event streams, read back by a reader that follows the standard (WHATWG HTML, 9.2.6). The input is
 * the data of a notification. */
#include "proto/note/sse.h"
#include "tests/fuzz/fuzz.h"

#define EPOCH ((struct epoch){"abcdefgh"})

/* What an EventSource has of a stream. */
struct reader {
    char id[64];   /* last event ID */
    char type[16]; /* of the event under way */
    struct buf lines;
    bool has_data;
    unsigned n_events;
    char event_type[16]; /* of the last event that was fired, and its data */
    struct buf event;
};

static void copy_text(char *out, size_t cap, struct span text)
{
    FUZZ_CHECK(text.len < cap);
    memcpy(out, text.bytes, text.len);
    out[text.len] = '\0';
}

static void fire(struct reader *reader)
{
    FUZZ_CHECK(reader->has_data); /* some clients take a block without data for a notification */
    buf_clear(&reader->event);
    fuzz_note(&reader->event, reader->lines.bytes, reader->lines.len - 1); /* the last LF */
    memcpy(reader->event_type, reader->type, sizeof reader->type);
    reader->n_events++;
    buf_clear(&reader->lines);
    reader->has_data = false;
    reader->type[0] = '\0';
}

static void read_line(struct reader *reader, struct span line)
{
    if (line.len == 0) {
        fire(reader);
        return;
    }
    const char *colon = memchr(line.bytes, ':', line.len);
    size_t len = colon == NULL ? line.len : (size_t)(colon - line.bytes);
    struct span field = {line.bytes, len};
    struct span value = {line.bytes + len, 0};
    if (colon != NULL)
        value = (struct span){colon + 1, line.len - len - 1};
    if (value.len > 0 && value.bytes[0] == ' ')
        value = (struct span){value.bytes + 1, value.len - 1};
    if (span_equal(field, SPAN_LITERAL("data"))) {
        fuzz_note(&reader->lines, value.bytes, value.len);
        fuzz_note(&reader->lines, "\n", 1);
        reader->has_data = true;
    } else if (span_equal(field, SPAN_LITERAL("id"))) {
        copy_text(reader->id, sizeof reader->id, value);
    } else if (span_equal(field, SPAN_LITERAL("event"))) {
        copy_text(reader->type, sizeof reader->type, value);
    } else {
        FUZZ_CHECK(field.len == 0 || span_equal(field, SPAN_LITERAL("retry")));
    }
}

/* Lines end with LF, CR or CRLF. */
static void read_stream(struct reader *reader, struct span text)
{
    size_t begin = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.bytes[i];
        if (c != '\n' && c != '\r')
            continue;
        read_line(reader, (struct span){text.bytes + begin, i - begin});
        if (c == '\r' && i + 1 < text.len && text.bytes[i + 1] == '\n')
            i++;
        begin = i + 1;
    }
    FUZZ_CHECK(begin == text.len); /* nothing hangs over into what follows */
}

/* Each CR, LF or CRLF as LF. */
static struct buf with_one_break(struct span text)
{
    struct buf out;
    fuzz_log_init(&out);
    for (size_t i = 0; i < text.len; i++) {
        bool is_crlf = text.bytes[i] == '\r' && i + 1 < text.len && text.bytes[i + 1] == '\n';
        fuzz_note(&out, text.bytes[i] == '\r' ? "\n" : &text.bytes[i], 1);
        i += is_crlf;
    }
    return out;
}

static void write_notification(struct buf *out, struct span text, uint64_t seq)
{
    struct payload *payload = payload_new(text);
    struct notification *note =
        notification_new(payload, seq == 0 ? (struct epoch){{0}} : EPOCH, seq, 1, 2);
    FUZZ_CHECK(note != NULL && sse_notification(out, note) == ERR_OK);
    notification_unref(note);
    payload_unref(payload);
}

static void check_notification(struct reader *reader, struct span text, uint64_t seq)
{
    struct buf out;
    fuzz_log_init(&out);
    unsigned before = reader->n_events;
    write_notification(&out, text, seq);
    read_stream(reader, buf_span(&out));
    FUZZ_CHECK(reader->n_events == before + 1 && reader->event_type[0] == '\0');
    struct buf expected = with_one_break(text);
    FUZZ_CHECK(span_equal(buf_span(&reader->event), buf_span(&expected)));
    buf_fini(&expected);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct reader reader = {0};
    struct buf out;
    struct gap gap = {len + 1, len + 1 + len / 2, GAP_EXPIRED};
    char id[MESSAGE_ID_MAX_BYTES];
    char *copy = fuzz_copy((struct span){(const char *)bytes, len});
    fuzz_log_init(&reader.lines);
    fuzz_log_init(&reader.event);
    fuzz_log_init(&out);

    FUZZ_CHECK(sse_begin(&out, 1000, EPOCH, len) == ERR_OK && sse_comment(&out) == ERR_OK);
    read_stream(&reader, buf_span(&out));
    message_id_write(EPOCH, len, id);
    FUZZ_CHECK(reader.n_events == 1 && strcmp(reader.event_type, "hello") == 0);
    FUZZ_CHECK(strcmp(reader.id, id) == 0);

    check_notification(&reader, (struct span){copy, len}, 0);
    FUZZ_CHECK(strcmp(reader.id, id) == 0); /* ttl 0: the position stays */
    check_notification(&reader, (struct span){copy, len}, len + 1);
    message_id_write(EPOCH, len + 1, id);
    FUZZ_CHECK(strcmp(reader.id, id) == 0);

    buf_clear(&out);
    FUZZ_CHECK(sse_gap(&out, EPOCH, &gap) == ERR_OK && sse_cancel(&out, EPOCH, 1) == ERR_OK);
    read_stream(&reader, buf_span(&out));
    message_id_write(EPOCH, gap.to, id);
    FUZZ_CHECK(reader.n_events == 5 && strcmp(reader.id, id) == 0);
    FUZZ_CHECK(strcmp(reader.event_type, "cancel") == 0);
    buf_fini(&out);
    buf_fini(&reader.lines);
    buf_fini(&reader.event);
    free(copy);
    return 0;
}
