/* The file store on its way from one process to the next (upgrade_fixture.h): what is asked of the
 * one that is awaited, and of the one that was let go, and whose the lock is. */
#include "gateway/base/metrics.h"
#include "tests/store/block_calls.h"
#include "tests/store/file_twin.h"
#include "tests/store/upgrade_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

TestSuite(store_file_upgrade, .init = upgrade_setup, .fini = upgrade_teardown,
          .timeout = STORE_TEST_TIMEOUT_S);

/* It is not ahead of anything that was asked of the same store before: those that are answered at
 * all are answered when this returns. */
static void expect_away(struct store *of)
{
    struct store_page page = page_all(of, "nobody");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
}

/* ---- awaited ---- */

Test(store_file_upgrade, what_is_asked_of_an_awaited_store_waits_and_is_carried_out_in_order)
{
    struct append_call pushes[5];
    struct ack_call ack;
    struct peek_call peek;
    struct block_call block;
    struct store_target first = append_one(store, "anna", "\"first\"", 60);
    cr_assert_eq(first.error, ERR_OK);
    int64_t n_done = metrics_read(METRIC_STORE_AWAITED_DONE);

    for (int i = 0; i < 5; i++) {
        append_begin(next, &pushes[i], "anna", SPAN_LITERAL("{}"), 60);
        if (i == 2)
            ack_begin(next, &ack, "anna", first.epoch, 1);
    }
    peek_begin(next, &peek, "anna");
    block_begin(next, &block, "bert", 60);
    expect_away(next);
    for (int i = 0; i < 5; i++)
        cr_assert_not(is_answered(&pushes[i].call));
    cr_assert_not(is_answered(&ack.call));
    cr_assert_not(is_answered(&peek.call));
    cr_assert_not(is_answered(&block.call));

    hand_over();
    for (int i = 0; i < 5; i++) {
        append_end(&pushes[i]);
        cr_assert_eq(pushes[i].target.error, ERR_OK);
        cr_assert_eq(pushes[i].target.seq, 2 + (uint64_t)i, "in the order of the calls");
        cr_assert(epoch_equal(pushes[i].target.epoch, first.epoch));
    }
    call_wait(&ack.call);
    cr_assert_eq(ack.ack.error, ERR_OK);
    call_wait(&peek.call);
    cr_assert_eq(peek.peek.error, ERR_OK);
    cr_assert_eq(peek.peek.head, 6);
    cr_assert_eq(peek.peek.acked, 1);
    cr_assert_eq(peek.peek.pending, 5);
    call_wait(&block.call);
    cr_assert_eq(block.block.error, ERR_OK);
    cr_assert_eq(metrics_read(METRIC_STORE_AWAITED_DONE), n_done + 8);
    cr_assert(are_recorded_in_order("anna"));
}

Test(store_file_upgrade, a_withdrawal_and_a_look_wait_in_their_order_too)
{
    struct look_call look;
    struct withdraw_call withdraw;
    struct store_target kept = append_one(store, "anna", "\"first\"", 60);
    const struct span anna = span_of("anna");
    withdraw_begin(next, &withdraw, (struct store_withdraw){.user_id = anna, .is_all = true});
    look_begin(next, &look, (struct store_look){.user_id = anna, .epoch = kept.epoch, .seq = 1});
    expect_away(next);
    cr_assert_not(is_answered(&withdraw.call) || is_answered(&look.call));
    hand_over();
    call_wait(&withdraw.call);
    call_wait(&look.call);
    cr_assert_eq(withdraw.withdraw.error, ERR_OK);
    cr_assert_eq(withdraw.withdraw.n_removed, 1);
    cr_assert_eq(look.look.error, ERR_OK);
    cr_assert_eq(look.look.found.fate, FATE_GONE);
}

Test(store_file_upgrade, an_awaited_store_is_up_when_it_was_taken_over)
{
    char why[400] = "";
    store_let_go(store);
    wait_for_state(false);
    store_describe(next, why, sizeof why);
    cr_assert_not_null(strstr(why, "has not let the store go yet"), "it says: %s", why);
    cr_assert_not(store_page_at_once(next, &(struct store_page){.user_id = span_of("anna")}));
    store_take_over(next);
    store_take_over(next);
    wait_for_state(true);
    struct store_page page = page_all(next, "anna");
    cr_assert_eq(page.error, ERR_OK);
    store_describe(next, why, sizeof why);
    cr_assert_str_empty(why);
}

