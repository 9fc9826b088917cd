/* Lists of gaps: ranges of numbers that a user did not get, with their causes, merged, cut, written
 * and read again. */
#include "proto/note/gap.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct gaps *gaps;

static void teardown(void)
{
    free(gaps);
    gaps = NULL;
}

TestSuite(gap, .fini = teardown);

static void add(uint64_t from, uint64_t to, enum gap_cause cause)
{
    cr_assert_eq(gaps_add(&gaps, from, to, cause), ERR_OK);
}

static void expect_list(const char *text)
{
    char got[GAPS_TEXT_MAX_BYTES];
    size_t len = gaps_write(gaps, got);
    cr_assert(span_equal((struct span){got, len}, span_of(text)), "got \"%.*s\" instead of \"%s\"",
              (int)len, got, text);
}

Test(gap, an_empty_list_has_no_text_and_finds_nothing)
{
    expect_list("");
    cr_assert_eq(gaps_find(NULL, 0), GAP_NONE);
    cr_assert_eq(gaps_find(NULL, 1), GAP_NONE);
}

Test(gap, causes_have_the_words_of_the_contract)
{
    static const struct {
        enum gap_cause cause;
        const char *text;
        bool is_recorded;
    } causes[] = {
        {GAP_EXPIRED, "expired", true},     {GAP_OVERFLOW, "overflow", true},
        {GAP_CANCELLED, "cancelled", true}, {GAP_COLLAPSED, "collapsed", true},
        {GAP_UNKNOWN, "unknown", true},     {GAP_ACKNOWLEDGED, "acknowledged", false},
        {GAP_RESET, "reset", false},        {GAP_NONE, "unknown", false},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        cr_assert_str_eq(gap_cause_text(causes[i].cause), causes[i].text);
        cr_assert_eq(gap_cause_is_recorded(causes[i].cause), causes[i].is_recorded);
    }
    cr_assert_str_eq(gap_cause_text((enum gap_cause)'x'), "unknown");
    cr_assert_not(gap_cause_is_recorded((enum gap_cause)'x'));
}

Test(gap, ranges_rise_wherever_they_are_added)
{
    add(10, 12, GAP_EXPIRED);
    add(1, 1, GAP_CANCELLED);
    add(20, 20, GAP_OVERFLOW);
    add(5, 6, GAP_COLLAPSED);
    expect_list("1-1:c,5-6:l,10-12:e,20-20:o");
}

Test(gap, neighbours_of_one_cause_are_one_range)
{
    add(1, 2, GAP_EXPIRED);
    add(3, 3, GAP_EXPIRED);
    expect_list("1-3:e");
    add(7, 8, GAP_EXPIRED);
    add(5, 6, GAP_EXPIRED);
    expect_list("1-3:e,5-8:e");
    add(4, 4, GAP_EXPIRED);
    expect_list("1-8:e");
}

Test(gap, neighbours_of_different_causes_stay_apart)
{
    add(1, 2, GAP_EXPIRED);
    add(4, 5, GAP_EXPIRED);
    add(3, 3, GAP_CANCELLED);
    expect_list("1-2:e,3-3:c,4-5:e");
}

Test(gap, finds_the_cause_of_each_number_and_of_no_other)
{
    add(3, 5, GAP_EXPIRED);
    add(6, 6, GAP_CANCELLED);
    add(9, 9, GAP_OVERFLOW);
    static const enum gap_cause causes[] = {GAP_NONE,    GAP_NONE,     GAP_NONE,      GAP_EXPIRED,
                                            GAP_EXPIRED, GAP_EXPIRED,  GAP_CANCELLED, GAP_NONE,
                                            GAP_NONE,    GAP_OVERFLOW, GAP_NONE};
    for (size_t seq = 0; seq < sizeof causes / sizeof *causes; seq++)
        cr_assert_eq(gaps_find(gaps, seq), causes[seq], "number %zu", seq);
    cr_assert_eq(gaps_find(gaps, UINT64_MAX), GAP_NONE);
}

/* ---- one range too many ---- */

/* 1, 4, 7...: each by itself. */
static void fill(int n)
{
    for (int i = 0; i < n; i++)
        add(3 * (uint64_t)i + 1, 3 * (uint64_t)i + 1, GAP_CANCELLED);
}

