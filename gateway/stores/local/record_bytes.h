/* Numbers and bytes of the file store's records: little-endian, one after the other. Pure. */
#ifndef HERALD_STORE_RECORD_BYTES_H
#define HERALD_STORE_RECORD_BYTES_H

#include <stdint.h>
#include <string.h>

/* Both answer where the next may be written. */
static inline char *put_number(char *out, uint64_t number, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        *out++ = (char)(unsigned char)(number >> (8 * i));
    return out;
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
    uint64_t number = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        number |= (uint64_t)(unsigned char)*(*at)++ << (8 * i);
    return number;
}

#endif
