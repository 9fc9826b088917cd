#include "gateway/base/hash.h"

#include <criterion/criterion.h>

/* The key 00 01 ... 0f of the SipHash paper's test vectors, as two little-endian words. */
static const uint64_t paper_key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static uint64_t hash_first(size_t len)
{
    char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    return hash_bytes_keyed((struct span){bytes, len}, paper_key);
}

Test(hash, gives_the_published_values_of_siphash_2_4)
{
    cr_assert_eq(hash_first(0), 0x726fdb47dd0e0e31);
    cr_assert_eq(hash_first(1), 0x74f839c593dc67fd);
    cr_assert_eq(hash_first(7), 0xab0200f58b01d137);
    cr_assert_eq(hash_first(8), 0x93f5f5799a932462);
    cr_assert_eq(hash_first(15), 0xa129ca6149be45e5);
    cr_assert_eq(hash_first(63), 0x958a324ceb064572);
}

Test(hash, is_the_same_for_the_same_bytes_wherever_they_lie)
{
    cr_assert_eq(hash_init(), ERR_OK);
    char bytes[] = "xalice";
    cr_assert_eq(hash_bytes(SPAN_LITERAL("alice")), hash_bytes(span_of(bytes + 1)));
    cr_assert_neq(hash_bytes(SPAN_LITERAL("alice")), hash_bytes(SPAN_LITERAL("alicf")));
}

Test(hash, draws_another_key_each_time)
{
    cr_assert_eq(hash_init(), ERR_OK);
    uint64_t first = hash_bytes(SPAN_LITERAL("alice"));
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_neq(hash_bytes(SPAN_LITERAL("alice")), first);
}

Test(hash, takes_an_empty_span_without_bytes)
{
    cr_assert_eq(hash_bytes((struct span){NULL, 0}), hash_bytes(SPAN_LITERAL("")));
}
