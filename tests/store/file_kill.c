#include "tests/store/file_kill.h"

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_lock.h"

struct store *file_kill_running;

static struct file_kill kill_of;
static uint64_t random_state;

uint64_t file_kill_pick(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

void file_kill_begin(struct file_kill kill)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    make_directory();
    file_twin_ms = 1700000000000;
    kill_of = kill;
    file_kill_running = file_twin_open(directory, kill.config);
}

void file_kill_end(void)
{
    store_close(file_kill_running);
    remove_directory();
    recorder_fini();
    contract_check_leaks();
}

/* ---- copies ---- */

static struct store *open_given(const char *path)
{
    char why[400];
    struct store_config config = kill_of.config;
    config.is_awaited = true;
    cr_assert_eq(file_lock_take(path, &config.lock_fd, why, sizeof why), ERR_OK, "%s", why);
    struct store *opened = file_twin_open(path, config);
    file_lock_release(config.lock_fd);
    store_take_over(opened);
    return opened;
}

static void go_on_with_copy(void)
{
    char path[64];
    file_twin_copy(directory, path);
    struct store *copy = file_twin_open(path, kill_of.config);
    kill_of.expect_same(copy);
    store_close(file_kill_running);
    remove_directory();
    memcpy(directory, path, sizeof directory);
    file_kill_running = copy;
}

void file_kill_copy(bool is_killed)
{
    char path[64];
    if (is_killed) {
        go_on_with_copy();
        return;
    }
    file_twin_copy(directory, path);
    struct store *copy = open_given(path);
    kill_of.expect_same(copy);
    store_close(copy);
    file_twin_remove(path);
}

/* To the next process, which shows what a copy shows that was made before. */
static void hand_over(void)
{
    char path[64];
    file_twin_copy(directory, path);
    struct store *copy = open_given(path);
    struct store_config config = kill_of.config;
    config.is_awaited = true;
    config.lock_fd = store_lock_fd(file_kill_running);
    struct store *next = file_twin_open(directory, config);
    store_let_go(file_kill_running);
    store_take_over(next);
    store_close(file_kill_running);
    file_kill_running = next;
    kill_of.expect_same(copy);
    store_close(copy);
    file_twin_remove(path);
}

/* ---- a history ---- */

void file_kill_pass_seconds(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        file_twin_ms += 1000;
        store_local_turn(file_kill_running);
    }
}

void file_kill_live(uint64_t seed, int steps)
{
    enum { STEPS_BETWEEN_KILLS = 20 };
    random_state = seed;
    for (int step = 1; step <= steps; step++) {
        kill_of.do_something();
        file_kill_copy(step % STEPS_BETWEEN_KILLS == 0);
        if (step % STEPS_BETWEEN_KILLS == STEPS_BETWEEN_KILLS / 2)
            hand_over();
    }
}

/* ---- what is in the file at last ---- */

static enum err count_record(void *owner, uint64_t key, struct span bytes)
{
    (void)key;
    struct file_census *census = owner;
    struct file_record record;
    const char *detail;
    cr_assert_eq(file_record_read(bytes, &record, &detail), ERR_OK, "%s", detail);
    census->n[record.kind]++;
    return ERR_OK;
}

struct file_census file_kill_count(void)
{
    char path[64];
    char why[200];
    struct file_lmdb *lmdb;
    struct file_census census = {{0}};
    file_twin_copy(directory, path);
    cr_assert_eq(file_lmdb_open(path, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_record, &census), ERR_OK);
    file_lmdb_close(lmdb);
    file_twin_remove(path);
    return census;
}
