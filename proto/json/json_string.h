/* Decodes the escapes of JSON strings (RFC 8259, section 7). Pure. */
#ifndef HERALD_PROTO_JSON_STRING_H
#define HERALD_PROTO_JSON_STRING_H

#include "proto/bytes/span.h"
#include "proto/error.h"

/* Decodes a string that json_scan_string found. Writes at most `cap` bytes; *ret_len is the length
 * of the whole text, which is never more than raw.len. ERR_BAD_JSON: a lone surrogate; *ret_at is
 * the offset of its backslash in raw. */
MUST_CHECK enum err json_string_decode(struct span raw, char *out, size_t cap, size_t *ret_len,
                                       size_t *ret_at);

#endif
