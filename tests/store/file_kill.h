/* A file store that is killed between any two commits, or hands itself over. After each step the
 * file is copied, as a kill would leave it, and opened again; the copy must show exactly what the
 * running store shows, and so must the store of the process that it is handed to.
 *
 * Most copies are opened as by a process to which the lock was given: that spares the child process
 * that reads the file first, which costs most of the time where memory is large (a sanitizer's).
 * Those that go on in the place of a store that was killed are opened as at any start. */
#ifndef HERALD_TESTS_STORE_FILE_KILL_H
#define HERALD_TESTS_STORE_FILE_KILL_H

#include "gateway/stores/file/file_record.h"
#include "tests/store/file_directory.h"
#include "tests/store/file_twin.h"

struct file_kill {
    struct store_config config;
    void (*expect_same)(struct store *copy); /* as file_kill_running */
    void (*do_something)(void);              /* a step */
};

extern struct store *file_kill_running;

/* Opens the store in a directory of its own, at the start and the end of a test. */
void file_kill_begin(struct file_kill kill);
void file_kill_end(void);

/* By the seed of file_kill_live: below n. */
uint64_t file_kill_pick(uint64_t n);

/* With `is_killed` the copy is what goes on, instead of the store that it was made from. */
void file_kill_copy(bool is_killed);
/* Does so many steps, with a copy after each, a kill each 20 and a hand-over each 20. */
void file_kill_live(uint64_t seed, int steps);

/* What is stale begins to leave after ten of these. */
void file_kill_pass_seconds(uint64_t n);

/* How many records of each kind are in the file. */
struct file_census {
    size_t n[FILE_RECORD_KINDS];
};
struct file_census file_kill_count(void);

#endif
