/* Event streams, letter by letter, and read back by a parser written after WHATWG HTML, 9.2.6. */
#include "proto/note/sse.h"

#include "tests/unit/written.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum err write_note(struct buf *out, struct span data, uint64_t seq)
{
    struct payload *payload = payload_new(data);
    struct notification *note =
        notification_new(payload, seq == 0 ? (struct epoch){0} : EPOCH, seq, 1, 2);
    enum err error = sse_notification(out, note);
    notification_unref(note);
    payload_unref(payload);
    return error;
}

/* What an EventSource makes of a text: the last event that it fired, and what it remembers. */
struct event_source {
    char data[256];
    char type[32];
    char last_id[64];
    char retry[16];
    unsigned n_fired;
    char pending_data[256];
    char pending_type[32];
    char pending_id[64];
};

static void source_dispatch(struct event_source *source)
{
    memcpy(source->last_id, source->pending_id, sizeof source->last_id);
    size_t len = strlen(source->pending_data);
    if (len > 0) {
        source->n_fired++;
        memcpy(source->data, source->pending_data, len - 1); /* without the last line break */
        source->data[len - 1] = '\0';
        memcpy(source->type, source->pending_type, sizeof source->type);
    }
    source->pending_data[0] = '\0';
    source->pending_type[0] = '\0';
}

static void source_field(struct event_source *source, struct span name, struct span value)
{
    char text[256] = "";
    memcpy(text, value.bytes, value.len);
    if (span_equal(name, SPAN_LITERAL("data"))) {
        size_t len = strlen(source->pending_data);
        cr_assert_lt(len + value.len + 1, sizeof source->pending_data);
        snprintf(source->pending_data + len, sizeof source->pending_data - len, "%s\n", text);
    } else if (span_equal(name, SPAN_LITERAL("event"))) {
        memcpy(source->pending_type, text, sizeof source->pending_type);
    } else if (span_equal(name, SPAN_LITERAL("id"))) {
        memcpy(source->pending_id, text, sizeof source->pending_id);
    } else if (span_equal(name, SPAN_LITERAL("retry"))) {
        memcpy(source->retry, text, sizeof source->retry);
    } else {
        cr_expect_eq(name.len, 0, "%.*s", (int)name.len, name.bytes);
    }
}

static void source_feed(struct event_source *source, struct span text)
{
    const char *end = text.bytes + text.len;
    for (const char *at = text.bytes; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        cr_assert_lt(stop, end, "a line without an end");
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (stop == at) {
            source_dispatch(source);
        } else {
            cr_assert_not_null(colon);
            const char *value = colon + 1 + (colon + 1 < stop && colon[1] == ' ');
            source_field(source, (struct span){at, (size_t)(colon - at)},
                         (struct span){value, (size_t)(stop - value)});
        }
        at = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
    }
}

Test(sse, writes_a_notification_with_its_id)
{
    struct buf out;
    buf_init(&out, 1024);
    expect_text(&out, write_note(&out, SPAN_LITERAL("{\"a\": 1}"), 118),
                "id: k3f9a2qd-118\ndata: {\"a\": 1}\n\n");
    expect_text(&out, write_note(&out, SPAN_LITERAL("{\"a\": 1}"), UINT64_MAX),
                "id: k3f9a2qd-18446744073709551615\ndata: {\"a\": 1}\n\n");
    buf_fini(&out);
}

/* So that EventSource keeps the id that it had. */
Test(sse, writes_a_notification_without_a_number_without_an_id)
{
    struct buf out;
    buf_init(&out, 1024);
    expect_text(&out, write_note(&out, SPAN_LITERAL("7"), 0), "data: 7\n\n");
    buf_fini(&out);
}

/* CONTRACT 2: a line break inside data becomes one between data: lines. */
Test(sse, writes_a_line_of_data_for_each_line)
{
    static const struct {
        const char *data;
        const char *text;
    } rows[] = {
        {"[1,\n2]", "data: [1,\ndata: 2]\n\n"},
        {"[1,\r2]", "data: [1,\ndata: 2]\n\n"},
        {"[1,\r\n2]", "data: [1,\ndata: 2]\n\n"},
        {"[1,\n\n2]", "data: [1,\ndata: \ndata: 2]\n\n"},
        {"[1,\n\r2]", "data: [1,\ndata: \ndata: 2]\n\n"},
        {"[1,\r\r\n2]", "data: [1,\ndata: \ndata: 2]\n\n"},
        {"\n1\r", "data: \ndata: 1\ndata: \n\n"},
        {"[1,\n  2]", "data: [1,\ndata:   2]\n\n"},
        {"\"\xe2\x80\xa8\"", "data: \"\xe2\x80\xa8\"\n\n"}, /* U+2028 is no line break here */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 1024);
        expect_text(&out, write_note(&out, span_of(rows[i].data), 0), rows[i].text);
        buf_fini(&out);
    }
}