Test(store_file_upgrade, a_page_of_an_operator_waits)
{
    append_one(store, "anna", "\"first\"", 60);
    struct page_call listing = {.page = page_asked("anna")};
    listing.page.can_wait = true;
    page_start(next, &listing);
    expect_away(next);
    cr_assert_not(is_answered(&listing.call));
    hand_over();
    call_wait(&listing.call);
    cr_assert_eq(listing.page.error, ERR_OK);
    cr_assert_eq(listing.page.n_notes, 1);
    page_free(&listing.page);
}

/* By the store's own alarm: nothing else is asked of it. */
Test(store_file_upgrade, what_waits_is_refused_when_its_time_is_over)
{
    struct append_call push;
    int64_t began_ms = clock_monotonic_ms();
    append_begin(next, &push, "anna", SPAN_LITERAL("{}"), 60);
    append_end(&push);
    cr_assert_eq(push.target.error, ERR_STORE_UNAVAILABLE);
    cr_assert_geq(clock_monotonic_ms() - began_ms, STORE_AWAITED_MS - 100);
    hand_over();
    cr_assert_eq(append_one(next, "anna", "\"second\"", 60).seq, 1, "nothing of it was kept");
}

Test(store_file_upgrade, so_many_wait_and_no_more)
{
    static struct peek_call peeks[STORE_MAX_AWAITING + 1];
    int64_t n_refused = metrics_read(METRIC_STORE_AWAITED_REFUSED);
    for (size_t i = 0; i <= STORE_MAX_AWAITING; i++)
        peek_begin(next, &peeks[i], "anna");
    call_wait(&peeks[STORE_MAX_AWAITING].call);
    cr_assert_eq(peeks[STORE_MAX_AWAITING].peek.error, ERR_STORE_UNAVAILABLE);
    cr_assert_not(is_answered(&peeks[STORE_MAX_AWAITING - 1].call));
    cr_assert_eq(metrics_read(METRIC_STORE_AWAITED_REFUSED), n_refused + 1);
    hand_over();
    for (size_t i = 0; i < STORE_MAX_AWAITING; i++) {
        call_wait(&peeks[i].call);
        cr_assert_eq(peeks[i].peek.error, ERR_OK);
    }
}

Test(store_file_upgrade, so_many_bytes_wait_and_no_more)
{
    enum {
        BYTES = 1 << 20,
        FIT = STORE_AWAITING_MAX_BYTES / (BYTES + sizeof(struct store_target))
    };
    static char big[BYTES];
    static struct append_call pushes[FIT + 1];
    struct append_call small;
    for (int i = 0; i <= FIT; i++)
        append_begin(next, &pushes[i], "anna", (struct span){big, sizeof big}, 60);
    append_end(&pushes[FIT]);
    cr_assert_eq(pushes[FIT].target.error, ERR_STORE_UNAVAILABLE);
    append_begin(next, &small, "anna", SPAN_LITERAL("{}"), 60);
    expect_away(next);
    cr_assert_not(is_answered(&small.call), "there is room for a small one");
    hand_over();
    for (int i = 0; i < FIT; i++) {
        append_end(&pushes[i]);
        cr_assert_eq(pushes[i].target.error, ERR_OK);
    }
    append_end(&small);
    cr_assert_eq(small.target.seq, FIT + 1);
}

Test(store_file_upgrade, a_store_that_never_comes_answers_all_when_it_closes)
{
    struct append_call push;
    append_begin(next, &push, "anna", SPAN_LITERAL("{}"), 60);
    upgrade_close_both();
    append_end(&push);
    cr_assert_eq(push.target.error, ERR_STORE_UNAVAILABLE);
}

