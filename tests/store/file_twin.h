/* File stores without a thread, on a clock of the test's: each request here is one turn, and so at
 * most one commit. */
#ifndef HERALD_TESTS_STORE_FILE_TWIN_H
#define HERALD_TESTS_STORE_FILE_TWIN_H

#include "gateway/stores/file/store_file.h"
#include "tests/store/contract_calls.h"

extern int64_t file_twin_ms;

/* `config` holds the ceilings, and whether the store is awaited. */
struct store *file_twin_open(const char *path, struct store_config config);

/* Data "{}" for that long; `target` says all that is known of the user. */
void file_twin_append(struct store *to, struct store_target *target, const char *collapse_key,
                      uint32_t ttl_s);

enum err file_twin_ack(struct store *to, struct store_ack asked);

struct store_page file_twin_page(struct store *to, struct store_page asked);

struct store_peek file_twin_peek(struct store *to, const char *user);

struct store_look file_twin_look(struct store *to, const char *user, struct epoch epoch,
                                 uint64_t seq);

struct store_withdraw file_twin_withdraw(struct store *to, struct store_withdraw asked);

/* Copies what the store in `from` has committed to a new directory, whose name goes to `ret_path`:
 * as it would be found after a kill at this moment. */
void file_twin_copy(const char *from, char ret_path[64]);

void file_twin_remove(const char *path);

#endif
