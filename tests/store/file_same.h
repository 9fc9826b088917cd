/* Two file stores without a thread (file_twin.h) that must show the same: of a user, or of one of
 * his devices, all that a page says, and what waits. */
#ifndef HERALD_TESTS_STORE_FILE_SAME_H
#define HERALD_TESTS_STORE_FILE_SAME_H

#include "gateway/store/store.h"

void file_same_page(struct store *running, struct store *copy, const char *user,
                    const char *device);
void file_same_peek(struct store *running, struct store *copy, const char *user);

#endif
