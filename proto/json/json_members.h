/* What the parsers of the admin API's JSON bodies share. First the whole body is scanned as JSON,
 * and the members of the request are noted as slices of it. Malformed JSON or a repeated member is
 * bad-json at its byte, before any field is checked. Then each parser checks its slices one by one.
 * Pure. */
#ifndef HERALD_PROTO_JSON_MEMBERS_H
#define HERALD_PROTO_JSON_MEMBERS_H

#include "proto/json/json_scan.h"

enum { JSON_MEMBERS_MAX = 9 };

struct json_members {
    const char *const *names;          /* ends with NULL; at most JSON_MEMBERS_MAX */
    struct span raw[JSON_MEMBERS_MAX]; /* raw[i] is the value of names[i]; no bytes: absent */
};

/* The caller has set members->names and zeroed the rest. ERR_BAD_JSON, or ERR_UNKNOWN_FIELD: a
 * member that is not in names. */
MUST_CHECK enum err json_members_scan(struct span body, struct json_members *members,
                                      struct json_problem *problem);

/* Fills *problem and returns `error`. */
enum err json_refuse(struct json_problem *problem, enum err error, const char *field,
                     const char *detail, ...) PRINTF_LIKE(4, 5);

/* These take a slice that was scanned before; that of a string includes its quotes. */
bool json_is_string(struct span raw); /* false if absent */
struct span json_without_quotes(struct span raw);
bool json_has_escapes(struct span raw);

/* Decodes a string. Writes at most `cap` bytes; *ret_len is the length of the whole text, which is
 * never more than the slice's. ERR_BAD_JSON: a lone surrogate. */
MUST_CHECK enum err json_decode(struct span body, struct span raw, char *out, size_t cap,
                                size_t *ret_len, struct json_problem *problem);

/* Does the text, which is UTF-8, have one of U+0000-U+001F or U+007F-U+009F? */
bool json_has_control(const char *text, size_t len);

#endif
