/* A client of the admin API that is nothing but a socket. */
#ifndef HERALD_TESTS_ADMIN_CLIENT_H
#define HERALD_TESTS_ADMIN_CLIENT_H

#include "proto/bytes/hex.h"
#include "proto/bytes/span.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The socket's path; the test sets it before it opens a connection. */
static char client_path[64];

static inline int client_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", client_path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void client_send(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        cr_assert_gt(n, 0, "the daemon has hung up");
        bytes += n;
        len -= (size_t)n;
    }
}

static inline void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

/* The head of a POST; `more` are whole lines of it. */
static inline void client_head(int fd, const char *path, const char *type, const char *more)
{
    char head[1024];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%s\r\n",
             path, type, more);
    client_say(fd, head);
}

static inline void client_post(int fd, const char *path, const char *type, const char *more,
                               struct span body)
{
    char lines[512];
    snprintf(lines, sizeof lines, "%sContent-Length: %zu\r\n", more, body.len);
    client_head(fd, path, type, lines);
    client_send(fd, body.bytes, body.len);
}

/* An answer as it arrives: what has been looked at once is not looked at again, because an answer
 * of many lines is several megabytes long. For the same reason nothing here uses the functions of
 * string.h that end at a NUL: with strict_string_checks AddressSanitizer measures the whole text at
 * each call. */
struct answer {
    unsigned status; /* 0: hung up without one */
    char *text;      /* head and body, with a NUL */
    size_t len;
    char *body; /* inside; at the end of the text while the head is not complete */
    size_t body_len;
    size_t wanted; /* length of head and body; 0: the body is in chunks */
};

static inline void answer_free(struct answer *answer)
{
    free(answer->text);
}

static inline bool has_part(const char *text, size_t len, const char *part)
{
    return memmem(text, len, part, strlen(part)) != NULL;
}

/* Puts the chunks together in place. false: they are broken. */
static inline bool join_chunks(struct answer *answer)
{
    const char *from = answer->body;
    const char *end = answer->text + answer->len;
    char *to = answer->body;
    for (;;) {
        size_t len = 0;
        const char *digits = from;
        for (; from < end && hex_digit(*from) >= 0; from++)
            len = len * 16 + (size_t)hex_digit(*from);
        if (from == digits || end - from < 4 || memcmp(from, "\r\n", 2) != 0)
            return false;
        from += 2;
        if (len == 0)
            break;
        if (len > (size_t)(end - from) || end - from - (ptrdiff_t)len < 2)
            return false;
        memmove(to, from, len);
        to += len;
        from += len + 2;
    }
    *to = '\0';
    answer->body_len = (size_t)(to - answer->body);
    return true;
}

/* The head is complete, and the body begins after it. */
static inline void read_head(struct answer *answer, size_t head_len)
{
    char *text = answer->text;
    answer->body = text + head_len;
    text[head_len - 1] = '\0'; /* so that strtoul and strcasestr end with the head */
    const char *length = strcasestr(text, "\r\nContent-Length:");
    answer->wanted = length == NULL ? 0 : head_len + strtoul(length + 17, NULL, 10);
    answer->status = (unsigned)strtoul(text + strlen("HTTP/1.1 "), NULL, 10);
    text[head_len - 1] = '\n';
}

/* Only the bytes from `seen` on are new. */
static inline bool is_whole(struct answer *answer, size_t seen)
{
    if (answer->body == NULL) {
        size_t from = seen < 3 ? 0 : seen - 3;
        const char *end = memmem(answer->text + from, answer->len - from, "\r\n\r\n", 4);
        if (end == NULL)
            return false;
        read_head(answer, (size_t)(end + 4 - answer->text));
    }
    if (answer->wanted > 0)
        return answer->len >= answer->wanted;
    return memcmp(answer->text + answer->len - 5, "0\r\n\r\n", 5) == 0;
}

/* One answer, at most 20 s; nothing may follow it. */
static inline struct answer client_answer(int fd)
{
    size_t cap = 65536;
    size_t seen = 0;
    struct answer answer = {.text = malloc(cap)};
    do {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (cap - answer.len < 16384) {
            cap *= 2;
            size_t head_len = answer.body == NULL ? 0 : (size_t)(answer.body - answer.text);
            answer.text = realloc(answer.text, cap);
            answer.body = head_len == 0 ? NULL : answer.text + head_len;
        }
        cr_assert_eq(poll(&wait, 1, 20000), 1, "no answer in time: %.*s", (int)answer.len,
                     answer.text);
        ssize_t n = recv(fd, answer.text + answer.len, cap - answer.len - 1, 0);
        if (n <= 0)
            break;
        seen = answer.len;
        answer.len += (size_t)n;
    } while (!is_whole(&answer, seen));
    answer.text[answer.len] = '\0';
    if (answer.body == NULL) {
        answer.body = answer.text + answer.len;
        return answer;
    }
    answer.body_len = answer.len - (size_t)(answer.body - answer.text);
    cr_assert(answer.wanted > 0 || join_chunks(&answer), "a broken answer");
    return answer;
}

static inline void expect_answer(int fd, unsigned status, const char *part)
{
    struct answer answer = client_answer(fd);
    cr_expect_eq(answer.status, status, "%s", answer.text);
    cr_expect_not_null(strstr(answer.text, part), "%s is not in %s", part, answer.text);
    answer_free(&answer);
}

/* One request on a connection of its own. */
static inline void expect_get(const char *method, const char *target, unsigned status,
                              const char *part)
{
    char head[512];
    int fd = client_open();
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, target);
    client_say(fd, head);
    expect_answer(fd, status, part);
    close(fd);
}

static inline void expect_post(const char *path, const char *type, const char *more,
                               const char *body, unsigned status, const char *part)
{
    int fd = client_open();
    client_post(fd, path, type, more, span_of(body));
    expect_answer(fd, status, part);
    close(fd);
}

#endif
