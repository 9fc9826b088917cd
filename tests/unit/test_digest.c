#include "proto/bytes/digest.h"

#include <criterion/criterion.h>

static bool are_equal(const struct span *a, size_t n_a, const struct span *b, size_t n_b)
{
    uint8_t first[DIGEST_LEN], second[DIGEST_LEN];
    cr_assert_eq(digest_of(a, n_a, first), ERR_OK);
    cr_assert_eq(digest_of(b, n_b, second), ERR_OK);
    return memcmp(first, second, DIGEST_LEN) == 0;
}

Test(digest, is_the_same_for_the_same_parts)
{
    struct span parts[] = {SPAN_LITERAL("{\"a\":1}"), SPAN_LITERAL(""), SPAN_LITERAL("60")};
    cr_assert(are_equal(parts, 3, parts, 3));
}

Test(digest, tells_where_one_part_ends_and_the_next_begins)
{
    struct span ab_c[] = {SPAN_LITERAL("ab"), SPAN_LITERAL("c")};
    struct span a_bc[] = {SPAN_LITERAL("a"), SPAN_LITERAL("bc")};
    struct span abc_[] = {SPAN_LITERAL("abc"), SPAN_LITERAL("")};
    struct span abc[] = {SPAN_LITERAL("abc")};
    cr_assert_not(are_equal(ab_c, 2, a_bc, 2));
    cr_assert_not(are_equal(ab_c, 2, abc_, 2));
    cr_assert_not(are_equal(abc, 1, abc_, 2));
}
