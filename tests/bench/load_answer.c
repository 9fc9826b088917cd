/* What publishers are answered. Of most answers the status counts, and the body is skipped. The
 * answer to lines has a line for each, and those count whose status is a word: that of a refusal is
 * a number. A body has a Content-Length or comes in chunks (RFC 9112, 7.1). */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 1024
#define LINE_MAX 1024

enum answer_part {
    PART_HEAD,
    PART_BODY,
    PART_CHUNK_SIZE,
    PART_CHUNK,
    PART_CHUNK_END,
    PART_LAST_END,
    PART_END
};

struct line {
    size_t length;
    char text[LINE_MAX + 1];
};

struct answer {
    enum answer_part part;
    size_t head_length;
    size_t left; /* of the body, or of the chunk */
    uint32_t accepted_lines;
    struct line framing, result; /* a result may go on in the next chunk */
    char head[HEAD_MAX + 1];
};

struct answer *answer_new(void)
{
    return allocate(1, sizeof(struct answer));
}

static void start_body(struct answer *answer)
{
    static const char length_field[] = "\r\ncontent-length:";
    const char *length = strcasestr(answer->head, length_field);
    if (memcmp(answer->head, "HTTP/1.1 ", 9) != 0)
        die("no answer: %s", answer->head);
    if (length) {
        answer->left = strtoul(length + sizeof length_field - 1, NULL, 10);
        answer->part = answer->left > 0 ? PART_BODY : PART_END;
    } else if (strcasestr(answer->head, "\r\ntransfer-encoding: chunked")) {
        answer->part = PART_CHUNK_SIZE;
    } else {
        die("an answer without a length: %s", answer->head);
    }
}

/* Copies what may belong to the head. Returns how many bytes did. */
static size_t take_head(struct answer *answer, const char *bytes, size_t length)
{
    size_t before = answer->head_length, space = HEAD_MAX - before;
    size_t count = length < space ? length : space;
    memcpy(answer->head + before, bytes, count);
    answer->head[before + count] = '\0';
    char *end = strstr(answer->head, "\r\n\r\n");
    if (!end) {
        if (count == space)
            die("the head of an answer is over %d bytes", HEAD_MAX);
        answer->head_length += count;
        return count;
    }
    end[2] = '\0';
    start_body(answer);
    return (size_t)(end - answer->head) + 4 - before;
}

/* Takes bytes up to the end of the line. Returns how many; *ret_is_whole: they end it. */
static size_t take_line(struct line *line, const char *bytes, size_t length, bool *ret_is_whole)
{
    const char *end = memchr(bytes, '\n', length);
    size_t count = end ? (size_t)(end - bytes) + 1 : length;
    if (count > LINE_MAX - line->length)
        die("a line of an answer is over %d bytes", LINE_MAX);
    memcpy(line->text + line->length, bytes, count);
    line->length += count;
    *ret_is_whole = end != NULL;
    if (end) {
        line->text[line->length - 1] = '\0';
        line->length = 0;
    }
    return count;
}

/* The result is printed as a JSON string. */
static void note_failure(const char *text)
{
    if (http.first_failure[0] != '\0')
        return;
    snprintf(http.first_failure, sizeof http.first_failure, "%.*s", (int)strcspn(text, "\r\n"),
             text);
    for (char *at = http.first_failure; *at; at++)
        *at = *at == '"' || *at == '\\' ? '\'' : *at;
}

static void take_results(struct answer *answer, const char *bytes, size_t length)
{
    while (length > 0) {
        bool is_whole;
        size_t count = take_line(&answer->result, bytes, length, &is_whole);
        bytes += count;
        length -= count;
        if (is_whole && strstr(answer->result.text, "\"status\":\""))
            answer->accepted_lines++;
        else if (is_whole)
            note_failure(answer->result.text);
    }
}

static size_t take_body(struct answer *answer, const char *bytes, size_t length)
{
    size_t count = length < answer->left ? length : answer->left;
    if (options.mode == MODE_LINES)
        take_results(answer, bytes, count);
    answer->left -= count;
    if (answer->left == 0)
        answer->part = answer->part == PART_BODY ? PART_END : PART_CHUNK_END;
    return count;
}

/* The size of a chunk, the empty line after it, or the one after the last: no trailers are ours. */
static size_t take_framing(struct answer *answer, const char *bytes, size_t length)
{
    bool is_whole;
    size_t count = take_line(&answer->framing, bytes, length, &is_whole);
    if (is_whole && answer->part == PART_CHUNK_SIZE) {
        answer->left = strtoul(answer->framing.text, NULL, 16);
        answer->part = answer->left > 0 ? PART_CHUNK : PART_LAST_END;
    } else if (is_whole) {
        if (answer->framing.text[0] != '\r')
            die("a chunk ends with %s", answer->framing.text);
        answer->part = answer->part == PART_CHUNK_END ? PART_CHUNK_SIZE : PART_END;
    }
    return count;
}

size_t answer_take(struct answer *answer, const char *bytes, size_t length, bool *ret_is_whole)
{
    size_t at = 0;
    while (at < length && answer->part != PART_END) {
        const char *rest = bytes + at;
        if (answer->part == PART_HEAD)
            at += take_head(answer, rest, length - at);
        else if (answer->part == PART_BODY || answer->part == PART_CHUNK)
            at += take_body(answer, rest, length - at);
        else
            at += take_framing(answer, rest, length - at);
    }
    *ret_is_whole = answer->part == PART_END;
    return at;
}

uint32_t answer_count(struct answer *answer, uint32_t pushes)
{
    bool is_accepted = answer->head[9] == '2';
    uint32_t accepted = options.mode == MODE_LINES ? answer->accepted_lines : pushes;
    if (!is_accepted)
        note_failure(answer->head);
    answer->part = PART_HEAD;
    answer->head_length = 0;
    answer->accepted_lines = 0;
    return is_accepted ? accepted : 0;
}
