/* A strict scanner for JSON text (RFC 8259): one pass, no recursion, no allocation, every byte
 * checked, none copied. It never reads at or behind `end`. Pure; a scan belongs to one thread. */
#ifndef HERALD_PROTO_JSON_SCAN_H
#define HERALD_PROTO_JSON_SCAN_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { JSON_MAX_DEPTH = 64 };

/* What is wrong with a request, for a problem body. */
struct json_problem {
    enum err error;   /* ERR_BAD_JSON, ERR_INVALID_FIELD, ERR_UNKNOWN_FIELD, ERR_TOO_LARGE,
                         ERR_NO_MEMORY */
    size_t offset;    /* ERR_BAD_JSON: of the byte, from 0 */
    char field[40];   /* the field's name, cut to fit, always UTF-8; empty: none */
    char detail[120]; /* a sentence for people */
};

struct json_scan {
    const char *begin;
    const char *at; /* the next byte; after a failure: the offending one, or `end` */
    const char *end;
    uint64_t objects; /* bit d: the container at depth d is an object */
    unsigned depth;
    /* The caller's, after json_scan_init: a value that is nested too deep is no failure, but passed
     * over. Of what is too deep only the strings are checked, and that each bracket is closed. */
    bool skips_deep;
    const char *why; /* after a failure: a constant sentence */
};

void json_scan_init(struct json_scan *scan, struct span text);

/* The byte at `at`; NUL at the end, where NUL itself is never valid either. */
static inline char json_scan_peek(const struct json_scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

void json_scan_space(struct json_scan *scan);

/* Each moves past what it names and answers true, or stops at the byte that is wrong. */
bool json_scan_byte(struct json_scan *scan, char byte, const char *why);

/* *ret_raw: between the quotes, escapes as they stand. Surrogates in escapes are not paired here.
 */
bool json_scan_string(struct json_scan *scan, struct span *ret_raw, bool *ret_has_escapes);

/* Any value, without the white space around it. */
bool json_scan_value(struct json_scan *scan, struct span *ret_raw);

/* Opens the container that the scan stands at; `*ret_is_empty`: it was closed again at once. */
bool json_scan_open(struct json_scan *scan, bool *ret_is_empty);

/* After an element: ',' answers *ret_is_closed false, the closing bracket true. */
bool json_scan_next(struct json_scan *scan, bool *ret_is_closed);

/* Nothing but white space may be left. */
bool json_scan_end(struct json_scan *scan);

/* Decodes a raw string that json_scan_string took. Writes at most `cap` bytes and answers the whole
 * decoded length, which is never more than raw.len. ERR_BAD_JSON: a lone surrogate, whose backslash
 * stands at *ret_at in raw. */
MUST_CHECK enum err json_string_decode(struct span raw, char *out, size_t cap, size_t *ret_len,
                                       size_t *ret_at);

#endif
