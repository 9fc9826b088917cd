/* What the parsers of the admin API's JSON bodies share. First the whole body is scanned as JSON,
 * and the members of the request are noted as slices of it: whatever is no JSON, or stands twice,
 * is bad-json at its byte, before any field is judged. Then each parser checks its slices one by
 * one. Pure. */
#ifndef HERALD_PROTO_JSON_MEMBERS_H
#define HERALD_PROTO_JSON_MEMBERS_H

#include "proto/json/json_scan.h"

enum { JSON_MEMBERS_MAX = 8 };

struct json_members {
    const char *const *names;          /* ends with NULL; at most JSON_MEMBERS_MAX */
    struct span raw[JSON_MEMBERS_MAX]; /* by name; no bytes: absent */
};

/* `members` has its names and is empty otherwise. ERR_BAD_JSON, or ERR_UNKNOWN_FIELD: a member that
 * no name stands for. */
MUST_CHECK enum err json_members_scan(struct span body, struct json_members *members,
                                      struct json_problem *problem);

/* Fills *problem; answers `error`. */
enum err json_refuse(struct json_problem *problem, enum err error, const char *field,
                     const char *detail, ...) PRINTF_LIKE(4, 5);

/* Of a slice that was scanned before, the quotes of a string included. */
bool json_is_string(struct span raw); /* one that is absent is none */
struct span json_without_quotes(struct span raw);
bool json_has_escapes(struct span raw);

/* A string's text. Writes at most `cap` bytes and answers the whole length, which is never more
 * than the slice's. ERR_BAD_JSON: a lone surrogate. */
MUST_CHECK enum err json_decode(struct span body, struct span raw, char *out, size_t cap,
                                size_t *ret_len, struct json_problem *problem);

/* U+0000-U+001F or U+007F-U+009F, in text that is UTF-8. */
bool json_has_control(const char *text, size_t len);

#endif