/* Every text of up to six of these bytes comes out as it went in, but for the kind of breaks. */
Test(sse, is_read_back_by_an_event_source)
{
    static const char alphabet[] = "a\n\r :";
    enum { LETTERS = sizeof alphabet - 1, MAX_LEN = 6 };
    unsigned n_texts = 1;
    for (size_t len = 1; len <= MAX_LEN; len++) {
        n_texts *= LETTERS;
        for (unsigned number = 0; number < n_texts; number++) {
            char data[MAX_LEN + 1] = "";
            char expected[MAX_LEN + 1] = "";
            size_t n = 0;
            unsigned rest = number;
            for (size_t i = 0; i < len; i++, rest /= LETTERS)
                data[i] = alphabet[rest % LETTERS];
            for (size_t i = 0; i < len; i++) {
                if (data[i] == '\n' && i > 0 && data[i - 1] == '\r')
                    continue;
                expected[n++] = data[i] == '\r' ? '\n' : data[i];
            }
            struct buf out;
            struct event_source source = {0};
            buf_init(&out, 1024);
            cr_assert_eq(write_note(&out, (struct span){data, len}, 5), ERR_OK);
            source_feed(&source, buf_span(&out));
            cr_assert_eq(source.n_fired, 1);
            cr_assert_str_eq(source.data, expected);
            cr_assert_str_eq(source.last_id, "k3f9a2qd-5");
            buf_fini(&out);
        }
    }
}

Test(sse, resumes_after_a_gap)
{
    struct buf out;
    struct event_source source = {0};
    buf_init(&out, 1024);
    cr_assert_eq(sse_gap(&out, EPOCH, &(struct gap){113, 116, GAP_COLLAPSED}), ERR_OK);
    source_feed(&source, buf_span(&out));
    cr_expect_str_eq(source.last_id, "k3f9a2qd-116");
    cr_expect_str_eq(source.type, "gap");
    expect_text(
        &out, ERR_OK,
        "event: gap\nid: k3f9a2qd-116\n"
        "data: {\"epoch\":\"k3f9a2qd\",\"from\":113,\"to\":116,\"cause\":\"collapsed\"}\n\n");
    buf_fini(&out);
}

Test(sse, gives_a_reset_no_id)
{
    struct buf out;
    buf_init(&out, 1024);
    expect_text(&out, sse_gap(&out, EPOCH, &(struct gap){1, 9, GAP_RESET}),
                "event: gap\n"
                "data: {\"epoch\":\"k3f9a2qd\",\"from\":1,\"to\":9,\"cause\":\"reset\"}\n\n");
    expect_text(&out, sse_gap(&out, (struct epoch){0}, &(struct gap){0, 0, GAP_RESET}),
                "event: gap\ndata: {\"epoch\":null,\"from\":0,\"to\":0,\"cause\":\"reset\"}\n\n");
    buf_fini(&out);
}

Test(sse, cancels_without_moving_the_position)
{
    struct buf out;
    struct event_source source = {0};
    buf_init(&out, 1024);
    cr_assert_eq(write_note(&out, SPAN_LITERAL("1"), 118), ERR_OK);
    source_feed(&source, buf_span(&out));
    out.len = 0;
    cr_assert_eq(sse_cancel(&out, EPOCH, 117), ERR_OK);
    source_feed(&source, buf_span(&out));
    cr_expect_str_eq(source.type, "cancel");
    cr_expect_str_eq(source.last_id, "k3f9a2qd-118");
    expect_text(&out, ERR_OK, "event: cancel\ndata: {\"id\":\"k3f9a2qd-117\"}\n\n");
    buf_fini(&out);
}

