/* Commits that fail in the midst of something: a request that takes several, and the making of
 * room. The sync of the data is what fails, at the call that LMDB makes. */
#include "tests/store/file_twin.h"
#include "tests/store/small_disk.h"

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_record.h"

#include <sys/syscall.h>

TestSuite(store_file_failures, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

static atomic_int n_before_failure;        /* syncs, that one included; 0: none fails */
static atomic_bool must_fail_without_room; /* the first sync after the disk gave no room */

int fail_fdatasync(int fd) __asm__("fdatasync");
int fail_fdatasync(int fd)
{
    if (atomic_load(&n_before_failure) == 0 || atomic_fetch_sub(&n_before_failure, 1) > 1)
        return (int)syscall(SYS_fdatasync, fd);
    atomic_store(&must_fail_without_room, false);
    errno = EIO;
    return -1;
}

int watch_fallocate(int fd, int mode, off_t offset, off_t len) __asm__("fallocate64");
int watch_fallocate(int fd, int mode, off_t offset, off_t len)
{
    int failed = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    if (atomic_load(&must_fail_without_room))
        atomic_store(&n_before_failure, failed != 0);
    return failed;
}

static void fail_sync(int which)
{
    atomic_store(&n_before_failure, which);
}

enum { NOTES = 3000, DATA_BYTES = 1150 };

static void append_notes(const char *user, size_t n)
{
    static char data[DATA_BYTES];
    static struct append_call calls[NOTES];
    for (size_t i = 0; i < n; i++)
        append_begin(store, &calls[i], user, (struct span){data, sizeof data}, 600);
    for (size_t i = 0; i < n; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
    }
}

static void wait_until_written(const char *user, struct epoch epoch, uint64_t seq)
{
    int64_t until_ms = clock_wall_ms() + 10000;
    while (ack_one(store, user, epoch, seq) != ERR_OK)
        cr_assert_lt(clock_wall_ms(), until_ms, "what frees room is committed again");
}

/* ---- a request that takes several commits ---- */

/* On a full disk each commit changes little. */
static void purge_with_a_failure(int which, struct store_withdraw *ret_purged)
{
    fail_sync(which);
    *ret_purged = purge(store, "anna");
    cr_assert_eq(ret_purged->error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(atomic_load(&n_before_failure), 0);
}

Test(store_file_failures, a_purge_counts_what_has_left_when_a_commit_fails)
{
    struct store_withdraw purged;
    if (!open_on_small_disk())
        return;
    append_notes("anna", NOTES);
    append_notes("bert", 2);
    append_until_full(store);
    fill_disk();
    wait_for_state(false);
    uint64_t pending = peek_one(store, "anna").pending;
    struct epoch epoch = peek_one(store, "bert").epoch;

    purge_with_a_failure(1, &purged);
    cr_assert_eq(purged.n_removed, 0);
    cr_assert_eq(peek_one(store, "anna").pending, pending);
    wait_until_written("bert", epoch, 1);

    purge_with_a_failure(3, &purged);
    cr_assert_gt(purged.n_removed, 0);
    cr_assert_eq(peek_one(store, "anna").pending, pending - purged.n_removed);
    wait_until_written("bert", epoch, 2);

    cr_assert_eq(purge(store, "anna").n_removed, pending - purged.n_removed);
    leave_small_disk();
}

/* ---- a commit that only makes room ---- */

static void expect_last_one_pending(const char *user)
{
    struct store_peek peek = peek_one(store, user);
    cr_assert_eq(peek.head, NOTES);
    cr_assert_eq(peek.acked, NOTES - 1);
    cr_assert_eq(peek.pending, 1);
}

static enum err count_note(void *owner, uint64_t key, struct span bytes)
{
    (void)key;
    uint64_t *n_notes = owner;
    struct file_record record;
    const char *detail;
    cr_assert_eq(file_record_read(bytes, &record, &detail), ERR_OK);
    *n_notes += record.kind == FILE_RECORD_NOTE;
    return ERR_OK;
}

/* The last that was acknowledged may be among them. */
static uint64_t count_notes_in_file(void)
{
    char path[64];
    char why[200];
    struct file_lmdb *lmdb;
    uint64_t n_notes = 0;
    file_twin_copy(directory, path);
    cr_assert_eq(file_lmdb_open(path, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_note, &n_notes), ERR_OK);
    file_lmdb_close(lmdb);
    file_twin_remove(path);
    return n_notes;
}

static void push_until_taken(void)
{
    int64_t until_ms = clock_wall_ms() + 10000;
    while (append_one(store, "carl", "{}", 600).error != ERR_OK)
        cr_assert_lt(clock_wall_ms(), until_ms, "there is room again");
}

/* With each of these some of what is stale leaves. */
static void push_while_there_is_room(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        cr_assert_eq(append_one(store, "carl", "{}", 600).error, ERR_OK);
}

/* What was acknowledged is still in the file when the disk is full, and makes room. */
Test(store_file_failures, a_commit_that_only_makes_room_loses_nothing_when_it_fails)
{
    enum { MORE = 150 };
    if (!open_on_small_disk())
        return;
    append_notes("bert", NOTES);
    struct epoch epoch = peek_one(store, "bert").epoch;
    cr_assert_eq(ack_one(store, "bert", epoch, NOTES - 2), ERR_OK);
    fill_disk();
    atomic_store(&must_fail_without_room, true);
    uint64_t given = append_until_full(store);
    cr_assert(!atomic_load(&must_fail_without_room), "a commit has failed");
    wait_until_written("bert", epoch, NOTES - 1);
    expect_last_one_pending("bert");
    free_disk();
    push_until_taken();
    push_while_there_is_room(MORE - 1);
    cr_assert_eq(peek_one(store, "anna").pending, given);
    uint64_t n_notes = count_notes_in_file();
    cr_assert_leq(n_notes, given + MORE + 2, "%d notes are in the file", (int)n_notes);
    recorder_fini();
    recorder_init();
    reopen();
    expect_last_one_pending("bert");
    cr_assert_eq(peek_one(store, "anna").pending, given);
    leave_small_disk();
}