Test(gap, as_many_ranges_as_are_allowed_stay_apart)
{
    fill(GAPS_MAX);
    cr_assert_eq(gaps->n, GAPS_MAX);
    cr_assert_eq(gaps_find(gaps, 1), GAP_CANCELLED);
    cr_assert_eq(gaps_find(gaps, 2), GAP_NONE);
}

Test(gap, one_range_too_many_makes_the_two_lowest_unknown_with_what_lies_between)
{
    fill(GAPS_MAX + 1);
    cr_assert_eq(gaps->n, GAPS_MAX);
    for (uint64_t seq = 1; seq <= 4; seq++)
        cr_assert_eq(gaps_find(gaps, seq), GAP_UNKNOWN);
    cr_assert_eq(gaps_find(gaps, 5), GAP_NONE);
    cr_assert_eq(gaps_find(gaps, 7), GAP_CANCELLED);
    add(1000, 1000, GAP_EXPIRED);
    cr_assert_eq(gaps->n, GAPS_MAX);
    cr_assert_eq(gaps_find(gaps, 7), GAP_UNKNOWN);
    cr_assert_eq(gaps_find(gaps, 10), GAP_CANCELLED);
    cr_assert_eq(gaps_find(gaps, 1000), GAP_EXPIRED);
}

Test(gap, a_range_too_many_at_the_bottom_is_merged_itself)
{
    for (int i = 1; i <= GAPS_MAX; i++)
        add(3 * (uint64_t)i + 1, 3 * (uint64_t)i + 1, GAP_CANCELLED);
    add(1, 2, GAP_EXPIRED);
    cr_assert_eq(gaps->n, GAPS_MAX);
    cr_assert_eq(gaps->ranges[0].from, 1);
    cr_assert_eq(gaps->ranges[0].to, 4);
    cr_assert_eq(gaps->ranges[0].cause, GAP_UNKNOWN);
}

Test(gap, a_range_that_joins_a_neighbour_is_not_one_too_many)
{
    fill(GAPS_MAX);
    add(2, 2, GAP_CANCELLED);
    cr_assert_eq(gaps->n, GAPS_MAX);
    cr_assert_eq(gaps_find(gaps, 2), GAP_CANCELLED);
    add(3, 3, GAP_CANCELLED);
    cr_assert_eq(gaps->n, GAPS_MAX - 1);
}

Test(gap, what_leaves_under_a_merged_range_is_unknown_with_it)
{
    fill(GAPS_MAX + 1);
    add(2, 3, GAP_EXPIRED); /* waited still when 1..4 were merged */
    cr_assert_eq(gaps->n, GAPS_MAX);
    cr_assert_eq(gaps_find(gaps, 2), GAP_UNKNOWN);
    cr_assert_eq(gaps_find(gaps, 3), GAP_UNKNOWN);
}

Test(gap, a_merged_range_joins_an_unknown_neighbour)
{
    add(1, 1, GAP_CANCELLED);
    add(3, 3, GAP_CANCELLED);
    add(4, 4, GAP_UNKNOWN);
    for (int i = 0; i < GAPS_MAX - 3; i++)
        add(10 + 2 * (uint64_t)i, 10 + 2 * (uint64_t)i, GAP_CANCELLED);
    cr_assert_eq(gaps->n, GAPS_MAX);
    add(1000, 1000, GAP_CANCELLED);
    cr_assert_eq(gaps->ranges[0].from, 1);
    cr_assert_eq(gaps->ranges[0].to, 4);
    cr_assert_eq(gaps->ranges[1].from, 10);
}

/* ---- as text ---- */

static void expect_read(const char *text, enum err wanted)
{
    struct gaps *read = NULL;
    enum err error = gaps_read(span_of(text), &read);
    cr_assert_eq(error, wanted, "\"%s\"", text);
    if (error == ERR_OK) {
        char again[GAPS_TEXT_MAX_BYTES];
        size_t len = gaps_write(read, again);
        cr_assert(span_equal((struct span){again, len}, span_of(text)), "\"%s\"", text);
    } else {
        cr_assert_null(read, "written only on success");
    }
    free(read);
}

