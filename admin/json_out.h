/* Writes the JSON of answers. A failed write is remembered and later writes do nothing, so that the
 * caller checks `has_failed` once, at the end. Numbers keep all 64 bits. Not thread-safe. */
#ifndef HERALD_ADMIN_JSON_OUT_H
#define HERALD_ADMIN_JSON_OUT_H

#include "proto/bytes/buf.h"

#include <stdbool.h>

enum { JSON_OUT_PIECE_MAX_BYTES = 255 };

struct json_out {
    struct buf buf;
    bool has_failed; /* out of memory, or over the ceiling */
};

void json_out_init(struct json_out *out, size_t max);
void json_out_fini(struct json_out *out);

/* Unescaped; a longer piece than JSON_OUT_PIECE_MAX_BYTES fails. Texts from outside go through
 * json_out_string. */
void json_out_printf(struct json_out *out, const char *format, ...) PRINTF_LIKE(2, 3);
void json_out_text(struct json_out *out, const char *text);
void json_out_raw(struct json_out *out, struct span json); /* valid JSON of any length */

/* A JSON string with its quotes. `text` is UTF-8. */
void json_out_string(struct json_out *out, struct span text);

#endif
