#include "admin/json_out.h"

#include "proto/json/json_text.h"

#include <stdarg.h>
#include <stdio.h>

void json_out_init(struct json_out *out, size_t max)
{
    buf_init(&out->buf, max);
    out->has_failed = false;
}

void json_out_fini(struct json_out *out)
{
    buf_fini(&out->buf);
}

static void append_json(struct json_out *out, const char *bytes, size_t len)
{
    if (!out->has_failed && buf_append(&out->buf, bytes, len) != ERR_OK)
        out->has_failed = true;
}

void json_out_printf(struct json_out *out, const char *format, ...)
{
    char piece[JSON_OUT_PIECE_MAX_BYTES + 1];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof piece)
        out->has_failed = true; /* half a number would still look like JSON */
    else
        append_json(out, piece, (size_t)len);
}

void json_out_text(struct json_out *out, const char *text)
{
    append_json(out, text, strlen(text));
}

void json_out_raw(struct json_out *out, struct span json)
{
    append_json(out, json.bytes, json.len);
}

void json_out_string(struct json_out *out, struct span text)
{
    if (!out->has_failed && json_text_string(&out->buf, text) != ERR_OK)
        out->has_failed = true;
}
