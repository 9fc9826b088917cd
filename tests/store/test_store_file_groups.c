/* How many commits the file store makes of what it is asked, and what they wait for: counted at the
 * call that syncs the data of each. */
#include "tests/store/file_directory.h"
#include "tests/store/file_twin.h"

#include "gateway/net/mailbox.h"

#include <sys/syscall.h>

enum { BESIDE = 20, GROUP = 40 };

static atomic_int n_syncs;
static atomic_bool must_hold; /* the next sync waits until it is let go */
static sem_t held;
static sem_t let_go;

/* What LMDB calls: the linker finds it here. */
int count_fdatasync(int fd) __asm__("fdatasync");
int count_fdatasync(int fd)
{
    atomic_fetch_add(&n_syncs, 1);
    if (atomic_exchange(&must_hold, false)) {
        sem_post(&held);
        sem_wait(&let_go);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void setup(void)
{
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
    contract_open();
}

TestSuite(store_file_groups, .init = setup, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

Test(store_file_groups, a_first_push_of_a_quiet_moment_waits_for_one_commit_only)
{
    for (int i = 0; i < 3; i++) {
        int before = atomic_load(&n_syncs);
        cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
        cr_assert_eq(atomic_load(&n_syncs) - before, 1);
    }
}

/* What comes while a commit is under way shares the next one. */
Test(store_file_groups, a_group_grows_while_the_last_one_is_committed)
{
    struct append_call first;
    struct append_call beside[BESIDE];
    atomic_store(&must_hold, true);
    append_begin(store, &first, "anna", SPAN_LITERAL("{}"), 60);
    sem_wait(&held);
    for (int i = 0; i < BESIDE; i++)
        append_begin(store, &beside[i], "bert", SPAN_LITERAL("{}"), 60);
    int before = atomic_load(&n_syncs);
    cr_assert_eq(atomic_load(&first.call.n_answers), 0, "it is answered after its commit");
    sem_post(&let_go);
    append_end(&first);
    for (int i = 0; i < BESIDE; i++) {
        append_end(&beside[i]);
        cr_assert_eq(beside[i].target.seq, (uint64_t)i + 1);
    }
    cr_assert_eq(atomic_load(&n_syncs) - before, 1);
}

/* ---- the length of the file ---- */

static off_t length_of_file(void)
{
    char path[100];
    struct stat file;
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    cr_assert_eq(stat(path, &file), 0);
    return file.st_size;
}

/* A sync waits longer if the file system has to note a new length. */
Test(store_file_groups, few_commits_make_the_file_longer)
{
    enum { PUSHES = 300 };
    static char data[2000];
    int n_longer = 0;
    off_t length = length_of_file();
    for (int i = 0; i < PUSHES; i++) {
        cr_assert_eq(append_span(store, "anna", (struct span){data, sizeof data}, 60).error,
                     ERR_OK);
        n_longer += length_of_file() > length;
        length = length_of_file();
    }
    cr_assert_gt(length, PUSHES * (off_t)sizeof data);
    cr_assert_lt(n_longer, PUSHES / 10);
}

/* ---- wake-ups ---- */

static struct mailbox worker;
static int n_woken_before; /* answers that found the worker woken */

static void on_letter(struct letter *letter)
{
    free(letter);
}

static void post_letter(void)
{
    struct letter *letter = calloc(1, sizeof *letter);
    cr_assert_not_null(letter);
    letter->deliver = on_letter;
    mailbox_post(&worker, letter);
}

static uint64_t count_wake_ups(void)
{
    uint64_t n = 0;
    return read(worker.event_fd, &n, sizeof n) == sizeof n ? n : 0;
}

static void post_event(void *owner, struct span user_id, struct inbox_event event)
{
    (void)owner;
    (void)user_id;
    (void)event;
    post_letter();
}

static void answer_by_letter(struct store_request *request)
{
    (void)request;
    n_woken_before += count_wake_ups() > 0;
    post_letter();
}

/* A worker that sleeps gets events and answers as letters. */
static void push_group_to_sleeper(size_t n)
{
    static struct store_append appends[GROUP];
    static struct store_target targets[GROUP];
    struct payload *payload = payload_new(SPAN_LITERAL("{}"));
    char path[] = "/tmp/herald-groups-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    file_twin_ms = 1700000000000;
    struct store *twin =
        file_twin_open(path, (struct store_config){.inbox_max = 100,
                                                   .inbox_max_bytes = 1 << 20,
                                                   .events = {.on_inbox_event = post_event}});
    cr_assert_eq(mailbox_init(&worker), ERR_OK);
    cr_assert(mailbox_sleep(&worker));
    for (size_t i = 0; i < n; i++) {
        targets[i] = (struct store_target){.user_id = SPAN_LITERAL("anna")};
        appends[i] = (struct store_append){.request = {.on_done = answer_by_letter},
                                           .payload = payload,
                                           .ttl_s = 60,
                                           .n_targets = 1,
                                           .targets = &targets[i]};
        store_append(twin, &appends[i]);
    }
    store_local_turn(twin);
    cr_assert_eq(mailbox_deliver(&worker), 2 * n);
    store_close(twin);
    file_twin_remove(path);
    payload_unref(payload);
}

Test(store_file_groups, events_and_answers_of_a_small_group_share_a_wake_up)
{
    push_group_to_sleeper(3);
    cr_assert_eq(n_woken_before, 0);
    cr_assert_eq(count_wake_ups(), 1);
    mailbox_fini(&worker);
}

Test(store_file_groups, the_events_of_a_large_group_do_not_wait_for_the_answers)
{
    push_group_to_sleeper(GROUP);
    cr_assert_eq(n_woken_before, 1, "the first answer found it");
    mailbox_fini(&worker);
}
