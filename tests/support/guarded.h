/* Bytes followed by an unreadable page: a parser that reads beyond its end crashes. */
#ifndef HERALD_TESTS_GUARDED_H
#define HERALD_TESTS_GUARDED_H

#include "proto/bytes/span.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARDED_MAX_BYTES = 128 << 10 };

/* The end of a new room of at least this size. */
static inline char *guarded_end(size_t room)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    room = (room + page - 1) / page * page;
    char *base =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(base != MAP_FAILED);
    cr_assert_eq(mprotect(base + room, page, PROT_NONE), 0);
    return base + room;
}

static inline struct span guarded_copy(char *end, struct span text)
{
    char *at = end - text.len;
    if (text.len > 0)
        memcpy(at, text.bytes, text.len);
    return (struct span){at, text.len};
}

/* A copy of the text; valid until the next call. */
static inline struct span guarded(struct span text)
{
    static char *end;
    if (end == NULL)
        end = guarded_end(GUARDED_MAX_BYTES);
    cr_assert_leq(text.len, GUARDED_MAX_BYTES);
    return guarded_copy(end, text);
}

/* A copy that stays. */
static inline struct span guarded_for_good(struct span text)
{
    return guarded_copy(guarded_end(text.len), text);
}

#endif
