/* What every fuzz target shares. A target is one file, fuzz_NOUN.c, with one
 * LLVMFuzzerTestOneInput: it takes any bytes, must not crash, and aborts where a promise of a
 * header does not hold. The fuzz preset links it with libFuzzer; every build links it with
 * replay.c, which runs its corpus. */
#ifndef HERALD_TESTS_FUZZ_FUZZ_H
#define HERALD_TESTS_FUZZ_FUZZ_H

#include "proto/bytes/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input, taken from the front; what is not there any more is 0 or empty. */
struct fuzz_input {
    const uint8_t *at;
    size_t len;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->len == 0)
        return 0;
    input->len--;
    return *input->at++;
}

static inline size_t fuzz_number(struct fuzz_input *input, unsigned n_bytes)
{
    size_t number = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        number = number << 8 | fuzz_byte(input);
    return number;
}

static inline struct span fuzz_rest(const struct fuzz_input *input)
{
    return (struct span){(const char *)input->at, input->len};
}

/* Up to that byte, which is taken as well, or all that is left. */
static inline struct span fuzz_until(struct fuzz_input *input, char end)
{
    struct span rest = fuzz_rest(input);
    const char *found = rest.len == 0 ? NULL : memchr(rest.bytes, end, rest.len);
    if (found == NULL) {
        input->len = 0;
        return rest;
    }
    size_t len = (size_t)(found - rest.bytes);
    input->at += len + 1;
    input->len -= len + 1;
    return (struct span){rest.bytes, len};
}

/* Two bytes of the input say where it is split: 0 to len of what is left. */
static inline size_t fuzz_split(struct fuzz_input *input)
{
    size_t number = fuzz_number(input, 2);
    return number % (input->len + 1);
}

/* A copy in a block of exactly that size, so that the sanitizer sees a read beyond its end. */
static inline char *fuzz_copy(struct span bytes)
{
    char *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    FUZZ_CHECK(copy != NULL);
    if (bytes.len > 0)
        memcpy(copy, bytes.bytes, bytes.len);
    return copy;
}

/* With a NUL at its end; the input's own are made '?'. */
static inline char *fuzz_text(struct span bytes)
{
    char *copy = malloc(bytes.len + 1);
    FUZZ_CHECK(copy != NULL);
    for (size_t i = 0; i < bytes.len; i++)
        copy[i] = (char)(bytes.bytes[i] == '\0' ? '?' : bytes.bytes[i]);
    copy[bytes.len] = '\0';
    return copy;
}

static inline bool fuzz_is_inside(struct span part, struct span whole)
{
    return part.len == 0 ||
           (part.bytes >= whole.bytes && part.bytes + part.len <= whole.bytes + whole.len);
}

/* A log of what a parser said, so that two ways of feeding it can be compared. */
static inline void fuzz_note(struct buf *log, const void *bytes, size_t len)
{
    FUZZ_CHECK(buf_append(log, bytes, len) == ERR_OK);
}

#define FUZZ_NOTE(log, value)                                                                      \
    do {                                                                                           \
        uint64_t noted_ = (uint64_t)(value);                                                       \
        fuzz_note((log), &noted_, sizeof noted_);                                                  \
    } while (0)

static inline void fuzz_log_init(struct buf *log)
{
    buf_init(log, SIZE_MAX / 4);
}

static inline void fuzz_same_logs(struct buf *a, struct buf *b)
{
    FUZZ_CHECK(span_equal(buf_span(a), buf_span(b)));
    buf_fini(a);
    buf_fini(b);
}

#endif
