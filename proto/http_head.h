/* The head of an HTTP/1.1 request (RFC 9112, sections 2-5), strictly: CRLF only, no obs-fold, no
 * space before the colon, no NUL, token characters only in names, one Host; targets in origin-form,
 * and in absolute-form, which every server must take (3.2.2).
 *
 * Incremental: the caller keeps all bytes of the head in one growing buffer and calls
 * http_head_parse after each read; the parser remembers where it was, so no byte is looked at
 * twice. Every result is an offset into that buffer. Pure; no memory of its own. */
#ifndef HERALD_PROTO_HTTP_HEAD_H
#define HERALD_PROTO_HTTP_HEAD_H

#include "proto/error.h"
#include "proto/span.h"

#include <stdint.h>

enum { HTTP_HEAD_MAX_BYTES = 8192, HTTP_HEAD_MAX_FIELDS = 64 };

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
    enum err
        error; /* ERR_BAD_HEAD, ERR_HEAD_TOO_LARGE (over 8 KiB or 64 fields), ERR_HTTP_VERSION */
    const char *detail; /* a constant sentence */
    uint16_t len;       /* when done: the head's length in bytes */
    uint16_t n_fields;
    struct http_part method;
    struct http_part target; /* as sent: "/ws?userId=42", "http://example.com/ws?userId=42" */
    struct http_part path;   /* the part of target before '?' */
    struct http_part query;  /* the part behind '?'; len 0 if none */
    struct http_part host;   /* of an absolute target; else the value of Host */
    struct http_field fields[HTTP_HEAD_MAX_FIELDS];
    uint16_t at;    /* parser: how far it has read */
    uint16_t start; /* parser: where the present part began */
    uint8_t state;  /* parser */
};

void http_head_init(struct http_head *head);

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

/* May it stand in a token (RFC 9110, 5.6.2)? */
bool http_is_token_char(char c);

#endif
