/* The file store on its directory: what it keeps over restarts and kills, which files it refuses,
 * its ceiling and a full disk. */
#include "tests/store/block_calls.h"
#include "tests/store/file_directory.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_LIMIT_BYTES = 4 << 20 };

TestSuite(store_file, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

Test(store_file, keeps_everything_over_a_restart)
{
    for (int i = 0; i < 10; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    struct epoch unknown = {"zzzzzzzz"}; /* so that the page begins an epoch */
    struct store_page fresh = page_knowing(store, "only a page", unknown, 3);
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    append_number(store, "bert", 7, 60);
    struct epoch bert = peek_one(store, "bert").epoch;
    cr_assert_eq(ack_one(store, "bert", bert, 1), ERR_OK);
    reopen();
    struct store_page page = page_all(store, "anna");
    cr_assert(epoch_equal(page.epoch, epoch));
    cr_assert_eq(page.head, 10);
    cr_assert_eq(page.acked, 4);
    cr_assert_eq(page.n_notes, 6);
    for (int i = 0; i < 6; i++)
        expect_number(page.notes[i], i + 4);
    page_free(&page);
    struct store_peek peek = peek_one(store, "bert");
    cr_assert(epoch_equal(peek.epoch, bert));
    cr_assert_eq(peek.head, 1);
    cr_assert_eq(peek.acked, 1);
    cr_assert_eq(append_one(store, "bert", "{}", 60).seq, 2);
    cr_assert(!epoch_is_none(fresh.epoch));
    cr_assert(epoch_equal(peek_one(store, "only a page").epoch, fresh.epoch));
    page_free(&fresh);
}

Test(store_file, keeps_the_numbers_of_what_expired_over_a_restart)
{
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 1);
    struct epoch epoch = peek_one(store, "anna").epoch;
    sleep_until_wall_ms(clock_wall_ms() + 1100);
    append_number(store, "anna", 3, 1); /* keeps the sweep from being the only one to look */
    sleep_until_wall_ms(clock_wall_ms() + 2500);
    reopen();
    struct store_target got = append_one(store, "anna", "{}", 60);
    cr_assert_eq(got.seq, 5);
    cr_assert(epoch_equal(got.epoch, epoch));
}

Test(store_file, keeps_shared_payloads_over_a_restart)
{
    struct store_target targets[3] = {{.user_id = SPAN_LITERAL("anna")},
                                      {.user_id = SPAN_LITERAL("bert")},
                                      {.user_id = SPAN_LITERAL("carl")}};
    append_to(store, targets, 3, SPAN_LITERAL("{\"to\":\"all\"}"), 60);
    cr_assert_eq(ack_one(store, "anna", targets[0].epoch, 1), ERR_OK);
    reopen();
    cr_assert_eq(ack_one(store, "bert", targets[1].epoch, 1), ERR_OK);
    struct store_page page = page_all(store, "carl");
    cr_assert_eq(page.n_notes, 1);
    expect_text(page.notes[0], "{\"to\":\"all\"}");
    page_free(&page);
    cr_assert_eq(ack_one(store, "carl", targets[2].epoch, 1), ERR_OK);
    reopen();
    cr_assert_eq(peek_one(store, "carl").acked, 1);
}

Test(store_file, refuses_a_second_herald_in_its_directory)
{
    char url[100];
    snprintf(url, sizeof url, "file:%s", directory);
    expect_refusal(url, "another Herald");
}

Test(store_file, says_what_to_do_about_a_path_that_it_cannot_use)
{
    expect_refusal("file:/dev/null", "not a directory");
    expect_refusal("file:/nonexistent/herald", "make it first");
    expect_refusal("file:/sys/herald", "choose another --store");
}

Test(store_file, says_what_to_do_about_a_file_that_is_no_store)
{
    char path[100];
    char url[100];
    store_close(store);
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    FILE *file = fopen(path, "w");
    fputs("somebody else's file, and too short for a page of LMDB's", file);
    fclose(file);
    snprintf(url, sizeof url, "file:%s", directory);
    expect_refusal(url, "restore the directory from a copy");
    remove(path);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

Test(store_file, names_the_record_that_is_damaged)
{
    append_number(store, "needle-in-the-file", 1, 60);
    store_close(store);
    char path[100];
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    FILE *file = fopen(path, "r+");
    static char bytes[1 << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    char *at = memmem(bytes, len, "needle-in-the-file", 18);
    cr_assert_not_null(at);
    fseek(file, at - bytes - 35, SEEK_SET); /* the version of its record */
    fputc(0x7f, file);
    fclose(file);
    char url[100];
    snprintf(url, sizeof url, "file:%s", directory);
    expect_refusal(url, "record 1 is damaged");
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

Test(store_file, grows_beyond_its_first_map)
{
    static char big[60000];
    memset(big, 'x', sizeof big);
    contract_open_with(100000, (uint64_t)1 << 40);
    enum { COUNT = 1500 }; /* 90 MB */
    static struct append_call calls[COUNT];
    for (int i = 0; i < COUNT; i++)
        append_begin(store, &calls[i], "anna", (struct span){big, sizeof big}, 600);
    for (int i = 0; i < COUNT; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, (uint64_t)i + 1);
    }
    struct store_page page = page_after(store, "anna", COUNT - 1, 10, UINT32_MAX);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    reopen();
    cr_assert_eq(peek_one(store, "anna").pending, COUNT);
}

Test(store_file, refuses_beyond_its_ceiling_until_room_is_made)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 30);
    config.max_bytes = 1 << 20;
    store = backend_open(&config);
    static char big[50000];
    struct store_target got = {0};
    uint64_t count = 0;
    do {
        got = append_span(store, "anna", (struct span){big, sizeof big}, 600);
        count += got.error == ERR_OK;
    } while (got.error == ERR_OK && count < 100);
    cr_assert_eq(got.error, ERR_FULL);
    cr_assert(count >= 15 && count <= 21, "%llu of 50 kB went into 1 MiB",
              (unsigned long long)count);
    cr_assert_eq(ack_one(store, "anna", peek_one(store, "anna").epoch, count), ERR_OK);
    got = append_span(store, "anna", (struct span){big, sizeof big}, 600);
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_eq(got.seq, count + 1, "a refused append takes no number");
}

/* ---- killed in the middle ---- */

/* Appends without end and writes each number that was answered to the pipe. */
static void append_until_killed(int pipe_fd)
{
    struct store_config config = contract_config(1000000, (uint64_t)1 << 40);
    struct store *mine = open_at(&config, directory);
    for (;;) {
        struct store_target got = append_one(mine, "anna", "{}", 600);
        if (got.error != ERR_OK || write(pipe_fd, &got.seq, sizeof got.seq) < 0)
            _exit(1);
    }
}

static uint64_t run_and_kill(void)
{
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0)
        append_until_killed(fds[1]);
    close(fds[1]);
    nanosleep(&(struct timespec){0, 300000000}, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    uint64_t seq;
    uint64_t last = 0;
    while (read(fds[0], &seq, sizeof seq) == (ssize_t)sizeof seq)
        last = seq;
    close(fds[0]);
    return last;
}

Test(store_file, has_every_answered_append_after_being_killed)
{
    for (int round = 0; round < 5; round++) {
        store_close(store);
        uint64_t answered = run_and_kill();
        struct store_config config = contract_config(1000000, (uint64_t)1 << 40);
        store = open_at(&config, directory);
        struct store_page page = page_all(store, "anna");
        cr_assert(page.head >= answered, "%llu answered, %llu kept", (unsigned long long)answered,
                  (unsigned long long)page.head);
        cr_assert_eq(page.n_notes, page.head);
        for (size_t i = 0; i < page.n_notes; i++)
            cr_assert_eq(page.notes[i]->seq, i + 1);
        page_free(&page);
    }
}

/* ---- a full disk ---- */

/* Nothing of the failed group is there, and what was there can be read. */
static void expect_last_state(uint64_t given)
{
    char why[400];
    wait_for_state(false);
    store_describe(store, why, sizeof why);
    cr_assert_not_null(strstr(why, "cannot be written"), "%s", why);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.head, given);
    cr_assert_eq(page.n_notes, given);
    page_free(&page);
    cr_assert_eq(append_one(store, "anna", "{}", 600).error, ERR_STORE_UNAVAILABLE);
}

