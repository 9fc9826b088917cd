/* What the file store says and still does on a disk that is full, at its own ceiling, and when its
 * directory is taken away under it. */
#include "gateway/base/metrics.h"
#include "gateway/stores/local/local_core.h"
#include "tests/store/block_calls.h"
#include "tests/store/file_twin.h"
#include "tests/store/presence_calls.h"
#include "tests/store/small_disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

TestSuite(store_file_disk, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

enum { USERS = 4, NOTES = 500 };

static const char *const users[USERS] = {"bert", "carl", "dora", "emil"};

static void expect_described(const char *word)
{
    char why[400];
    wait_for_state(false);
    store_describe(store, why, sizeof why);
    cr_assert_not_null(strstr(why, word), "it says: %s", why);
}

/* ---- a full disk ---- */

/* Each page of the tree holds notes of all of them. */
static void append_small(uint32_t ttl_s_of_the_last)
{
    static char data[100];
    static struct append_call calls[NOTES][USERS];
    for (int i = 0; i < NOTES; i++)
        for (int user = 0; user < USERS; user++)
            append_begin(store, &calls[i][user], users[user], (struct span){data, sizeof data},
                         user == USERS - 1 ? ttl_s_of_the_last : 600);
    for (int i = 0; i < NOTES; i++)
        for (int user = 0; user < USERS; user++)
            append_end(&calls[i][user]);
}

static void expect_that_all_can_leave(void)
{
    struct epoch epoch = peek_one(store, "bert").epoch;
    cr_assert_eq(ack_one(store, "bert", epoch, 1), ERR_OK);
    cr_assert_eq(ack_one(store, "bert", epoch, NOTES - 1), ERR_OK);
    cr_assert_eq(cancel_one(store, "carl", peek_one(store, "carl").epoch, 7).n_removed, 1);
    cr_assert_eq(purge(store, "carl").n_removed, NOTES - 1);
    cr_assert_eq(peek_one(store, "emil").pending, 0, "they have expired");
    cr_assert_eq(append_one(store, "dora", "{}", 600).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(peek_one(store, "bert").pending, 1);
    cr_assert_eq(peek_one(store, "dora").pending, NOTES);
}

Test(store_file_disk, on_a_full_disk_everything_can_leave_and_makes_room)
{
    if (!open_on_small_disk())
        return;
    int64_t n_refused = metrics_read(METRIC_STORE_REFUSED_DISK);
    append_small(1);
    int64_t expired_ms = clock_wall_ms() + 1001;
    uint64_t given = append_until_full(store);
    fill_disk();
    expect_described("No space left on device");
    sleep_until_wall_ms(expired_ms);
    expect_that_all_can_leave();
    cr_assert_eq(metrics_read(METRIC_STORE_REFUSED_DISK) - n_refused, 2);
    cr_assert_eq(block_for(store, "dora", 0), 0, "a block can be lifted");
    cr_assert_eq(purge(store, "anna").n_removed, given);
    wait_for_state(true); /* although nobody has made room on the disk */
    cr_assert_eq(append_one(store, "anna", "{}", 600).seq, given + 1);
    recorder_fini();
    recorder_init();
    reopen();
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert_eq(peek_one(store, "bert").pending, 1);
    cr_assert_eq(peek_one(store, "carl").pending, 0);
    cr_assert_eq(peek_one(store, "dora").pending, NOTES);
    cr_assert_eq(peek_one(store, "emil").head, NOTES);
    leave_small_disk();
}

/* Of a small store the reserve is the smallest, and more expire in a second than a group may change
 * records of users. */
Test(store_file_disk, on_a_full_disk_events_expire)
{
    enum { PARTITIONS = 3, EVENTS = 300, A_TIME = 100, TTL_S = 2 };
    struct span events[A_TIME];
    for (int i = 0; i < A_TIME; i++)
        events[i] = SPAN_LITERAL("{}");
    if (!open_on_small_disk())
        return;
    store_close(store);
    struct store_config config = contract_config(100000, (uint64_t)1 << 40);
    config.event_ttl_s = TTL_S;
    store = open_at(&config, directory);
    for (unsigned at = 0; at < PARTITIONS * EVENTS / A_TIME; at++)
        cr_assert_eq(
            event_append_run(store, (struct store_event_append){.partition = at % PARTITIONS,
                                                                .n = A_TIME,
                                                                .events = events})
                .error,
            ERR_OK);
    fill_disk();
    append_until_full(store);
    expect_described("No space left on device");
    for (unsigned partition = 0; partition < PARTITIONS; partition++) {
        int64_t until_ms = clock_wall_ms() + 15000;
        while (consumers_list(store, partition).count > 0) {
            cr_assert_lt(clock_wall_ms(), until_ms, "partition %u keeps its events", partition);
            sleep_until_wall_ms(clock_wall_ms() + 50);
        }
        cr_assert_eq(consumers_list(store, partition).head, EVENTS);
    }
    leave_small_disk();
}

enum { OF_THE_FIRST = 24000, CHANGES = 500, NODES_AT_MOST = 16 };

static enum err come_to_node(int node, size_t n_users)
{
    static char names[CHANGES][32];
    static struct store_presence_change changes[CHANGES];
    static int n_named;
    char name[16];
    struct presence_call call;
    for (size_t i = 0; i < n_users; i++) {
        snprintf(names[i], sizeof names[i], "user-%d", n_named++);
        changes[i] = (struct store_presence_change){.user_id = span_of(names[i]), .is_here = true};
    }
    snprintf(name, sizeof name, "node-%d", node);
    presence_begin(store, &call,
                   (struct store_presence){.node = span_of(name),
                                           .offline_after_ms = GRACE_MS,
                                           .n_changes = n_users,
                                           .changes = changes});
    store_local_turn(store);
    call_wait(&call.call);
    return call.presence.error;
}

/* Its users would be taken from it by as many records, for which there is no room; the clock stands
 * still, so the store has not found out that the disk is full. */
Test(store_file_disk, on_a_full_disk_the_oldest_node_is_not_ended)
{
    if (!open_on_small_disk())
        return;
    store_close(store);
    file_twin_ms = 1700000000000;
    store = file_twin_open(directory, (struct store_config){.inbox_max = 10,
                                                            .inbox_max_bytes = 1000,
                                                            .events_max = 100,
                                                            .events_max_bytes = 1 << 20,
                                                            .event_ttl_s = 600});
    for (int i = 0; i < OF_THE_FIRST / CHANGES; i++)
        cr_assert_eq(come_to_node(0, CHANGES), ERR_OK);
    for (int node = 1; node < NODES_AT_MOST; node++)
        cr_assert_eq(come_to_node(node, 1), ERR_OK);
    fill_disk();
    cr_assert_eq(come_to_node(NODES_AT_MOST, 0), ERR_STORE_UNAVAILABLE);
    free_disk();
    file_twin_ms += STORE_RETRY_MS;
    store_local_turn(store);
    cr_assert_eq(come_to_node(NODES_AT_MOST, 0), ERR_OK);
    leave_small_disk();
}

/* ---- many at once ---- */

enum { READERS = 2000, FILLERS = 2 };

static sem_t is_held;
static sem_t may_go_on;

/* The store's thread stands still meanwhile, so that all that is asked comes in one turn. */
static void hold(struct store_request *request)
{
    (void)request;
    sem_post(&is_held);
    sem_wait(&may_go_on);
}

static void hold_store(struct store_peek *peek)
{
    sem_init(&is_held, 0, 0);
    sem_init(&may_go_on, 0, 0);
    *peek = (struct store_peek){.request.on_done = hold, .user_id = SPAN_LITERAL("nobody")};
    store_peek(store, peek);
    sem_wait(&is_held);
}

static const char *reader_name(int number, char out[16])
{
    snprintf(out, 16, "reader-%d", number);
    return out;
}

/* Each page of the tree holds the note of one reader, and what stays. */
static void append_to_readers(void)
{
    static char data[1150];
    char name[16];
    for (int i = 0; i < READERS; i++) {
        struct span text = {data, sizeof data};
        cr_assert_eq(append_span(store, reader_name(i, name), text, 600).error, ERR_OK);
        for (int filler = 0; filler < FILLERS; filler++)
            cr_assert_eq(append_span(store, "stays", text, 600).error, ERR_OK);
    }
}

/* One commit for all would need a page for each, more than the reserve has. */
Test(store_file_disk, on_a_full_disk_everybody_can_acknowledge_at_the_same_time)
{
    static struct ack_call acks[READERS];
    static struct epoch epochs[READERS];
    static char names[READERS][16];
    struct store_peek held;
    if (!open_on_small_disk())
        return;
    append_to_readers();
    for (int i = 0; i < READERS; i++)
        epochs[i] = peek_one(store, reader_name(i, names[i])).epoch;
    append_until_full(store);
    fill_disk();
    wait_for_state(false);
    hold_store(&held);
    for (int i = 0; i < READERS; i++)
        ack_begin(store, &acks[i], names[i], epochs[i], 1);
    sem_post(&may_go_on);
    for (int i = 0; i < READERS; i++) {
        call_wait(&acks[i].call);
        cr_assert_eq(acks[i].ack.error, ERR_OK);
    }
    leave_small_disk();
}

/* The same of one user: one answer, after as many commits as it takes. */
Test(store_file_disk, on_a_full_disk_one_user_can_free_much)
{
    enum { STAY = READERS * FILLERS, ACKED = STAY / 2 };
    uint64_t highest;
    if (!open_on_small_disk())
        return;
    append_to_readers();
    append_until_full(store);
    fill_disk();
    wait_for_state(false);
    struct epoch epoch = peek_one(store, "stays").epoch;
    cr_assert_eq(ack_one(store, "stays", epoch, ACKED), ERR_OK);
    struct store_peek peek = peek_one(store, "stays");
    cr_assert_eq(peek.acked, ACKED);
    cr_assert_eq(peek.pending, STAY - ACKED);
    struct store_withdraw purged = purge(store, "stays");
    cr_assert_eq(purged.error, ERR_OK);
    cr_assert_eq(purged.n_removed, STAY - ACKED);
    cr_assert_eq(peek_one(store, "stays").pending, 0);
    cr_assert_gt(count_recorded("stays", &highest), STAY, "the withdrawals were told");
    recorder_fini();
    recorder_init();
    reopen();
    peek = peek_one(store, "stays");
    cr_assert_eq(peek.head, STAY);
    cr_assert_eq(peek.acked, ACKED);
    cr_assert_eq(peek.pending, 0);
    cr_assert_eq(peek_one(store, "reader-7").pending, 1);
    leave_small_disk();
}

/* Whatever has made a commit fail: the room that others have taken is not needed for the next. */
Test(store_file_disk, after_a_commit_that_failed_a_full_disk_is_full_and_no_more)
{
    if (!open_on_small_disk())
        return;
    append_small(600);
    append_until_full(store);
    fill_disk();
    wait_for_state(false);
    struct epoch epoch = peek_one(store, "bert").epoch;
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    struct rlimit small = {4096, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    cr_assert_eq(ack_one(store, "bert", epoch, 1), ERR_STORE_UNAVAILABLE);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int64_t until_ms = clock_wall_ms() + 10000;
    while (ack_one(store, "bert", epoch, 1) != ERR_OK)
        cr_assert_lt(clock_wall_ms(), until_ms, "what frees room is committed again");
    expect_described("No space left on device");
    leave_small_disk();
}

Test(store_file_disk, opened_on_a_full_disk_it_shows_what_waits_and_lets_it_leave)
{
    if (!open_on_small_disk())
        return;
    append_small(600);
    uint64_t given = append_until_full(store);
    fill_disk();
    recorder_fini();
    recorder_init();
    reopen();
    expect_described("No space left on device"); /* before anything is asked */
    struct store_page page = page_all(store, "dora");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.head, NOTES);
    page_free(&page);
    cr_assert_leq(append_until_full(store), given, "the reserve is kept over a restart");
    expect_described("No space left on device");
    cr_assert_eq(append_one(store, "dora", "{}", 600).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(purge(store, "anna").n_removed, given);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "dora", "{}", 600).seq, NOTES + 1);
    leave_small_disk();
}

/* As in a copy of the directory. A file that is cut to its length frees what lies after it. */
static void give_blocks_back(void)
{
    char path[100];
    struct stat file;
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    cr_assert_eq(stat(path, &file), 0);
    cr_assert_eq(truncate(path, file.st_size), 0);
}

Test(store_file_disk, the_room_that_a_purge_needs_is_kept_before_anything_is_pushed)
{
    if (!open_on_small_disk())
        return;
    append_small(600);
    store_close(store);
    give_blocks_back();
    struct store_config config = contract_config(100000, (uint64_t)1 << 40);
    store = open_at(&config, directory);
    cr_assert_eq(peek_one(store, "carl").pending, NOTES); /* its first turn */
    fill_disk();
    cr_assert_eq(purge(store, "carl").n_removed, NOTES);
    leave_small_disk();
}

/* ---- its own ceiling ---- */

Test(store_file_disk, at_its_ceiling_what_waits_can_be_purged)
{
    static char big[50000];
    int64_t n_refused = metrics_read(METRIC_STORE_REFUSED_CEILING);
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 30);
    config.max_bytes = 1 << 20;
    store = backend_open(&config);
    enum err error;
    uint64_t count = 0;
    do {
        error = append_span(store, "anna", (struct span){big, sizeof big}, 600).error;
        count += error == ERR_OK;
    } while (error == ERR_OK && count < 100);
    char why[400];
    cr_assert_eq(error, ERR_FULL);
    cr_assert_eq(metrics_read(METRIC_STORE_REFUSED_CEILING) - n_refused, 1);
    store_describe(store, why, sizeof why);
    cr_assert_not_null(strstr(why, "--store-max-bytes"), "it says: %s", why);
    cr_assert_eq(purge(store, "anna").n_removed, count);
    cr_assert_eq(append_span(store, "anna", (struct span){big, sizeof big}, 600).error, ERR_OK);
    store_describe(store, why, sizeof why);
    cr_assert_str_empty(why);
}

