#include "proto/note/sse.h"

#include "proto/bytes/put.h"
#include "proto/note/envelope.h"

#include <inttypes.h>

/* ---- notifications: their size is computed first, so that room is reserved once ---- */

/* The first LF or CR from `at` on, or `end`. */
static const char *find_break(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r')
        at++;
    return at;
}

/* The position after the LF, CR or CRLF at `at`. */
static const char *skip_break(const char *at, const char *end)
{
    return *at == '\r' && end - at > 1 && at[1] == '\n' ? at + 2 : at + 1;
}

/* Most data is one line, which can be checked and copied as a whole. */
static bool is_one_line(struct span data)
{
    return memchr(data.bytes, '\n', data.len) == NULL && memchr(data.bytes, '\r', data.len) == NULL;
}

#define NEXT_LINE "\ndata: "

static size_t lines_size(struct span data)
{
    size_t size = data.len;
    const char *end = data.bytes + data.len;
    for (const char *at = data.bytes; (at = find_break(at, end)) < end;) {
        const char *next = skip_break(at, end);
        size = size - (size_t)(next - at) + sizeof NEXT_LINE - 1;
        at = next;
    }
    return size;
}

static char *put_lines(char *out, struct span data)
{
    const char *at = data.bytes;
    const char *end = data.bytes + data.len;
    for (;;) {
        const char *mark = find_break(at, end);
        out = put_span(out, (struct span){at, (size_t)(mark - at)});
        if (mark == end)
            return out;
        out = PUT_LITERAL(out, NEXT_LINE);
        at = skip_break(mark, end);
    }
}

enum err sse_notification(struct buf *out, const struct notification *note)
{
    char front[32 + MESSAGE_ID_MAX_BYTES];
    char *at = front;
    struct span data = payload_data(note->payload);
    bool is_plain = is_one_line(data);
    if (note->seq != 0) {
        at = PUT_LITERAL(at, "id: ");
        at += message_id_write(note->epoch, note->seq, at);
        at = PUT_LITERAL(at, "\n");
    }
    at = PUT_LITERAL(at, "data: ");
    size_t front_len = (size_t)(at - front);

    enum err error = buf_reserve(out, front_len + (is_plain ? data.len : lines_size(data)) + 2);
    if (error != ERR_OK)
        return error;
    at = put_span(out->bytes + out->len, (struct span){front, front_len});
    at = is_plain ? put_span(at, data) : put_lines(at, data);
    at = PUT_LITERAL(at, "\n\n");
    out->len = (size_t)(at - out->bytes);
    return ERR_OK;
}

/* ---- the rest of a stream ---- */

enum err sse_gap(struct buf *out, struct epoch epoch, const struct gap *gap)
{
    size_t before = out->len;
    char id[MESSAGE_ID_MAX_BYTES];
    enum err error = buf_append_text(out, "event: gap\n");
    if (error == ERR_OK && gap->cause != GAP_RESET && !epoch_is_none(epoch)) {
        message_id_write(epoch, gap->to, id);
        error = buf_printf(out, "id: %s\n", id);
    }
    if (error == ERR_OK)
        error = buf_append_text(out, "data: {");
    if (error == ERR_OK)
        error = envelope_gap_members(out, epoch, gap);
    if (error == ERR_OK)
        error = buf_append_text(out, "}\n\n");
    if (error != ERR_OK)
        out->len = before;
    return error;
}

enum err sse_cancel(struct buf *out, struct epoch epoch, uint64_t seq)
{
    char id[MESSAGE_ID_MAX_BYTES];
    message_id_write(epoch, seq, id);
    return buf_printf(out, "event: cancel\ndata: {\"id\":\"%s\"}\n\n", id);
}

/* An empty line is written after data and nowhere else. By the standard a block without data fires
 * no event (9.2.6), but some clients written in JavaScript pass the page an empty text, which it
 * fails to parse as JSON, or forget the last event id. A comment and `retry:` take effect when
 * their line ends. */

enum err sse_begin(struct buf *out, uint32_t retry_ms, struct epoch epoch, uint64_t seq)
{
    char id[MESSAGE_ID_MAX_BYTES];
    if (epoch_is_none(epoch))
        return sse_retry(out, retry_ms);
    message_id_write(epoch, seq, id);
    return buf_printf(out, "retry: %" PRIu32 "\nevent: hello\nid: %s\ndata: {}\n\n", retry_ms, id);
}

enum err sse_comment(struct buf *out)
{
    return buf_append_text(out, ":\n");
}

enum err sse_retry(struct buf *out, uint32_t retry_ms)
{
    return buf_printf(out, "retry: %" PRIu32 "\n", retry_ms);
}