Test(gap, what_is_written_can_be_read)
{
    expect_read("1-1:c", ERR_OK);
    expect_read("1-2:e,3-3:c,4-5:e,100-200:u,201-201:o,300-400:l", ERR_OK);
    expect_read("999999999999999998-999999999999999999:e", ERR_OK);
    fill(GAPS_MAX);
    char text[GAPS_TEXT_MAX_BYTES + 1];
    text[gaps_write(gaps, text)] = '\0';
    expect_read(text, ERR_OK);
}

Test(gap, a_full_list_of_the_longest_numbers_fits_its_text)
{
    for (uint64_t i = GAPS_MAX; i > 0; i--)
        add(UINT64_MAX - 3 * i, UINT64_MAX - 3 * i, GAP_CANCELLED);
    char text[GAPS_TEXT_MAX_BYTES];
    cr_assert_leq(gaps_write(gaps, text), sizeof text);
}

Test(gap, an_empty_text_is_an_empty_list)
{
    struct gaps *read = (struct gaps *)(void *)&read;
    cr_assert_eq(gaps_read((struct span){0}, &read), ERR_OK);
    cr_assert_null(read);
}

Test(gap, refuses_malformed_text)
{
    static const char *const wrong[] = {",",           "x",
                                        "1",           "1-",
                                        "1-1",         "1-1:",
                                        "1-1:x",       "1-1:a",
                                        "1-1:r",       "0-1:c",
                                        "2-1:c",       "1-1:c,",
                                        ",1-1:c",      "1-1:cc",
                                        "1-1:c;2-2:e", "5-6:c,1-2:e",
                                        "1-5:c,5-6:e", "1-5:c,3-4:e",
                                        "-1:c",        "1-:c",
                                        "+1-1:c",      " 1-1:c",
                                        "1-1:c ",      "1-1:c,,3-3:c",
                                        "1:1-c",       "1-99999999999999999999:c"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_read(wrong[i], ERR_INVALID_FIELD);
}

Test(gap, refuses_more_ranges_than_are_allowed)
{
    char text[2000] = "";
    size_t len = 0;
    for (int i = 0; i <= GAPS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%d-%d:c", i == 0 ? "" : ",",
                                3 * i + 1, 3 * i + 1);
    expect_read(text, ERR_INVALID_FIELD);
}

/* ---- what a reader misses ---- */

/* The numbers above `after`, each a letter: "." is among seqs, else its cause. */
static void expect_missing(uint64_t acked, uint64_t after, uint64_t last, const char *shown,
                           const char *letters)
{
    uint64_t seqs[40];
    size_t n_seqs = 0;
    for (size_t i = 0; shown[i] != '\0'; i++)
        if (shown[i] == '.')
            seqs[n_seqs++] = i + 1; /* shown[0] is number 1 */
    struct gap *missing = NULL;
    size_t n = 0;
    cr_assert_eq(gaps_missing(gaps, acked, after, last, seqs, n_seqs, &missing, &n), ERR_OK);
    char got[41];
    memset(got, '.', sizeof got);
    got[last - after] = '\0';
    for (size_t i = 0; i < n; i++) {
        cr_assert(missing[i].from > after && missing[i].from <= missing[i].to &&
                  missing[i].to <= last);
        if (i > 0) {
            cr_assert_gt(missing[i].from, missing[i - 1].to);
            cr_assert(missing[i].from > missing[i - 1].to + 1 ||
                          missing[i].cause != missing[i - 1].cause,
                      "neighbours of one cause are one range");
        }
        for (uint64_t seq = missing[i].from; seq <= missing[i].to; seq++)
            got[seq - after - 1] = (char)missing[i].cause;
    }
    cr_assert_str_eq(got, letters);
    cr_assert_eq(missing == NULL, n == 0);
    free(missing);
}

Test(gap, nothing_is_missing_where_every_number_is_shown)
{
    expect_missing(0, 0, 4, "....", "....");
    expect_missing(2, 2, 4, "  ..", "..");
    expect_missing(0, 0, 0, "", "");
    expect_missing(3, 3, 3, "", "");
}

Test(gap, what_is_missing_has_its_recorded_cause)
{
    add(2, 3, GAP_EXPIRED);
    add(4, 4, GAP_CANCELLED);
    add(6, 6, GAP_OVERFLOW);
    expect_missing(0, 0, 7, ".   . .", ".eec.o.");
    expect_missing(0, 1, 7, "    . .", "eec.o.");
    expect_missing(0, 2, 7, "    . .", "ec.o.");
    expect_missing(0, 5, 6, "", "o");
    expect_missing(0, 2, 3, "", "e");
}

Test(gap, what_is_not_recorded_was_acknowledged_or_is_unknown)
{
    expect_missing(3, 0, 5, "    .", "aaau.");
    expect_missing(3, 0, 6, "", "aaauuu");
    expect_missing(9, 2, 5, "", "aaa");
    expect_missing(0, 2, 5, "", "uuu");
    add(2, 2, GAP_CANCELLED);
    add(5, 5, GAP_EXPIRED);
    expect_missing(3, 0, 6, "", "acaueu");
    expect_missing(3, 0, 6, "...  .", "...ue.");
    expect_missing(6, 0, 6, "", "acaaea");
}

Test(gap, a_merged_range_says_nothing_of_what_is_shown)
{
    for (int i = 0; i <= GAPS_MAX; i++)
        add(2 * (uint64_t)i + 1, 2 * (uint64_t)i + 1, GAP_CANCELLED);
    expect_missing(0, 0, 6, " . . .", "u.u.c.");
}

Test(gap, numbers_outside_of_what_is_asked_are_not_looked_at)
{
    add(2, 2, GAP_CANCELLED);
    expect_missing(0, 3, 6, ".... .  .", ".u.");
}

/* Against a plain array of numbers, as long as no ranges are merged. */
Test(gap, agrees_with_a_plain_array)
{
    enum { NUMBERS = 40, ROUNDS = 500 };
    static const enum gap_cause causes[] = {GAP_EXPIRED, GAP_OVERFLOW, GAP_CANCELLED,
                                            GAP_COLLAPSED};
    unsigned random = 1;
    for (int round = 0; round < ROUNDS; round++) {
        enum gap_cause plain[NUMBERS + 2] = {GAP_NONE};
        teardown();
        for (int i = 0; i < 30; i++) {
            random = random * 1103515245 + 12345;
            uint64_t seq = (random >> 16) % NUMBERS + 1;
            if (plain[seq] != GAP_NONE)
                continue;
            uint64_t to = seq;
            while (to < NUMBERS && plain[to + 1] == GAP_NONE && to < seq + (random >> 8) % 3)
                to++;
            enum gap_cause cause = causes[(random >> 24) % 4];
            for (uint64_t each = seq; each <= to; each++)
                plain[each] = cause;
            add(seq, to, cause);
        }
        for (uint64_t seq = 1; seq <= NUMBERS; seq++)
            cr_assert_eq(gaps_find(gaps, seq), plain[seq], "round %d, number %d", round, (int)seq);
        char text[GAPS_TEXT_MAX_BYTES];
        struct gaps *read = NULL;
        cr_assert_eq(gaps_read((struct span){text, gaps_write(gaps, text)}, &read), ERR_OK);
        for (uint64_t seq = 1; seq <= NUMBERS; seq++)
            cr_assert_eq(gaps_find(read, seq), plain[seq]);
        free(read);
    }
}

Test(gap, tells_what_was_withdrawn_of_a_range_and_nothing_else)
{
    struct gap *withdrawn = NULL;
    size_t n = 0;
    cr_assert_eq(gaps_read(SPAN_LITERAL("1-3:c,4-4:e,5-6:l,7-7:o,9-12:c"), &gaps), ERR_OK);
    cr_assert_eq(gaps_withdrawn(gaps, 1, 10, &withdrawn, &n), ERR_OK);
    cr_assert_eq(n, 3);
    cr_assert(withdrawn[0].from == 2 && withdrawn[0].to == 3);
    cr_assert_eq(withdrawn[0].cause, GAP_CANCELLED);
    cr_assert(withdrawn[1].from == 5 && withdrawn[1].to == 6);
    cr_assert_eq(withdrawn[1].cause, GAP_COLLAPSED);
    cr_assert(withdrawn[2].from == 9 && withdrawn[2].to == 10);
    free(withdrawn);
    cr_assert_eq(gaps_withdrawn(gaps, 12, 20, &withdrawn, &n), ERR_OK);
    cr_assert(n == 0 && withdrawn == NULL);
    cr_assert_eq(gaps_withdrawn(NULL, 0, 20, &withdrawn, &n), ERR_OK);
    cr_assert_eq(n, 0);
}
