/* A strict scanner for JSON text (RFC 8259): one pass, no recursion, no allocation, every byte
 * checked, none copied. It never reads at or after `end`. Pure; a scan belongs to one thread. */
#ifndef HERALD_PROTO_JSON_SCAN_H
#define HERALD_PROTO_JSON_SCAN_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { JSON_MAX_DEPTH = 64 };

/* What is wrong with a request, for the problem body of its refusal (RFC 9457). */
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
    /* Set by the caller after json_scan_init: a value that is nested too deep is skipped, not a
     * failure. Inside it only the strings are checked, and that each bracket is closed. */
    bool skips_deep;
    const char *why; /* after a failure: a constant sentence */
};

void json_scan_init(struct json_scan *scan, struct span text);

/* The byte at `at`; NUL at the end, which is unambiguous because JSON allows no NUL there. */
static inline char json_scan_peek(const struct json_scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

void json_scan_spaces(struct json_scan *scan);                       /* for json_scan_space */
bool json_scan_refuse_byte(struct json_scan *scan, const char *why); /* for json_scan_byte */

/* Inline, because there is mostly none. */
static inline void json_scan_space(struct json_scan *scan)
{
    if ((unsigned char)json_scan_peek(scan) <= ' ')
        json_scan_spaces(scan);
}

/* Each of these moves past what its name says and returns true, or stops at the wrong byte. */
static inline bool json_scan_byte(struct json_scan *scan, char byte, const char *why)
{
    if (scan->at == scan->end || *scan->at != byte)
        return json_scan_refuse_byte(scan, why);
    scan->at++;
    return true;
}

/* *ret_raw: what is between the quotes, undecoded. Whether surrogates in escapes come in pairs is
 * checked when the string is decoded. */
bool json_scan_string(struct json_scan *scan, struct span *ret_raw, bool *ret_has_escapes);

/* Any value, without the white space around it. */
bool json_scan_value(struct json_scan *scan, struct span *ret_raw);

/* Enters the container that the scan is at; *ret_is_empty: it has no element and was left again. */
bool json_scan_open(struct json_scan *scan, bool *ret_is_empty);

/* After an element: *ret_is_closed is false after a comma and true after the closing bracket. */
bool json_scan_next(struct json_scan *scan, bool *ret_is_closed);

/* true: only white space is left. */
bool json_scan_end(struct json_scan *scan);

#endif
