/* The steps of store_upgrade.h on a local store's core. For store_local.c, on the thread that runs
 * the store's turns, between two turns. */
#ifndef HERALD_STORE_LOCAL_UPGRADE_H
#define HERALD_STORE_LOCAL_UPGRADE_H

#include "gateway/store/store_upgrade.h"
#include "gateway/stores/local/local_core.h"

/* Of a core that was just made, with an empty index and a backing whose records are not open: they
 * are another process's. */
void local_upgrade_await(struct local_core *core);

/* Opens the records and builds the index; the core was awaited. Answers what has waited, to be
 * carried out next. */
MUST_CHECK struct store_request *local_upgrade_take_over(struct local_core *core);

/* Closes the records, and answers what has waited, to be refused next. The index stays until
 * local_upgrade_forget finds that LOCAL_FORGET_AFTER_MS have passed: to free a large one takes as
 * much of the CPU as the next process needs to build its own. Most processes have ended by then. */
enum { LOCAL_FORGET_AFTER_MS = 10000 };
MUST_CHECK struct store_request *local_upgrade_let_go(struct local_core *core);
void local_upgrade_forget(struct local_core *core);

void local_upgrade_each_ticket(const struct local_core *core, store_ticket_visit_fn *visit,
                               void *owner);

/* As store_adopt_tickets. */
MUST_CHECK enum err local_upgrade_adopt(struct local_core *core, const struct store_ticket *tickets,
                                        size_t n_tickets);

#endif
