/* A span: bytes that its holder does not own. It must not outlive them; it is not
 * NUL-terminated. */
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

/* Compares ASCII letters without case, as HTTP field names are compared (RFC 9110, 5.1). */
bool span_equal_nocase(struct span a, struct span b);

/* The span without spaces and tabs at its ends (OWS of RFC 9110, 5.6.3). */
struct span span_trim(struct span s);

/* Takes the next item off a list that is separated by `divider` and trims it. The list must not be
 * empty; it is empty after its last item was taken. */
struct span span_take_item(struct span *list, char divider);

#endif
