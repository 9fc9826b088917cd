/* A list of gaps is a sorted array of disjoint ranges, and NULL when it is empty. gaps_add inserts
 * a range and joins it with neighbours of the same cause; a list that is full merges its two lowest
 * ranges into one of unknown cause. gaps_write and gaps_read convert the list to and from its text
 * in the stores' records, FROM-TO:CAUSE with commas. gaps_missing compares the numbers of a page
 * with the list, and says for each missing run why it is missing. */
#include "proto/note/gap.h"

#include "proto/bytes/decimal.h"
#include "proto/bytes/put.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

bool gap_cause_is_recorded(enum gap_cause cause)
{
    return cause == GAP_EXPIRED || cause == GAP_OVERFLOW || cause == GAP_CANCELLED ||
           cause == GAP_COLLAPSED || cause == GAP_UNKNOWN;
}

const char *gap_cause_text(enum gap_cause cause)
{
    switch (cause) {
    case GAP_EXPIRED:
        return "expired";
    case GAP_OVERFLOW:
        return "overflow";
    case GAP_CANCELLED:
        return "cancelled";
    case GAP_COLLAPSED:
        return "collapsed";
    case GAP_ACKNOWLEDGED:
        return "acknowledged";
    case GAP_RESET:
        return "reset";
    default:
        return "unknown";
    }
}

