#include "gateway/base/hash.h"

#include <sys/random.h>
#include <sys/types.h>

static uint64_t key[2]; /* written once by hash_init, before any thread starts */

enum err hash_init(void)
{
    uint64_t drawn[2];
    if (getrandom(drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
        return ERR_SYSTEM;
    key[0] = drawn[0];
    key[1] = drawn[1];
    return ERR_OK;
}

static uint64_t rotate_left(uint64_t word, unsigned bits)
{
    return (word << bits) | (word >> (64 - bits));
}

static void run_rounds(uint64_t v[4], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        v[0] += v[1];
        v[1] = rotate_left(v[1], 13) ^ v[0];
        v[0] = rotate_left(v[0], 32);
        v[2] += v[3];
        v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate_left(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate_left(v[1], 17) ^ v[2];
        v[2] = rotate_left(v[2], 32);
    }
}

/* Eight bytes, the first one lowest. */
static uint64_t word_at(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* What is left after the whole words: 0 to 7 bytes, which may be the end of the last eight. */
static uint64_t last_bytes(struct span bytes)
{
    size_t n = bytes.len % 8;
    uint64_t word = 0;
    if (n > 0 && bytes.len >= 8)
        return word_at(bytes.bytes + bytes.len - 8) >> (64 - 8 * n);
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)bytes.bytes[i] << (8 * i);
    return word;
}

uint64_t hash_bytes_keyed(struct span bytes, const uint64_t with_key[2])
{
    uint64_t v[4] = {
        with_key[0] ^ 0x736f6d6570736575,
        with_key[1] ^ 0x646f72616e646f6d,
        with_key[0] ^ 0x6c7967656e657261,
        with_key[1] ^ 0x7465646279746573,
    };
    size_t whole = bytes.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word = word_at(bytes.bytes + i);
        v[3] ^= word;
        run_rounds(v, 2);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)bytes.len << 56 | last_bytes(bytes);
    v[3] ^= last;
    run_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    run_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(struct span bytes)
{
    return hash_bytes_keyed(bytes, key);
}

uint32_t hash_reverse_bits(uint32_t hash)
{
    hash = __builtin_bswap32(hash);
    hash = (hash & 0x0f0f0f0fu) << 4 | (hash >> 4 & 0x0f0f0f0fu);
    hash = (hash & 0x33333333u) << 2 | (hash >> 2 & 0x33333333u);
    return (hash & 0x55555555u) << 1 | (hash >> 1 & 0x55555555u);
}
