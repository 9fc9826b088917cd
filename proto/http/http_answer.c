/* An answer's head is written into one room that is large enough for all of its parts, without a
 * check for each: every answer has one, and they are counted in the cost of a push. Refusals add a
 * problem document and the fields that belong to their status. */
#include "proto/http/http_answer.h"

#include "proto/bytes/put.h"
#include "proto/json/json_text.h"

#include <stdio.h>
#include <time.h>

enum {
    RETRY_AFTER_MAX_S = 11,
    PROBLEM_MAX_BYTES = 4096,
    FIXED_MAX_BYTES = 512, /* of a head without its date, type, headers and origin */
};

static const char *phrase_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Error";
}

static enum err write_cors(struct buf *out, struct span origin)
{
    if (origin.len == 0)
        return ERR_OK;
    return buf_printf(out,
                      "Access-Control-Allow-Origin: %.*s\r\n"
                      "Access-Control-Allow-Credentials: true\r\n"
                      "Vary: Origin\r\n",
                      (int)origin.len, origin.bytes);
}

/* strftime would write the names of the locale; HTTP wants the English ones. */
void http_date_write(int64_t unix_s, char out[HTTP_DATE_MAX_BYTES])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)unix_s;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    snprintf(out, HTTP_DATE_MAX_BYTES, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
             days[utc.tm_wday], utc.tm_mday, months[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour,
             utc.tm_min, utc.tm_sec);
}

static enum err write_date(struct buf *out, const struct http_terms *terms)
{
    return terms->date == NULL ? ERR_OK : buf_append_text(out, terms->date);
}

enum err http_stream_head(struct buf *out, const struct http_terms *terms)
{
    size_t before = out->len;
    enum err error =
        buf_append_text(out, "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/event-stream\r\n"
                             "Cache-Control: no-store\r\n"
                             "X-Accel-Buffering: no\r\n" /* nginx passes it on at once */
                             "X-Content-Type-Options: nosniff\r\n");
    if (error == ERR_OK)
        error = write_date(out, terms);
    if (error == ERR_OK)
        error = write_cors(out, terms->reader);
    if (error == ERR_OK)
        error = buf_append_text(out, "Connection: close\r\n\r\n");
    if (error != ERR_OK)
        out->len = before;
    return error;
}

static char *put_text(char *at, const char *text)
{
    return text == NULL ? at : put_span(at, span_of(text));
}

static char *put_field(char *at, struct span name, struct span value)
{
    return PUT_LITERAL(put_span(put_span(at, name), value), "\r\n");
}

/* What answers of pages have besides (the Fetch standard's CORS). */
static char *put_cors(char *at, struct span origin)
{
    at = put_field(at, SPAN_LITERAL("Access-Control-Allow-Origin: "), origin);
    return PUT_LITERAL(at, "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n");
}

static char *put_length(char *at, int64_t len)
{
    if (len == HTTP_ANSWER_CHUNKED)
        return PUT_LITERAL(at, "Transfer-Encoding: chunked\r\n");
    if (len < 0)
        return at;
    return PUT_LITERAL(put_number(PUT_LITERAL(at, "Content-Length: "), (uint64_t)len), "\r\n");
}

static char *put_keep(char *at, unsigned keep_s)
{
    if (keep_s == 0)
        return PUT_LITERAL(at, "Connection: close\r\n\r\n");
    at = PUT_LITERAL(at, "Connection: keep-alive\r\nKeep-Alive: timeout=");
    return PUT_LITERAL(put_number(at, keep_s), "\r\n\r\n");
}

static size_t text_len(const char *text)
{
    return text == NULL ? 0 : strlen(text);
}

/* With room for `more` bytes after it. */
static enum err write_head(struct buf *out, unsigned status, const char *content_type,
                           const char *headers, const struct http_terms *terms, int64_t len,
                           size_t more)
{
    size_t head_len = FIXED_MAX_BYTES + text_len(terms->date) + text_len(content_type) +
                      text_len(headers) + terms->reader.len;
    enum err error = buf_reserve(out, head_len + more);
    if (error != ERR_OK)
        return error;
    char *at = PUT_LITERAL(out->bytes + out->len, "HTTP/1.1 ");
    at = PUT_LITERAL(put_number(at, status), " ");
    at = PUT_LITERAL(put_text(at, phrase_of(status)), "\r\n");
    at = put_text(at, terms->date);
    if (content_type != NULL)
        at = put_field(at, SPAN_LITERAL("Content-Type: "), span_of(content_type));
    at = put_length(at, len);
    at = PUT_LITERAL(at, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    at = put_text(at, headers);
    if (terms->reader.len > 0)
        at = put_cors(at, terms->reader);
    at = put_keep(at, terms->keep_s);
    out->len = (size_t)(at - out->bytes);
    return ERR_OK;
}

enum err http_answer_head(struct buf *out, unsigned status, const char *content_type,
                          const char *headers, const struct http_terms *terms, int64_t len)
{
    return write_head(out, status, content_type, headers, terms, len, 0);
}

enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                     const char *headers, const struct http_terms *terms, struct span body)
{
    int64_t len = content_type != NULL ? (int64_t)body.len : HTTP_ANSWER_TO_END;
    enum err error = write_head(out, status, content_type, headers, terms, len, body.len);
    return error != ERR_OK ? error : buf_append_span(out, body);
}

void http_request_id(uint64_t request_id, char out[HTTP_REQUEST_ID_MAX_BYTES])
{
    snprintf(out, HTTP_REQUEST_ID_MAX_BYTES, "%016llx", (unsigned long long)request_id);
}

static enum err write_problem(struct buf *body, enum err error, const char *detail,
                              const char *field, uint64_t request_id)
{
    char id[HTTP_REQUEST_ID_MAX_BYTES];
    http_request_id(request_id, id);
    enum err result =
        buf_printf(body, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%u,\"detail\":",
                   error_problem_type(error), error_title(error), error_http_status(error));
    if (result == ERR_OK)
        result = json_text_string(body, span_of(detail != NULL ? detail : error_title(error)));
    if (result == ERR_OK && field != NULL)
        result = buf_append_text(body, ",\"field\":");
    if (result == ERR_OK && field != NULL)
        result = json_text_string(body, span_of(field));
    return result != ERR_OK ? result : buf_printf(body, ",\"requestId\":\"%s\"}\n", id);
}

enum err http_refusal(struct buf *out, enum err error, const char *detail, const char *field,
                      const char *allow, const struct http_terms *terms, uint64_t request_id)
{
    char headers[160] = "";
    unsigned status = error_http_status(error);
    struct buf body;
    if (status == 405 && allow != NULL)
        snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    else if (status == 401)
        snprintf(headers, sizeof headers, "WWW-Authenticate: Bearer\r\n");
    else if (status == 426)
        snprintf(headers, sizeof headers, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    else if (status == 503 || status == 429)
        snprintf(headers, sizeof headers, "Retry-After: %d\r\n",
                 1 + (int)(request_id % RETRY_AFTER_MAX_S));
    buf_init(&body, PROBLEM_MAX_BYTES);
    enum err result = write_problem(&body, error, detail, field, request_id);
    if (result == ERR_OK)
        result =
            http_answer(out, status, "application/problem+json", headers, terms, buf_span(&body));
    buf_fini(&body);
    return result;
}