/* The index of the first range that ends at seq or above it. */
static uint32_t seek_range(const struct gaps *gaps, uint64_t seq)
{
    uint32_t low = 0;
    uint32_t high = gaps == NULL ? 0 : gaps->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gaps->ranges[middle].to >= seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static enum err make_room_for_range(struct gaps **gaps)
{
    uint32_t n = *gaps == NULL ? 0 : (*gaps)->n;
    if (*gaps != NULL && n < (*gaps)->cap)
        return ERR_OK;
    uint32_t cap = n == 0 ? 2 : 2 * n;
    if (cap > GAPS_MAX + 1)
        cap = GAPS_MAX + 1; /* one more, until the two lowest are merged */
    struct gaps *more = realloc(*gaps, sizeof *more + cap * sizeof more->ranges[0]);
    if (more == NULL)
        return ERR_NO_MEMORY;
    more->n = n;
    more->cap = cap;
    *gaps = more;
    return ERR_OK;
}

static void remove_range(struct gaps *gaps, uint32_t at)
{
    gaps->n--;
    memmove(&gaps->ranges[at], &gaps->ranges[at + 1], (gaps->n - at) * sizeof gaps->ranges[0]);
}

static bool ranges_adjoin(const struct gaps *gaps, uint32_t lower)
{
    const struct gap *a = &gaps->ranges[lower];
    const struct gap *b = &gaps->ranges[lower + 1];
    return a->to + 1 == b->from && a->cause == b->cause;
}

static void join_ranges(struct gaps *gaps, uint32_t lower)
{
    gaps->ranges[lower].to = gaps->ranges[lower + 1].to;
    remove_range(gaps, lower + 1);
}

enum err gaps_add(struct gaps **gaps, uint64_t from, uint64_t to, enum gap_cause cause)
{
    enum err error = make_room_for_range(gaps);
    if (error != ERR_OK)
        return error;
    struct gaps *list = *gaps;
    uint32_t at = seek_range(list, from);
    /* A range that was merged into `unknown` may cover it already. */
    if (at < list->n && list->ranges[at].from <= to)
        return ERR_OK;
    memmove(&list->ranges[at + 1], &list->ranges[at], (list->n - at) * sizeof list->ranges[0]);
    list->ranges[at] = (struct gap){from, to, cause};
    list->n++;
    if (at + 1 < list->n && ranges_adjoin(list, at))
        join_ranges(list, at);
    if (at > 0 && ranges_adjoin(list, at - 1))
        join_ranges(list, at - 1);
    if (list->n > GAPS_MAX) {
        join_ranges(list, 0);
        list->ranges[0].cause = GAP_UNKNOWN;
        if (ranges_adjoin(list, 0)) /* an unknown range that the caller added */
            join_ranges(list, 0);
    }
    return ERR_OK;
}

enum gap_cause gaps_find(const struct gaps *gaps, uint64_t seq)
{
    uint32_t at = seek_range(gaps, seq);
    if (gaps == NULL || at == gaps->n || gaps->ranges[at].from > seq)
        return GAP_NONE;
    return gaps->ranges[at].cause;
}

/* ---- the text of a list ---- */

size_t gaps_write(const struct gaps *gaps, char out[GAPS_TEXT_MAX_BYTES])
{
    char *at = out;
    for (uint32_t i = 0; gaps != NULL && i < gaps->n; i++) {
        if (i > 0)
            *at++ = ',';
        at = put_number(at, gaps->ranges[i].from);
        *at++ = '-';
        at = put_number(at, gaps->ranges[i].to);
        *at++ = ':';
        *at++ = (char)gaps->ranges[i].cause;
    }
    return (size_t)(at - out);
}

enum { RANGE_MAX_DIGITS = 18 };

static bool take_gap(struct span *rest, uint64_t above, struct gap *ret_gap)
{
    if (!decimal_take(rest, RANGE_MAX_DIGITS, '-', &ret_gap->from) ||
        !decimal_take(rest, RANGE_MAX_DIGITS, ':', &ret_gap->to) || rest->len == 0 ||
        ret_gap->from <= above || ret_gap->to < ret_gap->from)
        return false;
    ret_gap->cause = (enum gap_cause)rest->bytes[0];
    *rest = (struct span){rest->bytes + 1, rest->len - 1};
    return gap_cause_is_recorded(ret_gap->cause);
}

enum err gaps_read(struct span text, struct gaps **ret_gaps)
{
    struct gaps *gaps = NULL;
    enum err error = ERR_OK;
    uint64_t above = 0;
    while (text.len > 0) {
        struct gap gap;
        error = ERR_INVALID_FIELD;
        if (!take_gap(&text, above, &gap) || (gaps != NULL && gaps->n == GAPS_MAX))
            goto fail;
        error = gaps_add(&gaps, gap.from, gap.to, gap.cause);
        if (error != ERR_OK)
            goto fail;
        above = gap.to;
        if (text.len == 0)
            break;
        error = ERR_INVALID_FIELD;
        if (text.bytes[0] != ',' || text.len == 1)
            goto fail;
        text = (struct span){text.bytes + 1, text.len - 1};
    }
    *ret_gaps = gaps;
    return ERR_OK;
fail:
    free(gaps);
    return error;
}

/* ---- which numbers a reader misses ---- */

struct missing {
    struct gap *gaps;
    size_t n;
    size_t cap;
};

static enum err add_missing(struct missing *missing, uint64_t from, uint64_t to,
                            enum gap_cause cause)
{
    if (missing->n > 0) {
        struct gap *last = &missing->gaps[missing->n - 1];
        if (last->to + 1 == from && last->cause == cause) {
            last->to = to;
            return ERR_OK;
        }
    }
    if (missing->n == missing->cap) {
        size_t cap = missing->cap == 0 ? 4 : 2 * missing->cap;
        struct gap *more = realloc(missing->gaps, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        missing->gaps = more;
        missing->cap = cap;
    }
    missing->gaps[missing->n++] = (struct gap){from, to, cause};
    return ERR_OK;
}

/* Adds from..to, of which the list records nothing. */
static enum err add_unrecorded(struct missing *missing, uint64_t acked, uint64_t from, uint64_t to)
{
    enum err error = ERR_OK;
    if (from > to)
        return ERR_OK;
    if (from <= acked)
        error = add_missing(missing, from, to < acked ? to : acked, GAP_ACKNOWLEDGED);
    if (error == ERR_OK && to > acked)
        error = add_missing(missing, from > acked ? from : acked + 1, to, GAP_UNKNOWN);
    return error;
}

/* Adds from..to, all of which is missing, with the causes of the list. */
static enum err add_run(struct missing *missing, const struct gaps *gaps, uint64_t acked,
                        uint64_t from, uint64_t to)
{
    enum err error = ERR_OK;
    for (uint32_t i = seek_range(gaps, from);
         error == ERR_OK && gaps != NULL && i < gaps->n && gaps->ranges[i].from <= to; i++) {
        const struct gap *range = &gaps->ranges[i];
        uint64_t begin = range->from > from ? range->from : from;
        uint64_t end = range->to < to ? range->to : to;
        error = add_unrecorded(missing, acked, from, begin - 1);
        if (error == ERR_OK)
            error = add_missing(missing, begin, end, range->cause);
        from = end + 1;
    }
    return error == ERR_OK ? add_unrecorded(missing, acked, from, to) : error;
}

enum err gaps_missing(const struct gaps *gaps, uint64_t acked, uint64_t after, uint64_t last,
                      const uint64_t *seqs, size_t n_seqs, struct gap **ret_missing, size_t *ret_n)
{
    struct missing missing = {0};
    enum err error = ERR_OK;
    for (size_t i = 0; i < n_seqs && seqs[i] <= last && error == ERR_OK; i++) {
        if (seqs[i] <= after)
            continue;
        if (seqs[i] > after + 1)
            error = add_run(&missing, gaps, acked, after + 1, seqs[i] - 1);
        after = seqs[i];
    }
    if (error == ERR_OK && last > after)
        error = add_run(&missing, gaps, acked, after + 1, last);
    if (error != ERR_OK) {
        free(missing.gaps);
        return error;
    }
    *ret_missing = missing.gaps;
    *ret_n = missing.n;
    return ERR_OK;
}

enum err gaps_withdrawn(const struct gaps *gaps, uint64_t after, uint64_t last,
                        struct gap **ret_withdrawn, size_t *ret_n)
{
    struct missing withdrawn = {0};
    for (uint32_t i = seek_range(gaps, after + 1);
         gaps != NULL && i < gaps->n && gaps->ranges[i].from <= last; i++) {
        const struct gap *range = &gaps->ranges[i];
        uint64_t from = range->from > after ? range->from : after + 1;
        uint64_t to = range->to < last ? range->to : last;
        if (range->cause != GAP_CANCELLED && range->cause != GAP_COLLAPSED)
            continue;
        if (add_missing(&withdrawn, from, to, range->cause) != ERR_OK) {
            free(withdrawn.gaps);
            return ERR_NO_MEMORY;
        }
    }
    *ret_withdrawn = withdrawn.gaps;
    *ret_n = withdrawn.n;
    return ERR_OK;
}
