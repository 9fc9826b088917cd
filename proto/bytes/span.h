/* A span: bytes that somebody else owns. It never outlives them; it is not NUL-terminated. */
#ifndef HERALD_PROTO_SPAN_H
#define HERALD_PROTO_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *bytes;
    size_t len;
};

#define SPAN_NONE          ((struct span){0})
#define SPAN_LITERAL(text) ((struct span){(text), sizeof(text) - 1})

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
}

/* ASCII letters compare without case, as HTTP field names and tokens do (RFC 9110, 5.1). */
bool span_equal_nocase(struct span a, struct span b);

/* Without the spaces and tabs at both ends (RFC 9110, OWS). */
struct span span_trim(struct span s);

/* Takes the next item, trimmed, of a list that commas (or another byte) divide. The list must not
 * be empty; it is afterwards when that was the last. */
struct span span_take_item(struct span *list, char divider);

#endif
