/* What the tests of what is written to clients share. */
#ifndef HERALD_TESTS_WRITTEN_H
#define HERALD_TESTS_WRITTEN_H

#include "proto/bytes/buf.h"
#include "proto/note/notification.h"

#include <criterion/criterion.h>

static inline struct epoch epoch_of(const char *text)
{
    struct epoch epoch;
    memcpy(epoch.text, text, EPOCH_LEN);
    return epoch;
}

#define EPOCH epoch_of("k3f9a2qd")

/* Is this all that was written? Then it is taken away. */
static inline void expect_text(struct buf *out, enum err error, const char *expected)
{
    cr_assert_eq(error, ERR_OK, "%s", expected);
    cr_expect(span_equal(buf_span(out), span_of(expected)), "%.*s\nis not\n%s", (int)out->len,
              out->bytes, expected);
    out->len = 0;
}

#endif
