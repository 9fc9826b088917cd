/* Numbers and bytes of the file store's records: little-endian, one after the other, of 1 to 8
 * bytes. Pure. */
#ifndef HERALD_STORE_RECORD_BYTES_H
#define HERALD_STORE_RECORD_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Both answer where the next may be written. */
static inline char *put_number(char *out, uint64_t number, unsigned n_bytes)
{
    uint64_t bytes = htole64(number);
    memcpy(out, &bytes, n_bytes);
    return out + n_bytes;
}

static inline char *put_bytes(char *out, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(out, bytes, len);
    return out + len;
}

/* Moves *at past the number; the caller has seen that it lies in the record. */
static inline uint64_t take_number(const char **at, unsigned n_bytes)
{
    uint64_t bytes = 0;
    memcpy(&bytes, *at, n_bytes);
    *at += n_bytes;
    return le64toh(bytes);
}

#endif
