/* What publishers send. A request is built once per publisher; from push to push only the users'
 * digits and the marks change, and all of them have a fixed length. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LENGTH 32 /* what identifies a push in its mark */

size_t request_length;
static char *first_request;
static size_t body_at;          /* of the request */
static size_t user_at, data_at; /* of a body, or of a line */
static size_t body_length;      /* the same */
static const char user_front[] = "{\"userId\":\"u";
static size_t key_at; /* of the request; 0: there is none */

static char *put_text(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

/* A body, or a line, up to the data. */
static char *build_front(void)
{
    uint32_t users = (uint32_t)options.subscribers;
    char *front = allocate(users + 24, USER_LENGTH + 8), *at = front;
    if (options.mode == MODE_FANOUT) {
        at = put_text(at, "{\"userIds\":[");
        for (uint32_t i = 0; i < users; i++)
            at += snprintf(at, USER_LENGTH + 4, "%s\"u%06u\"", i > 0 ? "," : "",
                           (uint32_t)options.first_user + i);
        at = put_text(at, "]");
    } else {
        at = put_text(put_text(at, user_front), "000000\"");
    }
    if (options.ttl >= 0)
        at += snprintf(at, 24, ",\"ttl\":%ld", options.ttl);
    if (options.wait >= 0)
        at += snprintf(at, 24, ",\"wait\":%ld", options.wait);
    put_text(at, ",\"data\":");
    return front;
}

static uint32_t line_count(void)
{
    return options.mode == MODE_LINES ? (uint32_t)options.lines : 1;
}

/* Returns its length. The key is filled in for each push. */
static size_t put_head(char *at, size_t cap, bool has_lines, size_t length)
{
    int head = snprintf(at, cap,
                        "POST /push HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                        "Content-Type: application/%s\r\nContent-Length: %zu\r\n",
                        ntohs(options.admin[0].sin_port), has_lines ? "x-ndjson" : "json", length);
    if (options.keys)
        head += snprintf(at + head, cap - (size_t)head, "Idempotency-Key: %*s\r\n", KEY_LENGTH, "");
    if (options.keys)
        key_at = (size_t)head - 2 - KEY_LENGTH;
    head += snprintf(at + head, cap - (size_t)head, "\r\n");
    return (size_t)head;
}

void request_init(void)
{
    bool has_lines = options.mode == MODE_LINES;
    char *front = build_front();
    user_at = sizeof user_front - 1;
    data_at = strlen(front);
    body_length = data_at + (size_t)options.size + 1 + has_lines;
    first_request = allocate(1, body_length * line_count() + 256);
    body_at = put_head(first_request, 256, has_lines, body_length * line_count());
    request_length = body_at + body_length * line_count();
    for (char *body = first_request + body_at; body < first_request + request_length;
         body += body_length) {
        memcpy(body, front, data_at);
        body[data_at + (size_t)options.size] = '}';
        if (has_lines)
            body[body_length - 1] = '\n';
    }
    free(front);
}

char *request_new(void)
{
    char *request = allocate(1, request_length);
    memcpy(request, first_request, request_length);
    return request;
}

static void put_user(char *body, uint32_t user)
{
    uint32_t rest = (uint32_t)options.first_user + user;
    for (int digit = USER_LENGTH - 2; digit >= 0; digit--, rest /= 10)
        body[user_at + (size_t)digit] = (char)('0' + rest % 10);
}

uint32_t request_fill(char *request, uint32_t publisher, uint32_t user, uint64_t stamp)
{
    char *body = request + body_at;
    for (uint32_t i = 0; i < line_count(); i++, body += body_length) {
        if (options.mode == MODE_LINES)
            user = plan_user_of(publisher);
        if (user != USER_ALL)
            put_user(body, user);
        tally_mark(body + data_at, user, stamp);
        if (key_at > 0)
            memcpy(request + key_at, body + data_at + MARK_LENGTH - 1 - KEY_LENGTH, KEY_LENGTH);
    }
    return line_count();
}
