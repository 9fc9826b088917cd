#include "proto/http/http_answer.h"

#include "proto/json/json_text.h"

#include <stdio.h>
#include <time.h>

enum { RETRY_AFTER_S = 5, PROBLEM_MAX_BYTES = 4096 };

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

static enum err write_length(struct buf *out, int64_t len)
{
    if (len == HTTP_ANSWER_CHUNKED)
        return buf_append_text(out, "Transfer-Encoding: chunked\r\n");
    return len < 0 ? ERR_OK : buf_printf(out, "Content-Length: %lld\r\n", (long long)len);
}

/* The lines between the status line, with its Date, and the empty line. */
static enum err write_common(struct buf *out, const char *headers, const struct http_terms *terms)
{
    enum err error = buf_printf(out,
                                "Cache-Control: no-store\r\n"
                                "X-Content-Type-Options: nosniff\r\n"
                                "%s",
                                headers != NULL ? headers : "");
    if (error == ERR_OK)
        error = write_cors(out, terms->reader);
    if (error == ERR_OK)
        error = terms->keep_s > 0
                    ? buf_printf(out, "Connection: keep-alive\r\nKeep-Alive: timeout=%u\r\n\r\n",
                                 terms->keep_s)
                    : buf_append_text(out, "Connection: close\r\n\r\n");
    return error;
}

enum err http_answer_head(struct buf *out, unsigned status, const char *content_type,
                          const char *headers, const struct http_terms *terms, int64_t len)
{
    enum err error = buf_printf(out, "HTTP/1.1 %u %s\r\n", status, phrase_of(status));
    if (error == ERR_OK)
        error = write_date(out, terms);
    if (error == ERR_OK && content_type != NULL)
        error = buf_printf(out, "Content-Type: %s\r\n", content_type);
    if (error == ERR_OK)
        error = write_length(out, len);
    return error != ERR_OK ? error : write_common(out, headers, terms);
}

enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                     const char *headers, const struct http_terms *terms, struct span body)
{
    int64_t len = content_type != NULL ? (int64_t)body.len : HTTP_ANSWER_TO_END;
    enum err error = http_answer_head(out, status, content_type, headers, terms, len);
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
        snprintf(headers, sizeof headers, "Retry-After: %d\r\n", RETRY_AFTER_S);
    buf_init(&body, PROBLEM_MAX_BYTES);
    enum err result = write_problem(&body, error, detail, field, request_id);
    if (result == ERR_OK)
        result =
            http_answer(out, status, "application/problem+json", headers, terms, buf_span(&body));
    buf_fini(&body);
    return result;
}