Test(store_file_upgrade, what_cannot_be_opened_is_away_until_it_can)
{
    char moved[80];
    char why[400] = "";
    struct append_call push;
    cr_assert_eq(append_one(store, "anna", "\"first\"", 60).error, ERR_OK);
    append_begin(next, &push, "anna", SPAN_LITERAL("{}"), 60);
    store_let_go(store);
    snprintf(moved, sizeof moved, "%s.moved", directory);
    cr_assert_eq(rename(directory, moved), 0);
    cr_assert_eq(mkdir(directory, 0700), 0);
    store_take_over(next);
    append_end(&push);
    cr_assert_eq(push.target.error, ERR_STORE_UNAVAILABLE);
    expect_away(next);
    store_describe(next, why, sizeof why);
    cr_assert_not_null(strstr(why, "move it back"), "it says: %s", why);
    cr_assert_eq(rmdir(directory), 0, "nothing was made there");
    cr_assert_eq(rename(moved, directory), 0);
    wait_for_state(true);
    cr_assert_eq(append_one(next, "anna", "\"second\"", 60).seq, 2);
}

/* ---- let go ---- */

static int count_descriptors(const char *name)
{
    char link[PATH_MAX];
    char target[PATH_MAX];
    int n = 0;
    DIR *open_files = opendir("/proc/self/fd");
    cr_assert_not_null(open_files);
    for (struct dirent *entry; (entry = readdir(open_files)) != NULL;) {
        snprintf(link, sizeof link, "/proc/self/fd/%.200s", entry->d_name);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        n += strncmp(target, directory, strlen(directory)) == 0 &&
             strcmp(target + strlen(directory), name) == 0;
    }
    closedir(open_files);
    return n;
}

Test(store_file_upgrade, a_store_that_was_let_go_has_answered_and_has_its_files_closed)
{
    enum { PUSHES = 100 };
    struct append_call pushes[PUSHES];
    cr_assert_gt(count_descriptors("/data.mdb"), 0);
    for (int i = 0; i < PUSHES; i++)
        append_begin(store, &pushes[i], "anna", SPAN_LITERAL("{}"), 60);
    store_let_go(store);
    for (int i = 0; i < PUSHES; i++) {
        cr_assert(is_answered(&pushes[i].call));
        append_end(&pushes[i]);
        cr_assert_eq(pushes[i].target.error, ERR_OK);
    }
    cr_assert_eq(count_descriptors("/data.mdb"), 0);
    cr_assert_eq(count_descriptors("/lock.mdb"), 0);
    cr_assert_eq(count_descriptors("/lock"), 2);
    store_let_go(store);
    store_take_over(store);
    expect_away(store);
}

