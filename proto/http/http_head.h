/* The head of an HTTP/1.1 request (RFC 9112, sections 2-5), strictly: CRLF only, no obs-fold, no
 * space before the colon, no NUL, token characters only in names, one Host; targets in origin-form,
 * and in absolute-form, which every server must take (3.2.2). Empty lines in front of the request
 * line are a part of the head, and mean nothing (2.2). HTTP/1.0, which some proxies speak, is
 * parsed in the same way, except that Host may be missing and the body needs a Content-Length.
 *
 * Incremental: the caller keeps all bytes of the head in one growing buffer and calls
 * http_head_parse after each read; the parser remembers its position, so that each byte is read
 * once. Every result is an offset into that buffer. Pure; the array of fields also belongs to the
 * caller. */
#ifndef HERALD_PROTO_HTTP_HEAD_H
#define HERALD_PROTO_HTTP_HEAD_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* The largest head that a caller may ask for, and the default. One field is allowed for each 128
 * bytes of the head. */
enum {
    HTTP_HEAD_MAX_BYTES = 32768,
    HTTP_HEAD_USUAL_BYTES = 8192,
    HTTP_HEAD_FIELD_BYTES = 128,
    HTTP_HEAD_MAX_FIELDS = HTTP_HEAD_MAX_BYTES / HTTP_HEAD_FIELD_BYTES,
    HTTP_HEAD_USUAL_FIELDS = HTTP_HEAD_USUAL_BYTES / HTTP_HEAD_FIELD_BYTES,
};

enum http_head_result {
    HTTP_HEAD_MORE, /* valid so far */
    HTTP_HEAD_DONE, /* head->len bytes are the head, its empty line included */
    HTTP_HEAD_BAD,  /* head->error and head->detail say why */
};

/* Bytes of the caller's buffer. It is an offset, not a pointer, so that the buffer may be moved. */
struct http_part {
    uint16_t at;
    uint16_t len;
};

struct http_field {
    struct http_part name;
    struct http_part value; /* without the white space around it */
};

/* Fields that the parser notices, because every request is asked for them. */
enum http_known {
    HTTP_HOST,
    HTTP_CONTENT_LENGTH,
    HTTP_TRANSFER_ENCODING,
    HTTP_CONNECTION,
    HTTP_EXPECT,
    HTTP_KNOWN_FIELDS,
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
    struct http_part query;    /* the part after '?'; len 0 if none */
    struct http_part host;     /* of an absolute target; else the value of Host; len 0 if none */
    struct http_field *fields; /* the caller's room */
    /* May be set after http_head_init: a path that is served whatever its Host says. There a Host
     * that is malformed counts as none. NULL: there is no such path. */
    bool (*is_open_path)(struct span path);
    uint16_t max_bytes;
    uint16_t max_fields;
    uint16_t at;                             /* parser: the offset of the next byte */
    uint16_t start;                          /* parser: where the current part began */
    uint8_t state;                           /* parser */
    uint16_t n_known[HTTP_KNOWN_FIELDS];     /* how many fields have that name */
    uint16_t first_known[HTTP_KNOWN_FIELDS]; /* the index of the first one */
};

/* For a head of at most `max_bytes` (HTTP_HEAD_MAX_BYTES at most) and max_fields fields. */
void http_head_init(struct http_head *head, size_t max_bytes, struct http_field *fields,
                    size_t max_fields);

/* `bytes` are all bytes received since the head began, `len` their number. */
enum http_head_result http_head_parse(struct http_head *head, const char *bytes, size_t len);

/* The functions below take a head that is DONE; `bytes` is the same buffer. */
static inline struct span http_part_span(const char *bytes, struct http_part part)
{
    return (struct span){bytes + part.at, part.len};
}

/* Finds the first field with the name, compared without case; false: there is none. */
bool http_head_find(const struct http_head *head, const char *bytes, const char *name,
                    struct span *ret_value);

/* The same for a field that the parser notices, in constant time; head->n_known counts them. */
static inline bool http_head_get(const struct http_head *head, const char *bytes,
                                 enum http_known known, struct span *ret_value)
{
    if (head->n_known[known] == 0)
        return false;
    *ret_value = http_part_span(bytes, head->fields[head->first_known[known]].value);
    return true;
}

/* How many fields have that name. */
unsigned http_head_count(const struct http_head *head, const char *bytes, const char *name);

/* Do the comma-separated lists of all fields with the name contain this token, compared without
 * case (RFC 9110, 5.6.1)? */
bool http_head_has_token(const struct http_head *head, const char *bytes, const char *name,
                         const char *token);

/* Does the one Content-Type say that the body is JSON (RFC 8259, 11), whatever its parameters? */
bool http_head_is_json(const struct http_head *head, const char *bytes);

/* The length of the body after the head. false: it is not known in advance (Transfer-Encoding), or
 * is more than max. */
bool http_head_body_len(const struct http_head *head, const char *bytes, size_t max,
                        size_t *ret_len);

/* Is the character allowed in a token (RFC 9110, 5.6.2)? */
bool http_is_token_char(char c);

#endif
