/* A growing byte buffer with a ceiling that is set when it is made.
 * Not thread-safe; the owner calls buf_fini. A failed call leaves the buffer as it was. */
#ifndef HERALD_PROTO_BUF_H
#define HERALD_PROTO_BUF_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdarg.h>
#include <stdint.h>

struct buf {
    char *bytes; /* NULL while nothing was ever added */
    size_t len;
    size_t cap;
    size_t max; /* the ceiling in bytes */
};

void buf_init(struct buf *buf, size_t max);
void buf_fini(struct buf *buf);

/* Makes room for `more` bytes after the first `len`. ERR_FULL: over the ceiling. ERR_NO_MEMORY. */
MUST_CHECK enum err buf_reserve(struct buf *buf, size_t more);
MUST_CHECK enum err buf_append(struct buf *buf, const void *bytes, size_t len);
MUST_CHECK enum err buf_append_span(struct buf *buf, struct span s);
MUST_CHECK enum err buf_append_text(struct buf *buf, const char *text);
MUST_CHECK enum err buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Drops `len` bytes from the front. */
void buf_consume(struct buf *buf, size_t len);

/* Empties the buffer and frees its memory. */
void buf_clear(struct buf *buf);

static inline struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->bytes, buf->len};
}

#endif
