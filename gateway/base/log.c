/* One event becomes one line. log_fields builds it on the stack (make_line: the time, the level and
 * the event, then the fields, each quoted as the format requires) and passes the whole line to the
 * writer, so that lines of several threads are not mixed. A field that does not fit is removed as a
 * whole and the line gets cut=true, so that each line is well formed. The writer (log_writer.h)
 * decides when a line reaches stderr, and calls describe_lost for a line that reports how many were
 * dropped. */
#include "gateway/base/log.h"

#include "gateway/base/clock.h"
#include "gateway/base/log_writer.h"
#include "proto/bytes/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic(enum log_level) least_level = LOG_INFO;
static enum log_format line_format = LOG_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Room for the end of a line: cut=true, the closing brace, the newline. */
enum { TAIL_BYTES = 24 };

struct line {
    size_t len;
    bool is_over; /* a field did not fit */
    char bytes[LOG_LINE_MAX_BYTES];
};

void log_setup(enum log_level level, enum log_format format)
{
    log_set_level(level);
    line_format = format;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&least_level, level, memory_order_relaxed);
}

bool log_is_enabled(enum log_level level)
{
    return level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static void put_bytes(struct line *line, const char *bytes, size_t len)
{
    if (line->is_over || len > sizeof line->bytes - TAIL_BYTES - line->len) {
        line->is_over = true;
        return;
    }
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put_bytes(line, text, strlen(text));
}

PRINTF_LIKE(2, 3) static void put_format(struct line *line, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof text);
    put_bytes(line, text, (size_t)len);
}

/* The length of the UTF-8 character at the beginning of s; 0: there is no valid one. */
static size_t character_len(struct span s)
{
    unsigned char first = (unsigned char)s.bytes[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return len <= s.len && utf8_is_valid((struct span){s.bytes, len}) ? len : 0;
}

static bool is_c1_control(const char *bytes, size_t len)
{
    return len == 2 && (unsigned char)bytes[0] == 0xc2 && (unsigned char)bytes[1] < 0xa0;
}

/* Cuts a text to LOG_TEXT_MAX_BYTES, between two characters. */
static struct span cut_text(struct span text)
{
    if (text.len <= LOG_TEXT_MAX_BYTES)
        return text;
    size_t len = LOG_TEXT_MAX_BYTES;
    for (size_t back = 0; back < 3 && ((unsigned char)text.bytes[len] & 0xc0) == 0x80; back++)
        len--;
    return (struct span){text.bytes, len};
}

static void put_quoted(struct line *line, struct span whole)
{
    struct span text = cut_text(whole);
    put_text(line, "\"");
    for (size_t i = 0; i < text.len;) {
        const char *at = text.bytes + i;
        unsigned char c = (unsigned char)*at;
        size_t len = character_len((struct span){at, text.len - i});
        if (len == 0) /* the value gets a backslash and x, because JSON has no escape for a byte */
            put_format(line, line_format == LOG_JSON ? "\\\\x%02x" : "\\x%02x", c);
        else if (c == '"' || c == '\\')
            put_format(line, "\\%c", c);
        else if (c == '\n')
            put_text(line, "\\n");
        else if (c == '\r')
            put_text(line, "\\r");
        else if (c == '\t')
            put_text(line, "\\t");
        else if (c < 0x20 || c == 0x7f)
            put_format(line, "\\u%04x", c);
        else if (is_c1_control(at, len))
            put_format(line, "\\u%04x", (unsigned char)at[1]);
        else
            put_bytes(line, at, len);
        i += len == 0 ? 1 : len;
    }
    if (text.len < whole.len)
        put_text(line, "...");
    put_text(line, "\"");
}

static bool needs_quotes(struct span text)
{
    if (text.len == 0 || text.len > LOG_TEXT_MAX_BYTES)
        return true;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return false;
}

static void put_field(struct line *line, const struct log_field *field)
{
    size_t before = line->len;
    put_format(line, line_format == LOG_JSON ? ",\"%s\":" : " %s=", field->key);
    if (field->kind == LOG_FIELD_INT)
        put_format(line, "%lld", (long long)field->number);
    else if (line_format == LOG_JSON || needs_quotes(field->text))
        put_quoted(line, field->text);
    else
        put_bytes(line, field->text.bytes, field->text.len);
    if (line->is_over)
        line->len = before;
}

static void put_start(struct line *line, enum log_level level)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[40];
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    bool is_json = line_format == LOG_JSON;
    put_text(line, is_json ? "{\"time\":\"" : "time=");
    put_bytes(line, text, len);
    put_format(line, ".%03dZ", (int)(now_ms % 1000));
    put_text(line, is_json ? "\",\"level\":\"" : " level=");
    put_text(line, level_names[level]);
    put_text(line, is_json ? "\"" : "");
}

static void make_line(struct line *line, enum log_level level, const char *event,
                      const struct log_field *fields, size_t n)
{
    line->len = 0;
    line->is_over = false;
    put_start(line, level);
    struct log_field event_field = LOG_TEXT("event", event);
    put_field(line, &event_field);
    for (size_t i = 0; i < n && !line->is_over; i++)
        put_field(line, &fields[i]);

    bool is_json = line_format == LOG_JSON;
    const char *end =
        !line->is_over ? (is_json ? "}\n" : "\n") : (is_json ? ",\"cut\":true}\n" : " cut=true\n");
    memcpy(line->bytes + line->len, end, strlen(end)); /* TAIL_BYTES are reserved for it */
    line->len += strlen(end);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    if (!log_is_enabled(level))
        return;
    struct line line;
    make_line(&line, level, event, fields, n);
    log_writer_put(line.bytes, line.len);
}

static size_t describe_lost(uint64_t n_lines, char out[LOG_LINE_MAX_BYTES])
{
    struct line line;
    make_line(&line, LOG_WARN, "lines of the log were dropped: standard error was not read",
              &LOG_INT("lines", n_lines), 1);
    memcpy(out, line.bytes, line.len);
    return line.len;
}

enum err log_start(void)
{
    return log_writer_start(describe_lost);
}

void log_flush(void)
{
    log_writer_flush();
}

void log_stop(void)
{
    log_writer_stop();
}

void log_failure(const char *why)
{
    char text[2048];
    int len = snprintf(text, sizeof text - 1, "herald: %s", why);
    if (len < 0)
        return;
    size_t end = (size_t)len < sizeof text - 2 ? (size_t)len : sizeof text - 2;
    text[end] = '\n';
    log_writer_put(text, end + 1);
}