Test(store_file_upgrade, a_store_that_was_let_go_is_away_for_everything)
{
    struct store_target kept = append_one(store, "anna", "\"first\"", 60);
    cr_assert_eq(ticket_give(store, "t-1", "anna", 60), ERR_OK);
    block_for(store, "bert", 60);
    store_let_go(store);
    cr_assert_eq(append_one(store, "anna", "\"second\"", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(ack_one(store, "anna", kept.epoch, 1), ERR_STORE_UNAVAILABLE);
    cr_assert_eq(peek_one(store, "anna").error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(look_at(store, "anna", kept.epoch, 1).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(cancel_one(store, "anna", kept.epoch, 1).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(purge(store, "anna").error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(ticket_take(store, "t-1").error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(ticket_give(store, "t-2", "anna", 60), ERR_STORE_UNAVAILABLE);
    struct store_page blocked = page_asked("bert");
    blocked.is_arrival = true;
    blocked = page_run(store, blocked);
    cr_assert_eq(blocked.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(blocked.blocked_until_ms, 0);
    struct block_call block;
    block_begin(store, &block, "bert", 0);
    call_wait(&block.call);
    cr_assert_eq(block.block.error, ERR_STORE_UNAVAILABLE);
    cr_assert_not(store_page_at_once(store, &(struct store_page){.user_id = span_of("carl")}));
}

/* ---- the lock ---- */

static void expect_locked(void)
{
    char url[100];
    snprintf(url, sizeof url, "file:%s", directory);
    expect_refusal(url, "used by another Herald");
}

Test(store_file_upgrade, the_lock_is_never_free)
{
    expect_locked();
    store_let_go(store);
    expect_locked();
    store_take_over(next);
    wait_for_state(true);
    store_close(store);
    store = NULL;
    expect_locked();
    store_close(next);
    next = NULL;
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

Test(store_file_upgrade, the_lock_stays_where_the_next_process_gives_up)
{
    store_close(next);
    next = NULL;
    expect_locked();
    cr_assert_eq(append_one(store, "anna", "\"first\"", 60).seq, 1);
}

static void expect_awaited_refused(int lock_fd, const char *word)
{
    char why[400] = "";
    char url[100];
    struct store *opened = NULL;
    struct store_config config = awaited_config(lock_fd);
    snprintf(url, sizeof url, "file:%s", directory);
    config.url = url;
    cr_assert_eq(store_open(&config, &opened, why, sizeof why), ERR_STORE_UNAVAILABLE);
    cr_assert_not_null(strstr(why, word), "the message says: %s", why);
}

Test(store_file_upgrade, only_the_lock_of_this_directory_is_taken)
{
    char path[100];
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    expect_awaited_refused(ends[0], "is not that of");
    close(ends[0]);
    close(ends[1]);
    expect_awaited_refused(ends[0], "is not that of");
    snprintf(path, sizeof path, "%s/lock", directory);
    int unlocked = open(path, O_RDWR | O_CLOEXEC);
    expect_awaited_refused(unlocked, "used by another Herald");
    close(unlocked);
}

/* ---- on a clock of the test's ---- */

static struct store *twin_of(struct store *former)
{
    struct store_config config = {.inbox_max = 1000, .inbox_max_bytes = 1 << 20};
    config.is_awaited = true;
    config.lock_fd = store_lock_fd(former);
    file_twin_ms = 1700000000000;
    return file_twin_open(directory, config);
}

Test(store_file_upgrade, each_request_waits_for_the_same_time)
{
    struct append_call pushes[2];
    struct store *twin = twin_of(store);
    int64_t n_late = metrics_read(METRIC_STORE_AWAITED_LATE);
    append_begin(twin, &pushes[0], "anna", SPAN_LITERAL("{}"), 60);
    store_local_turn(twin);
    file_twin_ms += 1000;
    append_begin(twin, &pushes[1], "anna", SPAN_LITERAL("{}"), 60);
    store_local_turn(twin);
    file_twin_ms += STORE_AWAITED_MS - 1001;
    store_local_turn(twin);
    cr_assert_not(is_answered(&pushes[0].call));
    file_twin_ms += 1;
    store_local_turn(twin);
    cr_assert(is_answered(&pushes[0].call));
    cr_assert_not(is_answered(&pushes[1].call));
    append_end(&pushes[0]);
    cr_assert_eq(pushes[0].target.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(metrics_read(METRIC_STORE_AWAITED_LATE), n_late + 1);

    store_let_go(store);
    file_twin_ms += 999;
    store_take_over(twin);
    append_end(&pushes[1]);
    cr_assert_eq(pushes[1].target.error, ERR_OK);
    cr_assert_eq(pushes[1].target.time_ms, file_twin_ms, "its life begins when it is kept");
    store_close(twin);
}

Test(store_file_upgrade, the_room_of_those_whose_time_is_over_is_free_again)
{
    enum { BYTES = 4 << 20, FIT = STORE_AWAITING_MAX_BYTES / BYTES - 1 };
    static char big[BYTES];
    static struct append_call pushes[FIT];
    struct store *twin = twin_of(store);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FIT; i++)
            append_begin(twin, &pushes[i], "anna", (struct span){big, sizeof big}, 60);
        store_local_turn(twin);
        for (int i = 0; i < FIT; i++)
            cr_assert_not(is_answered(&pushes[i].call), "round %d", round);
        file_twin_ms += STORE_AWAITED_MS;
        store_local_turn(twin);
        for (int i = 0; i < FIT; i++) {
            append_end(&pushes[i]);
            cr_assert_eq(pushes[i].target.error, ERR_STORE_UNAVAILABLE);
        }
    }
    store_close(twin);
}

Test(store_file_upgrade, a_clock_that_is_set_back_keeps_nobody_waiting)
{
    struct append_call push;
    struct store *twin = twin_of(store);
    append_begin(twin, &push, "anna", SPAN_LITERAL("{}"), 60);
    store_local_turn(twin);
    file_twin_ms -= 3600 * 1000;
    store_local_turn(twin);
    append_end(&push);
    cr_assert_eq(push.target.error, ERR_STORE_UNAVAILABLE);
    store_close(twin);
}

static void arrive_twin(struct store *twin, const char *device)
{
    struct store_page asked = page_asked("anna");
    asked.device = span_of(device);
    asked.is_arrival = true;
    struct store_page page = file_twin_page(twin, asked);
    cr_assert_eq(page.error, ERR_OK);
    page_free(&page);
}

/* A session without a device has acknowledged less than the user's devices, and goes on in the next
 * process. What it has not had yet stays, until an acknowledgement says that it has gone. */
Test(store_file_upgrade, the_shared_position_counts_until_it_is_known_that_it_does_not)
{
    enum { DAY_MS = 24 * 3600 * 1000, DAY_S = 24 * 3600 };
    struct store_config config = {.inbox_max = 1000, .inbox_max_bytes = 1 << 20};
    upgrade_close_both();
    file_twin_ms = 1700000000000;
    store = file_twin_open(directory, config);
    struct store_target target;
    for (int i = 0; i < 10; i++) {
        target = (struct store_target){.user_id = span_of("anna")};
        file_twin_append(store, &target, NULL, 90 * DAY_S);
    }
    arrive_twin(store, "tablet");
    arrive_twin(store, "phone");
    struct store_ack ack = {
        .user_id = span_of("anna"), .is_held = true, .epoch = target.epoch, .seq = 3};
    cr_assert_eq(file_twin_ack(store, ack), ERR_OK);
    file_twin_ms += 20LL * DAY_MS;
    ack.device = span_of("phone");
    ack.seq = 8;
    cr_assert_eq(file_twin_ack(store, ack), ERR_OK);

    config.is_awaited = true;
    config.lock_fd = store_lock_fd(store);
    next = file_twin_open(directory, config);
    hand_over();
    file_twin_ms += 15LL * DAY_MS;
    store_local_turn(next);
    cr_assert_eq(file_twin_peek(next, "anna").acked, 3,
                 "the tablet is forgotten, and the session is there");
    ack.is_held = false;
    cr_assert_eq(file_twin_ack(next, ack), ERR_OK);
    cr_assert_eq(file_twin_peek(next, "anna").acked, 8);
}

/* Asks for a second page when the first is answered: that one comes while the index is built. */
struct two_pages {
    struct store_page first;
    struct store *of;
    struct page_call second;
    struct append_call push;
};

static void on_first(struct store_request *request)
{
    struct two_pages *pages = CONTAINER_OF(request, struct two_pages, first.request);
    page_begin(pages->of, &pages->second, "user-7");
    append_begin(pages->of, &pages->push, "user-7", SPAN_LITERAL("{}"), 60);
}

Test(store_file_upgrade, what_comes_while_the_index_is_built_is_answered_then)
{
    enum { USERS = 5000 };
    static char names[USERS][12];
    static struct store_target targets[USERS];
    for (size_t i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "user-%zu", i);
        targets[i] = (struct store_target){.user_id = span_of(names[i])};
    }
    append_to(store, targets, USERS, SPAN_LITERAL("{}"), 3600);
    int64_t now_ms = clock_wall_ms();
    struct store *twin = twin_of(store);
    file_twin_ms = now_ms;
    store_let_go(store);
    struct two_pages pages = {.of = twin, .first = page_asked("user-1")};
    pages.first.request.on_done = on_first;
    store_page(twin, &pages.first);
    store_take_over(twin);
    call_wait(&pages.second.call);
    cr_assert_eq(pages.second.page.error, ERR_STORE_UNAVAILABLE, "the index was not there yet");
    append_end(&pages.push);
    cr_assert_eq(pages.push.target.error, ERR_OK);
    cr_assert_eq(pages.push.target.seq, 2);
    cr_assert_eq(file_twin_peek(twin, "user-4999").pending, 1);
    store_close(twin);
}