static void expect_recovery(uint64_t given)
{
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 600).seq, given + 1, "numbers were taken back");
    recorder_fini();
    recorder_init();
    reopen();
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.head, given + 1);
    cr_assert_eq(page.n_notes, given + 1);
    page_free(&page);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file that may not grow stands for a disk that writes cannot reach, wherever the tests run. */
Test(store_file, takes_a_group_back_when_its_file_cannot_grow)
{
    contract_open_with(100000, (uint64_t)1 << 40);
    signal(SIGXFSZ, SIG_IGN);
    set_file_limit(FIRST_LIMIT_BYTES);
    uint64_t given = append_until_full(store);
    cr_assert(given > 2);
    expect_last_state(given);
    set_file_limit(RLIM_INFINITY);
    expect_recovery(given);
}

Test(store_file, survives_a_disk_that_is_full)
{
    store_close(store);
    if (mount("herald-test", directory, "tmpfs", 0, "size=8m") != 0) {
        fprintf(stderr, "SKIPPED survives_a_disk_that_is_full: no small disk can be mounted (%s)\n",
                strerror(errno));
        struct store_config config = contract_config(1000, 1 << 20);
        store = open_at(&config, directory);
        return;
    }
    struct store_config config = contract_config(100000, (uint64_t)1 << 40);
    store = open_at(&config, directory);
    uint64_t given = append_until_full(store);
    cr_assert(given > 2);
    expect_last_state(given);
    cr_assert_eq(mount("herald-test", directory, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    expect_recovery(given);
    store_close(store);
    umount(directory);
    config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

/* Reads stand between the appends of a batch, so some of them saw notes that then failed. */
Test(store_file, shows_nobody_what_was_not_committed)
{
    enum { COUNT = 150 };
    static struct append_call appends[COUNT];
    static struct page_call pages[COUNT];
    static char big[60000];
    contract_open_with(100000, (uint64_t)1 << 40);
    signal(SIGXFSZ, SIG_IGN);
    set_file_limit(FIRST_LIMIT_BYTES);
    for (int i = 0; i < COUNT; i++) {
        append_begin(store, &appends[i], "anna", (struct span){big, sizeof big}, 600);
        page_begin(store, &pages[i], "anna");
    }
    uint64_t given = 0;
    for (int i = 0; i < COUNT; i++) {
        append_end(&appends[i]);
        given += appends[i].target.error == ERR_OK;
    }
    cr_assert(given < COUNT, "the limit was met");
    int n_taken_back = 0;
    for (int i = 0; i < COUNT; i++) {
        struct store_page *page = &pages[i].page;
        call_wait(&pages[i].call);
        n_taken_back += page->error != ERR_OK;
        if (page->error == ERR_OK)
            cr_assert(page->head <= given && page->n_notes == page->head);
        else
            cr_assert_eq(page->n_notes, 0);
        page_free(page);
    }
    cr_assert(n_taken_back > 0);
    set_file_limit(RLIM_INFINITY);
    wait_for_state(true);
    uint64_t highest;
    cr_assert_eq(count_recorded("anna", &highest), given, "told of what was kept, and no more");
    expect_recovery(given);
}

static struct store_target append_with_key(struct span data, uint8_t print)
{
    struct store_target target = {.user_id = SPAN_LITERAL("anna")};
    append_run(store, (struct store_append){.payload = payload_new(data),
                                            .ttl_s = 600,
                                            .idempotency_key = SPAN_LITERAL("order-17"),
                                            .print = {{print}},
                                            .n_targets = 1,
                                            .targets = &target});
    return target;
}

/* A key of a push that was not kept would answer its repeat with a number that nobody has. */
Test(store_file, forgets_the_key_of_a_push_that_could_not_be_written)
{
    static char big[60000];
    signal(SIGXFSZ, SIG_IGN);
    struct epoch epoch = append_one(store, "anna", "{}", 600).epoch;
    set_file_limit(20000);
    cr_assert_eq(append_with_key((struct span){big, sizeof big}, 1).error, ERR_STORE_UNAVAILABLE);
    wait_for_state(false);
    set_file_limit(RLIM_INFINITY);
    wait_for_state(true);
    struct store_target got = append_with_key(SPAN_LITERAL("{}"), 2);
    cr_assert_eq(got.error, ERR_OK);
    cr_assert(!got.is_duplicate);
    cr_assert_eq(got.seq, 2);
    cr_assert(epoch_equal(got.epoch, epoch));
    cr_assert(append_with_key(SPAN_LITERAL("{}"), 2).is_duplicate);
}

/* Neither a block nor its end counts that was not kept. */
Test(store_file, takes_back_the_blocks_of_a_group_that_could_not_be_written)
{
    static char big[60000];
    struct append_call append;
    struct block_call blocks[2];
    static const char *const users[] = {"anna", "bert"};
    int64_t until_ms = block_for(store, "bert", 600);
    signal(SIGXFSZ, SIG_IGN);
    set_file_limit(20000);
    append_begin(store, &append, "anna", (struct span){big, sizeof big}, 600);
    for (int i = 0; i < 2; i++)
        block_begin(store, &blocks[i], users[i], i == 0 ? 60 : 0);
    append_end(&append);
    for (int i = 0; i < 2; i++) {
        call_wait(&blocks[i].call);
        cr_assert_eq(blocks[i].block.error, ERR_STORE_UNAVAILABLE);
        cr_assert_eq(blocks[i].block.until_ms, 0);
    }
    cr_assert_eq(peek_one(store, "anna").blocked_until_ms, 0);
    cr_assert_eq(peek_one(store, "bert").blocked_until_ms, until_ms);
    set_file_limit(RLIM_INFINITY);
    wait_for_state(true);
    until_ms = block_for(store, "anna", 60);
    block_for(store, "bert", 0);
    reopen();
    cr_assert_eq(peek_one(store, "anna").blocked_until_ms, until_ms);
    cr_assert_eq(peek_one(store, "bert").blocked_until_ms, 0);
}
