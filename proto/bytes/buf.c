#include "proto/bytes/buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_fini(struct buf *buf)
{
    free(buf->bytes);
    buf->bytes = NULL;
    buf->len = 0;
    buf->cap = 0;
}

void buf_clear(struct buf *buf)
{
    buf_fini(buf);
}

enum err buf_reserve(struct buf *buf, size_t more)
{
    if (more > buf->max || buf->len > buf->max - more)
        return ERR_FULL;
    size_t need = buf->len + more;
    if (need <= buf->cap)
        return ERR_OK;

    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need)
        cap = cap > buf->max / 2 ? buf->max : cap * 2;
    if (cap > buf->max)
        cap = buf->max;
    char *bytes = realloc(buf->bytes, cap);
    if (bytes == NULL)
        return ERR_NO_MEMORY;
    buf->bytes = bytes;
    buf->cap = cap;
    return ERR_OK;
}

enum err buf_append(struct buf *buf, const void *bytes, size_t len)
{
    enum err error = buf_reserve(buf, len);
    if (error != ERR_OK)
        return error;
    if (len > 0)
        memcpy(buf->bytes + buf->len, bytes, len);
    buf->len += len;
    return ERR_OK;
}

enum err buf_append_span(struct buf *buf, struct span s)
{
    return buf_append(buf, s.bytes, s.len);
}

enum err buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

enum err buf_printf(struct buf *buf, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, format, args);
    va_end(args);

    enum err error = ERR_SYSTEM;
    if (len < 0)
        goto out;
    if ((size_t)len < sizeof small) {
        error = buf_append(buf, small, (size_t)len);
        goto out;
    }
    error = buf_reserve(buf, (size_t)len + 1); /* vsnprintf writes a NUL, too */
    if (error != ERR_OK)
        goto out;
    vsnprintf(buf->bytes + buf->len, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
out:
    va_end(again);
    return error;
}

void buf_consume(struct buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->bytes, buf->bytes + len, buf->len - len);
    buf->len -= len;
}
