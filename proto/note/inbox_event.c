#include "proto/note/inbox_event.h"

#include <assert.h>
#include <stdlib.h>

struct withdrawal *withdrawal_new(struct epoch epoch, uint64_t from, uint64_t to,
                                  enum gap_cause cause)
{
    assert(1 <= from && from <= to);
    struct withdrawal *withdrawal = malloc(sizeof *withdrawal);
    if (withdrawal == NULL)
        return NULL;
    *withdrawal =
        (struct withdrawal){.refs = 1, .cause = cause, .epoch = epoch, .from = from, .to = to};
    return withdrawal;
}

struct withdrawal *withdrawal_ref(struct withdrawal *withdrawal)
{
    atomic_fetch_add_explicit(&withdrawal->refs, 1, memory_order_relaxed);
    return withdrawal;
}

void withdrawal_unref(struct withdrawal *withdrawal)
{
    if (withdrawal != NULL &&
        atomic_fetch_sub_explicit(&withdrawal->refs, 1, memory_order_acq_rel) == 1)
        free(withdrawal);
}
