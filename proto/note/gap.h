/* Records why numbers are missing: ranges of a user's numbers that left the inbox unacknowledged,
 * each with its cause (CONTRACT 2 and 5.1). Pure; a list belongs to one thread. */
#ifndef HERALD_PROTO_GAP_H
#define HERALD_PROTO_GAP_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

/* The letters are those in the stores' records. */
enum gap_cause {
    GAP_NONE = 0, /* nothing is recorded about the number */
    GAP_EXPIRED = 'e',
    GAP_OVERFLOW = 'o',
    GAP_CANCELLED = 'c',
    GAP_COLLAPSED = 'l',
    GAP_ACKNOWLEDGED = 'a', /* never recorded: it follows from the user's position */
    GAP_RESET = 'r',        /* never recorded: the numbers are of another epoch */
    GAP_UNKNOWN = 'u',      /* older ranges that were merged */
};

/* "expired" and so on; for an invalid value "unknown". */
const char *gap_cause_text(enum gap_cause cause);
bool gap_cause_is_recorded(enum gap_cause cause); /* may it be in a list? */

struct gap {
    uint64_t from, to; /* inclusive; from <= to */
    enum gap_cause cause;
};

enum { GAPS_MAX = 64 };

/* Ascending, disjoint ranges, at most GAPS_MAX; adjacent ranges of one cause are joined. NULL is an
 * empty list. */
struct gaps {
    uint32_t n;
    uint32_t cap;
    struct gap ranges[];
};

/* Records that the numbers from..to have left the inbox. None of them may be in the list yet; they
 * may be lower or higher than its ranges. If there is one range too many, the two lowest become one
 * `unknown` range that covers both and what is between them. ERR_NO_MEMORY changes nothing. The
 * caller frees the list with free(). */
MUST_CHECK enum err gaps_add(struct gaps **gaps, uint64_t from, uint64_t to, enum gap_cause cause);

enum gap_cause gaps_find(const struct gaps *gaps, uint64_t seq); /* GAP_NONE: not in the list */

/* "from-to:c,from-to:c": the text of a list in records. */
enum { GAPS_TEXT_MAX_BYTES = GAPS_MAX * (2 * 20 + 4) };
size_t gaps_write(const struct gaps *gaps, char out[GAPS_TEXT_MAX_BYTES]); /* returns its length */
/* ERR_INVALID_FIELD: malformed, not ascending or too many ranges. An empty text is NULL. */
MUST_CHECK enum err gaps_read(struct span text, struct gaps **ret_gaps);

/* Finds the numbers that a reader misses: those above `after` and up to `last` that are not among
 * the n_seqs ascending numbers. Numbers in the list have the cause recorded there; of the others,
 * those up to `acked` were acknowledged and the rest is unknown. The caller frees *ret_missing
 * (NULL if none is missing). */
MUST_CHECK enum err gaps_missing(const struct gaps *gaps, uint64_t acked, uint64_t after,
                                 uint64_t last, const uint64_t *seqs, size_t n_seqs,
                                 struct gap **ret_missing, size_t *ret_n);

/* Finds the numbers above `after` and up to `last` that were cancelled or collapsed, in ascending
 * order, as far as the list still has these causes. The caller frees *ret_withdrawn (NULL if there
 * are none). */
MUST_CHECK enum err gaps_withdrawn(const struct gaps *gaps, uint64_t after, uint64_t last,
                                   struct gap **ret_withdrawn, size_t *ret_n);

#endif
