/* The head of an HTTP/1.1 request (RFC 9112, sections 2-5), strictly: CRLF only, no obs-fold, no
 * space before the colon, no NUL, token characters only in names, one Host; targets in origin-form,
 * and in absolute-form, which every server must take (3.2.2). HTTP/1.0, which proxies speak, is
 * read in the same way, but that its Host may be missing and its body's length must be told.
 *
 * Incremental: the caller keeps all bytes of the head in one growing buffer and calls
 * http_head_parse after each read; the parser remembers where it was, so no byte is looked at
 * twice. Every result is an offset into that buffer. Pure; the room for the fields is the caller's,
 * too. */
#ifndef HERALD_PROTO_HTTP_HEAD_H
#define HERALD_PROTO_HTTP_HEAD_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* The largest head that a caller may ask for, and what is usual. A field has 128 bytes of a head on
 * average: that many fields are taken. */
enum {
    HTTP_HEAD_MAX_BYTES = 32768,
    HTTP_HEAD_USUAL_BYTES = 8192,
    HTTP_HEAD_FIELD_BYTES = 128,
    HTTP_HEAD_USUAL_FIELDS = HTTP_HEAD_USUAL_BYTES / HTTP_HEAD_FIELD_BYTES,
};

enum http_head_result {
    HTTP_HEAD_MORE, /* valid so far */
    HTTP_HEAD_DONE, /* head->len bytes are the head, its empty line included */
    HTTP_HEAD_BAD,  /* head->error and head->detail say why */
};

/* Bytes of the caller's buffer, by offset, so that the buffer may move. */
struct http_part {
    uint16_t at;
    uint16_t len;
};

struct http_field {
    struct http_part name;
    struct http_part value; /* without the white space around it */
};

struct http_head {
    enum err error;     /* ERR_BAD_HEAD, ERR_HEAD_TOO_LARGE (bytes or fields), ERR_HTTP_VERSION */
    const char *detail; /* a constant sentence */
    uint16_t len;       /* when done: the head's length in bytes */
    uint16_t n_fields;
    bool is_1_0; /* HTTP/1.0; else 1.1 */
    struct http_part method;
    struct http_part target;   /* as sent: "/ws?userId=42", "http://example.com/ws?userId=42" */
    struct http_part path;     /* the part of target before '?' */
    struct http_part query;    /* the part behind '?'; len 0 if none */
    struct http_part host;     /* of an absolute target; else the value of Host; len 0 if none */
    struct http_field *fields; /* the caller's room */
    uint16_t max_bytes;
    uint16_t max_fields;
    uint16_t at;    /* parser: how far it has read */
    uint16_t start; /* parser: where the present part began */
    uint8_t state;  /* parser */
};

/* For a head of at most `max_bytes`, up to HTTP_HEAD_MAX_BYTES, and as many fields as there is room
 * for. */
void http_head_init(struct http_head *head, size_t max_bytes, struct http_field *fields,
                    size_t max_fields);

/* `bytes` are all bytes received since the head began, `len` their number. */
enum http_head_result http_head_parse(struct http_head *head, const char *bytes, size_t len);

/* The rest is for a head that is DONE; `bytes` is the same buffer. */
static inline struct span http_part_span(const char *bytes, struct http_part part)
{
    return (struct span){bytes + part.at, part.len};
}

/* The first field of that name (compared without case); false if there is none. */
bool http_head_find(const struct http_head *head, const char *bytes, const char *name,
                    struct span *ret_value);

/* How many fields have that name. */
unsigned http_head_count(const struct http_head *head, const char *bytes, const char *name);

/* Does a comma-separated list field contain that token, without case, over all fields of the name
 * (RFC 9110, 5.6.1)? */
bool http_head_has_token(const struct http_head *head, const char *bytes, const char *name,
                         const char *token);

/* The length of the body behind the head. false: it is not told beforehand (Transfer-Encoding), or
 * is more than max. */
bool http_head_body_len(const struct http_head *head, const char *bytes, size_t max,
                        size_t *ret_len);

/* May it stand in a token (RFC 9110, 5.6.2)? */
bool http_is_token_char(char c);

#endif