/* A stream that ends before its first notification is resumed from where it began. */
Test(sse, begins_with_the_delay_and_an_event_of_its_own_that_has_the_position)
{
    struct buf out;
    struct event_source source = {0};
    buf_init(&out, 1024);
    cr_assert_eq(sse_begin(&out, 2750, EPOCH, 0), ERR_OK);
    source_feed(&source, buf_span(&out));
    cr_expect_eq(source.n_fired, 1);
    cr_expect_str_eq(source.type, "hello");
    cr_expect_str_eq(source.data, "{}");
    cr_expect_str_eq(source.last_id, "k3f9a2qd-0");
    cr_expect_str_eq(source.retry, "2750");
    expect_text(&out, ERR_OK, "retry: 2750\nevent: hello\nid: k3f9a2qd-0\ndata: {}\n\n");
    expect_text(&out, sse_begin(&out, 1, EPOCH, 117),
                "retry: 1\nevent: hello\nid: k3f9a2qd-117\ndata: {}\n\n");
    expect_text(&out, sse_begin(&out, UINT32_MAX, (struct epoch){0}, 0), "retry: 4294967295\n");
    buf_fini(&out);
}

Test(sse, ends_with_a_delay_that_moves_no_position)
{
    struct buf out;
    struct event_source source = {.pending_id = "k3f9a2qd-1", .last_id = "k3f9a2qd-1"};
    buf_init(&out, 1024);
    cr_assert_eq(sse_retry(&out, 18230), ERR_OK);
    source_feed(&source, buf_span(&out));
    cr_expect_eq(source.n_fired, 0);
    cr_expect_str_eq(source.last_id, "k3f9a2qd-1");
    expect_text(&out, ERR_OK, "retry: 18230\n");
    buf_fini(&out);
}

Test(sse, has_comments_that_change_nothing)
{
    struct buf out;
    struct event_source source = {.pending_id = "k3f9a2qd-1", .last_id = "k3f9a2qd-1"};
    buf_init(&out, 1024);
    cr_assert_eq(sse_comment(&out), ERR_OK);
    source_feed(&source, buf_span(&out));
    cr_expect_eq(source.n_fired, 0);
    cr_expect_str_eq(source.last_id, "k3f9a2qd-1");
    expect_text(&out, ERR_OK, ":\n");
    buf_fini(&out);
}

static enum err write_any(struct buf *out, int which)
{
    switch (which) {
    case 0:
        return write_note(out, SPAN_LITERAL("[1,\r\n2,\n3]"), 7);
    case 1:
        return sse_gap(out, EPOCH, &(struct gap){1, 2, GAP_OVERFLOW});
    case 2:
        return sse_cancel(out, EPOCH, 1);
    case 3:
        return sse_begin(out, 1000, EPOCH, 1);
    case 4:
        return sse_retry(out, 1000);
    default:
        return sse_comment(out);
    }
}

/* @microsoft/fetch-event-source hands a page each block, with an empty text where there is no data,
 * which is no JSON. */
Test(sse, ends_no_block_that_has_no_data)
{
    for (int which = 0; which <= 5; which++) {
        struct buf out;
        buf_init(&out, 1024);
        cr_assert_eq(write_any(&out, which), ERR_OK);
        const char *end = memmem(out.bytes, out.len, "\n\n", 2);
        bool has_data = memmem(out.bytes, out.len, "data: ", 6) != NULL;
        cr_expect_eq(end != NULL, has_data, "%d: %.*s", which, (int)out.len, out.bytes);
        cr_expect(out.bytes[out.len - 1] == '\n', "%d", which);
        buf_fini(&out);
    }
}

Test(sse, leaves_the_buffer_as_it_was_when_there_is_no_room)
{
    for (int which = 0; which <= 5; which++) {
        struct buf whole;
        buf_init(&whole, 1024);
        cr_assert_eq(write_any(&whole, which), ERR_OK);
        for (size_t max = 1; max < whole.len + 1; max++) {
            struct buf out;
            buf_init(&out, max);
            cr_assert_eq(buf_append(&out, "x", 1), ERR_OK);
            cr_expect_eq(write_any(&out, which), ERR_FULL, "%d, %zu", which, max);
            cr_expect_eq(out.len, 1);
            buf_fini(&out);
        }
        struct buf just;
        buf_init(&just, whole.len);
        cr_expect_eq(write_any(&just, which), ERR_OK, "%d", which);
        buf_fini(&just);
        buf_fini(&whole);
    }
}
