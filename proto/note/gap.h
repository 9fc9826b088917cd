/* Why numbers are missing: ranges of a user's numbers that left the inbox unacknowledged, each with
 * its cause (CONTRACT 2 and 5.1). Pure; a list belongs to one thread. */
#ifndef HERALD_PROTO_GAP_H
#define HERALD_PROTO_GAP_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

/* The letters are what stands in the stores' records. */
enum gap_cause {
    GAP_NONE = 0, /* nothing is recorded of that number */
    GAP_EXPIRED = 'e',
    GAP_OVERFLOW = 'o',
    GAP_CANCELLED = 'c',
    GAP_COLLAPSED = 'l',
    GAP_ACKNOWLEDGED = 'a', /* never recorded: what a position says of the numbers up to it */
    GAP_RESET = 'r',        /* never recorded: the epoch is another one */
    GAP_UNKNOWN = 'u',      /* older ranges that were merged */
};

/* "expired"...; of a value that is none of them: "unknown". */
const char *gap_cause_text(enum gap_cause cause);
bool gap_cause_is_recorded(enum gap_cause cause); /* one that may stand in a list */

struct gap {
    uint64_t from, to; /* both are missing: from <= to */
    enum gap_cause cause;
};

enum { GAPS_MAX = 64 };

/* Rising, disjoint ranges, at most GAPS_MAX; neighbours of one cause are one range. NULL is an
 * empty list. */
struct gaps {
    uint32_t n;
    uint32_t cap;
    struct gap ranges[];
};

/* Records that from..to have left, none of which may be in the list yet; anywhere in it. One range
 * too many: the two lowest become one `unknown` range over both and what lies between them.
 * ERR_NO_MEMORY changes nothing. The list is freed with free(). */
MUST_CHECK enum err gaps_add(struct gaps **gaps, uint64_t from, uint64_t to, enum gap_cause cause);

enum gap_cause gaps_find(const struct gaps *gaps, uint64_t seq); /* GAP_NONE: not in the list */

/* "from-to:c,from-to:c": how a list stands in records. */
enum { GAPS_TEXT_MAX_BYTES = GAPS_MAX * (2 * 20 + 4) };
size_t gaps_write(const struct gaps *gaps, char out[GAPS_TEXT_MAX_BYTES]); /* answers its length */
/* ERR_INVALID_FIELD: malformed, not rising or too many. An empty text is NULL. */
MUST_CHECK enum err gaps_read(struct span text, struct gaps **ret_gaps);

/* What a reader misses: the numbers above `after` and up to `last` that are not among the n_seqs
 * rising numbers. Those of the list have their cause, of the others those up to `acked` were
 * acknowledged and the rest is unknown. The caller frees *ret_missing (NULL when nothing is). */
MUST_CHECK enum err gaps_missing(const struct gaps *gaps, uint64_t acked, uint64_t after,
                                 uint64_t last, const uint64_t *seqs, size_t n_seqs,
                                 struct gap **ret_missing, size_t *ret_n);

/* Of the numbers above `after` and up to `last` those that were cancelled or collapsed, as far as
 * the list still says so, rising. The caller frees *ret_withdrawn (NULL when there are none). */
MUST_CHECK enum err gaps_withdrawn(const struct gaps *gaps, uint64_t after, uint64_t last,
                                   struct gap **ret_withdrawn, size_t *ret_n);

#endif
