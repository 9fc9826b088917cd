/* Lists of gaps: as text, and built number by number against a plain model. A byte chooses. */
#include "proto/note/gap.h"
#include "tests/fuzz/fuzz.h"

static const enum gap_cause causes[] = {GAP_EXPIRED, GAP_OVERFLOW, GAP_CANCELLED, GAP_COLLAPSED,
                                        GAP_UNKNOWN};
enum { N_CAUSES = sizeof causes / sizeof causes[0], NUMBERS = 400 };

static void check_list(const struct gaps *gaps)
{
    uint64_t above = 0;
    FUZZ_CHECK(gaps == NULL || gaps->n <= GAPS_MAX);
    for (uint32_t i = 0; gaps != NULL && i < gaps->n; i++) {
        const struct gap *range = &gaps->ranges[i];
        FUZZ_CHECK(range->from > above && range->from <= range->to);
        FUZZ_CHECK(gap_cause_is_recorded(range->cause));
        FUZZ_CHECK(i == 0 || range[-1].to + 1 < range->from || range[-1].cause != range->cause);
        FUZZ_CHECK(gaps_find(gaps, range->from) == range->cause);
        FUZZ_CHECK(gaps_find(gaps, range->to) == range->cause);
        above = range->to;
    }
}

static void read_text(struct span text)
{
    char first[GAPS_TEXT_MAX_BYTES], second[GAPS_TEXT_MAX_BYTES];
    struct gaps *gaps = NULL;
    struct gaps *again = NULL;
    enum err error = gaps_read(text, &gaps);
    if (error != ERR_OK) {
        FUZZ_CHECK(error == ERR_INVALID_FIELD && gaps == NULL);
        return;
    }
    check_list(gaps);
    struct span written = {first, gaps_write(gaps, first)};
    FUZZ_CHECK(written.len <= sizeof first && gaps_read(written, &again) == ERR_OK);
    struct span rewritten = {second, gaps_write(again, second)};
    FUZZ_CHECK(span_equal(written, rewritten));
    free(gaps);
    free(again);
}

/* What a reader misses, against the model: each number's cause, GAP_NONE for one that is there. */
static void check_missing(const struct gaps *gaps, const enum gap_cause *model, uint64_t acked,
                          uint64_t after, uint64_t last)
{
    uint64_t present[NUMBERS];
    size_t n = 0;
    struct gap *missing = NULL;
    size_t n_missing = 0;
    for (uint64_t seq = 1; seq < NUMBERS; seq++)
        if (model[seq] == GAP_NONE && seq > acked)
            present[n++] = seq;
    FUZZ_CHECK(gaps_missing(gaps, acked, after, last, present, n, &missing, &n_missing) == ERR_OK);
    uint64_t at = after;
    size_t i = 0;
    for (size_t range = 0; range < n_missing; range++) {
        FUZZ_CHECK(missing[range].from > at && missing[range].from <= missing[range].to);
        while (i < n && (present[i] <= after || present[i] < missing[range].from))
            i++;
        FUZZ_CHECK(i == n || present[i] > missing[range].to);
        FUZZ_CHECK(missing[range].to <= last);
        for (uint64_t seq = missing[range].from; seq <= missing[range].to; seq++) {
            enum gap_cause recorded = gaps_find(gaps, seq);
            enum gap_cause expected = recorded != GAP_NONE ? recorded
                                      : seq <= acked       ? GAP_ACKNOWLEDGED
                                                           : GAP_UNKNOWN;
            FUZZ_CHECK(missing[range].cause == expected);
        }
        for (uint64_t seq = at + 1; seq < missing[range].from; seq++)
            FUZZ_CHECK(seq > acked && model[seq] == GAP_NONE);
        at = missing[range].to;
    }
    for (uint64_t seq = at + 1; seq <= last; seq++)
        FUZZ_CHECK(seq > acked && model[seq] == GAP_NONE);
    free(missing);
}

/* Two bytes a step: where, how many and why. */
static void build(struct fuzz_input *input)
{
    enum gap_cause model[NUMBERS] = {GAP_NONE};
    struct gaps *gaps = NULL;
    uint64_t acked = fuzz_byte(input);
    uint64_t after = fuzz_byte(input);
    uint64_t last = after + fuzz_byte(input) / 2;
    while (input->len > 0) {
        uint64_t from = 1 + fuzz_byte(input);
        unsigned how = fuzz_byte(input);
        uint64_t to = from;
        while (model[to] == GAP_NONE && to < from + how % 8)
            to++;
        if (model[to] != GAP_NONE && to-- == from)
            continue; /* it has left already */
        enum gap_cause cause = causes[how / 8 % N_CAUSES];
        FUZZ_CHECK(gaps_add(&gaps, from, to, cause) == ERR_OK);
        for (uint64_t seq = from; seq <= to; seq++)
            model[seq] = cause;
        check_list(gaps);
    }
    for (uint64_t seq = 1; seq < NUMBERS; seq++) {
        enum gap_cause found = gaps_find(gaps, seq);
        FUZZ_CHECK(found == model[seq] || found == GAP_UNKNOWN);
    }
    check_missing(gaps, model, acked, after, last);
    free(gaps);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    if (fuzz_byte(&input) % 2 == 0) {
        char *copy = fuzz_copy(fuzz_rest(&input));
        read_text((struct span){copy, input.len});
        free(copy);
    } else {
        build(&input);
    }
    return 0;
}
