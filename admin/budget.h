/* The memory that requests of the admin API hold: bodies, targets, results. It has two parts: one
 * for the first BUDGET_SMALL_BYTES of each request, so that large bodies never keep small ones out,
 * and one for what a request holds beyond these. Of the second part a key may have half, if there
 * are several keys. What is charged is what has arrived, never what was announced.
 *
 * Each worker charges small amounts to a purse of its own, which it fills from the shared part and
 * empties into it in steps, so that a push touches no memory that other workers write. The steps
 * are as small as it takes for all purses together to keep no more than the first part has beyond
 * BUDGET_REQUESTS small requests.
 *
 * Threads: a purse and what is charged through it belong to one thread; a budget and an account to
 * any. */
#ifndef HERALD_ADMIN_BUDGET_H
#define HERALD_ADMIN_BUDGET_H

#include "proto/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { BUDGET_SMALL_BYTES = 65536, BUDGET_REQUESTS = 1200 };
#define BUDGET_SMALL_PART_BYTES ((size_t)80 << 20)
#define BUDGET_LARGE_PART_BYTES ((size_t)176 << 20)

struct budget {
    atomic_size_t small_left; /* what is left of both parts */
    atomic_size_t large_left;
    size_t step_bytes; /* what a purse takes and gives back at once; it keeps less than two steps */
};

/* What the requests of one key have of the second part. */
struct budget_account {
    atomic_size_t large_bytes;
};

struct budget_purse {
    struct budget *budget;
    size_t left; /* taken from the first part, and not charged to a request */
};

/* What one request has; zeroed at first. */
struct budget_charge {
    size_t small_bytes;
    size_t large_bytes;
};

void budget_init(struct budget *budget, unsigned n_purses); /* 1 at least */
void budget_purse_init(struct budget_purse *purse, struct budget *budget);
void budget_purse_fini(struct budget_purse *purse);

/* Charges `bytes` more to the request. false: there is no room, and nothing was charged. is_shared:
 * the account may have half of the second part only. */
MUST_CHECK bool budget_take(struct budget_purse *purse, struct budget_account *account,
                            bool is_shared, size_t bytes, struct budget_charge *charge);

/* Gives back all that the request has. */
void budget_give_back(struct budget_purse *purse, struct budget_account *account,
                      struct budget_charge *charge);

#endif