/* ---- the directory ---- */

static void path_in(char out[120], const char *of, const char *name)
{
    snprintf(out, 120, "%s/%s", of, name);
}

static void expect_unavailable_but_readable(void)
{
    cr_assert_eq(append_one(store, "anna", "{}", 600).error, ERR_STORE_UNAVAILABLE);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 1, "what waits is still delivered");
    page_free(&page);
}

Test(store_file_disk, nothing_is_accepted_once_its_directory_was_removed)
{
    char data[120];
    append_one(store, "anna", "{}", 600);
    char removed[64];
    memcpy(removed, directory, sizeof removed);
    remove_directory();
    memcpy(directory, removed, sizeof removed);
    cr_assert_eq(append_one(store, "anna", "{}", 600).error, ERR_STORE_UNAVAILABLE,
                 "not one is lost");
    expect_described("removed");
    expect_unavailable_but_readable();
    cr_assert_eq(mkdir(directory, 0700), 0);
    sleep_until_wall_ms(clock_wall_ms() + STORE_RETRY_MS + 200);
    expect_unavailable_but_readable();
    path_in(data, directory, "data.mdb");
    cr_assert_neq(access(data, F_OK), 0, "a new directory is another store");
    recorder_fini();
    recorder_init();
    reopen();
    cr_assert_eq(append_one(store, "anna", "{}", 600).seq, 1, "which a restart begins");
}

