#include "gateway/http_answer.h"

#include <stdio.h>

enum { RETRY_AFTER_S = 5 };

static const char *phrase_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {426, "Upgrade Required"},
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

enum err http_answer(struct buf *out, unsigned status, const char *content_type,
                     const char *headers, struct span body)
{
    enum err error = buf_printf(out,
                                "HTTP/1.1 %u %s\r\n"
                                "Content-Type: %s\r\n"
                                "Content-Length: %zu\r\n"
                                "Cache-Control: no-store\r\n"
                                "X-Content-Type-Options: nosniff\r\n"
                                "%s"
                                "Connection: close\r\n\r\n",
                                status, phrase_of(status), content_type, body.len,
                                headers != NULL ? headers : "");
    return error != ERR_OK ? error : buf_append_span(out, body);
}

enum err http_refusal(struct buf *out, enum err error, const char *detail, const char *field,
                      const char *allow, uint64_t request_id)
{
    char body[512];
    char headers[160] = "";
    unsigned status = error_http_status(error);
    int len = snprintf(body, sizeof body,
                       "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%.200s\"",
                       error_problem_type(error), error_title(error), status,
                       detail != NULL ? detail : error_title(error));
    if (field != NULL)
        len += snprintf(body + len, sizeof body - (size_t)len, ",\"field\":\"%s\"", field);
    len += snprintf(body + len, sizeof body - (size_t)len, ",\"requestId\":\"%016llx\"}\n",
                    (unsigned long long)request_id);

    if (status == 405 && allow != NULL)
        snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    else if (status == 426)
        snprintf(headers, sizeof headers, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    else if (status == 503)
        snprintf(headers, sizeof headers, "Retry-After: %d\r\n", RETRY_AFTER_S);
    return http_answer(out, status, "application/problem+json", headers,
                       (struct span){body, (size_t)len});
}
