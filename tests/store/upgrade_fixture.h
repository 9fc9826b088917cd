/* A file store on its way from one process to the next. Here both are one process: two stores in it
 * share the lock as two processes would. `store` is the one that is there first, `next` the one
 * that is awaited. */
#ifndef HERALD_TESTS_STORE_UPGRADE_FIXTURE_H
#define HERALD_TESTS_STORE_UPGRADE_FIXTURE_H

#include "tests/store/file_directory.h"

extern struct store *next;

/* Before and after each test. */
void upgrade_setup(void);
void upgrade_teardown(void);

void upgrade_close_both(void);

struct store_config awaited_config(int lock_fd);

/* `next` may not be there yet when it returns. */
void hand_over(void);

bool is_answered(const struct call *call);

#endif