/* Without a request. */
Test(store_file_disk, notices_by_itself_that_its_directory_was_moved_and_is_back)
{
    char moved[80];
    append_one(store, "anna", "{}", 600);
    snprintf(moved, sizeof moved, "%s-moved", directory);
    cr_assert_eq(rename(directory, moved), 0);
    expect_described("moved");
    expect_unavailable_but_readable();
    cr_assert_eq(rename(moved, directory), 0);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 600).seq, 2, "no number was used");
    reopen();
    cr_assert_eq(peek_one(store, "anna").pending, 2);
}

static void replace_file(const char *name)
{
    char path[120];
    path_in(path, directory, name);
    cr_assert_eq(remove(path), 0);
    close(open(path, O_WRONLY | O_CREAT, 0600));
}

Test(store_file_disk, a_file_that_was_put_in_its_place_is_not_written)
{
    char path[120];
    struct stat found;
    append_one(store, "anna", "{}", 600);
    replace_file("data.mdb");
    expect_described("restart Herald to use");
    expect_unavailable_but_readable();
    path_in(path, directory, "data.mdb");
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_size, 0);
}

/* Another Herald could begin there. */
Test(store_file_disk, without_its_lock_it_writes_no_more)
{
    append_one(store, "anna", "{}", 600);
    replace_file("lock");
    expect_described("lock was replaced");
    expect_unavailable_but_readable();
}
