/* What the hot path of the file store writes: counted in pages of 4096 bytes, at the calls that
 * LMDB writes them with. Users are pushed to in an order without a pattern, and acknowledge at
 * once: the push that follows carries that, or an acknowledgement when none has followed. */
#include "tests/store/file_directory.h"
#include "tests/store/file_twin.h"

#include <sys/syscall.h>
#include <sys/uio.h>

enum { PAGE = 4096, USERS = 2000, GROUP = 16, GROUPS = 1000, GROUP_MS = 20 };

static uint64_t n_pages;
static uint64_t n_writes;

/* ---- the calls of LMDB, which the linker finds here ---- */

static void count_write(size_t bytes)
{
    n_writes++;
    n_pages += (bytes + PAGE - 1) / PAGE;
}

ssize_t count_pwrite(int fd, const void *bytes, size_t len, off_t offset) __asm__("pwrite");
ssize_t count_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    count_write(len);
    return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t count_writev(int fd, const struct iovec *parts, int n) __asm__("writev");
ssize_t count_writev(int fd, const struct iovec *parts, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += parts[i].iov_len;
    count_write(len);
    return syscall(SYS_writev, fd, parts, n);
}

/* The disk is not what is measured. */
int skip_fdatasync(int fd) __asm__("fdatasync");
int skip_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* ---- users ---- */

static struct {
    char name[16];
    struct epoch epoch;
    uint64_t head;
} users[USERS];

static struct store *pushed;

static void setup(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    make_directory();
    file_twin_ms = 1700000000000;
    pushed = file_twin_open(directory,
                            (struct store_config){.inbox_max = 1000, .inbox_max_bytes = 1 << 20});
    for (int i = 0; i < USERS; i++)
        snprintf(users[i].name, sizeof users[i].name, "user-%d", i);
}

static void teardown(void)
{
    store_close(pushed);
    remove_directory();
    recorder_fini();
    contract_check_leaks();
}

TestSuite(store_file_pages, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

static uint64_t random_state = 1;

static int pick_user(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((random_state >> 33) % USERS);
}

/* ---- groups ---- */

static void push_group(void)
{
    static struct append_call calls[GROUP];
    static char data[256];
    int chosen[GROUP];
    for (int i = 0; i < GROUP; i++) {
        int user = chosen[i] = pick_user();
        calls[i].target = (struct store_target){.user_id = span_of(users[user].name),
                                                .known_epoch = users[user].epoch,
                                                .known_head = users[user].head,
                                                .known_acked = users[user].head};
        append_start(pushed, &calls[i],
                     (struct store_append){.payload = payload_new((struct span){data, sizeof data}),
                                           .ttl_s = 600,
                                           .n_targets = 1,
                                           .targets = &calls[i].target});
    }
    store_local_turn(pushed);
    for (int i = 0; i < GROUP; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        users[chosen[i]].epoch = calls[i].target.epoch;
        users[chosen[i]].head = calls[i].target.seq;
    }
}

static void acknowledge_group(void)
{
    static struct ack_call calls[GROUP];
    for (int i = 0; i < GROUP; i++) {
        int user = pick_user();
        calls[i].ack = (struct store_ack){.user_id = span_of(users[user].name),
                                          .epoch = users[user].epoch,
                                          .seq = users[user].head};
        ack_start(pushed, &calls[i]);
    }
    store_local_turn(pushed);
    for (int i = 0; i < GROUP; i++)
        call_wait(&calls[i].call);
}

struct cost {
    double pages;  /* a push */
    uint64_t most; /* in one commit */
};

static struct cost measure(bool has_acknowledgements)
{
    struct cost cost = {0};
    for (int i = 0; i < GROUPS; i++) {
        uint64_t before = n_pages;
        push_group();
        file_twin_ms += GROUP_MS;
        if (n_pages - before > cost.most)
            cost.most = n_pages - before;
        uint64_t between = n_pages;
        if (has_acknowledgements)
            acknowledge_group();
        if (n_pages - between > cost.most)
            cost.most = n_pages - between;
        cost.pages += (double)(n_pages - before);
    }
    cost.pages /= GROUPS * GROUP;
    fprintf(stderr, "%.2f pages a push, at most %d in a commit\n", cost.pages, (int)cost.most);
    return cost;
}

Test(store_file_pages, a_push_that_carries_the_position_writes_less_than_a_page)
{
    struct cost cost = measure(false);
    cr_assert_lt(cost.pages, 1);
    cr_assert_lt(cost.most, 80);
}

Test(store_file_pages, acknowledgements_of_others_cost_as_little)
{
    struct cost cost = measure(true);
    cr_assert_lt(cost.pages, 1);
    cr_assert_lt(cost.most, 80);
}
