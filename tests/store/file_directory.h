/* A file store in a directory of its own under /tmp, for the tests of test_store_file*.c. */
#ifndef HERALD_TESTS_STORE_FILE_DIRECTORY_H
#define HERALD_TESTS_STORE_FILE_DIRECTORY_H

#include "gateway/stores/stores.h"
#include "tests/store/contract_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

extern char directory[64];

void remove_directory(void);

void make_directory(void);

struct store *open_at(struct store_config *config, const char *path);

/* The same directory again, as after a restart. */
void reopen(void);

void expect_refusal(const char *url, const char *word);

/* Fills the store until an append fails; answers the highest number that was given. */
uint64_t append_until_full(struct store *filled);

#endif
