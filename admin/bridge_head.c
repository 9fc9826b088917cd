#include "admin/bridge_head.h"

#include "proto/bytes/decimal.h"

#include <stdio.h>

enum err bridge_head_write(struct buf *out, const struct http_head *head, const char *bytes,
                           size_t body_len)
{
    struct span method = http_part_span(bytes, head->method);
    struct span path = http_part_span(bytes, head->path);
    enum err error = buf_append_span(out, method);
    if (error == ERR_OK)
        error = buf_append_text(out, " ");
    if (error == ERR_OK)
        error = buf_append_span(out, path);
    if (error == ERR_OK)
        error = buf_append_text(out, " HTTP/1.1\r\nHost: localhost\r\n");
    if (error == ERR_OK && body_len > 0)
        error = buf_printf(out, "Content-Length: %zu\r\n", body_len);
    return error != ERR_OK ? error : buf_append_text(out, "\r\n");
}

/* The line at the front of *rest, with its CRLF. */
static struct span take_line(struct span *rest)
{
    const char *end = memmem(rest->bytes, rest->len, "\r\n", 2);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->bytes) + 2;
    struct span line = {rest->bytes, len};
    rest->bytes += len;
    rest->len -= len;
    return line;
}

static bool read_status(struct span line, unsigned *ret_status)
{
    static const char version[] = "HTTP/1.1 ";
    const size_t at = sizeof version - 1;
    uint64_t status;
    if (line.len < at + 3 || memcmp(line.bytes, version, at) != 0 ||
        !decimal_read((struct span){line.bytes + at, 3}, 999, &status) || status < 200)
        return false;
    *ret_status = (unsigned)status;
    return true;
}

static bool copy_text(struct span text, char *out, size_t cap)
{
    if (text.len >= cap)
        return false;
    memcpy(out, text.bytes, text.len);
    out[text.len] = '\0';
    return true;
}

/* The connection to the client has lines of its own for these. */
static bool is_of_connection(struct span name)
{
    static const char *const names[] = {"Connection", "Keep-Alive", "Date"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_equal_nocase(name, span_of(names[i])))
            return true;
    }
    return false;
}

/* false: the field is malformed, or too long. */
static bool read_field(struct span line, struct bridge_answer *answer, size_t *inout_fields,
                       bool *inout_has_length)
{
    const char *colon = memchr(line.bytes, ':', line.len);
    if (colon == NULL)
        return false;
    struct span name = {line.bytes, (size_t)(colon - line.bytes)};
    struct span value = span_trim((struct span){colon + 1, line.len - name.len - 3});
    uint64_t length;
    if (is_of_connection(name))
        return true;
    if (span_equal_nocase(name, SPAN_LITERAL("Content-Type")))
        return copy_text(value, answer->content_type, sizeof answer->content_type);
    if (span_equal_nocase(name, SPAN_LITERAL("Content-Length"))) {
        bool is_number = !*inout_has_length && decimal_read(value, SIZE_MAX, &length);
        *inout_has_length = true;
        if (is_number)
            answer->body_len = length;
        return is_number;
    }
    if (span_equal_nocase(name, SPAN_LITERAL("Transfer-Encoding")) ||
        !copy_text(line, answer->fields + *inout_fields, sizeof answer->fields - *inout_fields))
        return false;
    *inout_fields += line.len;
    return true;
}

enum err bridge_head_read(struct span bytes, struct bridge_answer *ret_answer, size_t *ret_len)
{
    size_t n_fields = 0;
    bool has_length = false;
    const char *end = memmem(bytes.bytes, bytes.len, "\r\n\r\n", 4);
    *ret_len = 0;
    if (end == NULL)
        return bytes.len > BRIDGE_ANSWER_MAX_BYTES ? ERR_BAD_HEAD : ERR_OK;
    struct span rest = {bytes.bytes, (size_t)(end - bytes.bytes) + 2};
    ret_answer->content_type[0] = ret_answer->fields[0] = '\0';
    if (!read_status(take_line(&rest), &ret_answer->status))
        return ERR_BAD_HEAD;
    while (rest.len > 0) {
        if (!read_field(take_line(&rest), ret_answer, &n_fields, &has_length))
            return ERR_BAD_HEAD;
    }
    if (!has_length)
        return ERR_BAD_HEAD;
    *ret_len = (size_t)(end - bytes.bytes) + 4;
    return ERR_OK;
}
