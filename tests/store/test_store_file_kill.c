/* A Herald that is killed between any two commits, or hands its store over. After each request the
 * file is copied, as a kill would leave it, and opened again: the copy must show every user exactly
 * as the running store does, and so must the store of the process that it is handed to. So no
 * number is given twice, and nothing comes back that has left, whatever records are
 * stale and still in the file, and whichever of them have left already. */
#include "tests/store/block_calls.h"
#include "tests/store/file_directory.h"
#include "tests/store/file_same.h"
#include "tests/store/file_twin.h"

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_record.h"

enum { USERS = 6, INBOX_MAX = 7 };

static const char *const users[USERS] = {"anna", "bert", "carl", "dora", "emil", "fred"};
static const char *const devices[] = {"phone", "tablet"};
static const char *const keys[] = {"key-1", "key-2"};

/* What was answered for each user, by which a repeated number is noticed. */
static struct {
    struct epoch epoch;
    uint64_t head;
    uint64_t seen; /* acknowledged by the sessions, told to the store with the next push only */
    struct store_target keyed[2]; /* the first answer to a push with that idempotency key */
} known[USERS];

static struct store *running;
static uint64_t random_state;

static uint64_t pick(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static struct store_config kill_config(void)
{
    return (struct store_config){.inbox_max = INBOX_MAX, .inbox_max_bytes = 1 << 20};
}

static void setup(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    make_directory();
    file_twin_ms = 1700000000000;
    running = file_twin_open(directory, kill_config());
}

static void teardown(void)
{
    store_close(running);
    remove_directory();
    recorder_fini();
    contract_check_leaks();
}

TestSuite(store_file_kill, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

/* ---- the same in both ---- */

static void expect_same_inboxes(struct store *copy)
{
    for (int user = 0; user < USERS; user++) {
        file_same_peek(running, copy, users[user]);
        file_same_page(running, copy, users[user], "");
        for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
            file_same_page(running, copy, users[user], devices[i]);
    }
}

/* With `is_killed` the copy is what goes on, instead of the store that it was made from. */
static void open_copy(bool is_killed)
{
    char path[64];
    file_twin_copy(directory, path);
    struct store *copy = file_twin_open(path, kill_config());
    expect_same_inboxes(copy);
    if (is_killed) {
        store_close(running);
        remove_directory();
        memcpy(directory, path, sizeof directory);
        running = copy;
        return;
    }
    store_close(copy);
    file_twin_remove(path);
}

/* To the next process, which shows what a copy shows that was made before. */
static void hand_over(void)
{
    char path[64];
    file_twin_copy(directory, path);
    struct store *copy = file_twin_open(path, kill_config());
    struct store_config config = kill_config();
    config.is_awaited = true;
    config.lock_fd = store_lock_fd(running);
    struct store *next = file_twin_open(directory, config);
    store_let_go(running);
    store_take_over(next);
    store_close(running);
    running = next;
    expect_same_inboxes(copy);
    store_close(copy);
    file_twin_remove(path);
}

/* ---- what happens ---- */

static struct store_target target_of(int user)
{
    return (struct store_target){.user_id = span_of(users[user]),
                                 .known_epoch = known[user].epoch,
                                 .known_head = known[user].head,
                                 .known_acked = known[user].seen};
}

static void learn(int user, const struct store_target *target)
{
    cr_assert_eq(target->error, ERR_OK);
    if (epoch_equal(known[user].epoch, target->epoch)) {
        cr_assert_eq(target->seq, known[user].head + 1, "a number is given once");
    } else {
        cr_assert_eq(target->seq, 1);
        known[user].seen = 0;
    }
    known[user].epoch = target->epoch;
    known[user].head = target->seq;
}

static void push(int user, const char *collapse_key, uint32_t ttl_s)
{
    struct store_target target = target_of(user);
    file_twin_append(running, &target, collapse_key, ttl_s);
    learn(user, &target);
}

/* A repeat is answered as the first was, whichever process did it. */
static void push_with_key(int user, size_t key)
{
    struct append_call call;
    struct store_target target = target_of(user);
    struct store_target *first = &known[user].keyed[key];
    append_start(running, &call,
                 (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                       .ttl_s = 60,
                                       .idempotency_key = span_of(keys[key]),
                                       .n_targets = 1,
                                       .targets = &target});
    store_local_turn(running);
    append_end(&call);
    cr_assert_eq(target.is_duplicate, first->seq != 0);
    if (target.is_duplicate) {
        cr_assert_eq(target.seq, first->seq);
        cr_assert(epoch_equal(target.epoch, first->epoch));
        cr_assert_eq(target.time_ms, first->time_ms);
        return;
    }
    learn(user, &target);
    *first = target;
}

static void block(int user, uint32_t for_s)
{
    struct block_call call;
    block_begin(running, &call, users[user], for_s);
    store_local_turn(running);
    call_wait(&call.call);
    cr_assert_eq(call.block.error, ERR_OK);
}

static void push_to_all(void)
{
    struct append_call call;
    struct store_target targets[USERS];
    for (int user = 0; user < USERS; user++)
        targets[user] = target_of(user);
    append_start(running, &call,
                 (struct store_append){.payload = payload_new(SPAN_LITERAL("{\"to\":\"all\"}")),
                                       .ttl_s = 60,
                                       .n_targets = USERS,
                                       .targets = targets});
    store_local_turn(running);
    append_end(&call);
    for (int user = 0; user < USERS; user++)
        learn(user, &targets[user]);
}

/* A file that was restored from an older copy: the node knows higher numbers. */
static void push_after_a_loss(int user)
{
    struct store_target target = target_of(user);
    target.known_head += 3;
    file_twin_append(running, &target, NULL, 60);
    learn(user, &target);
    cr_assert_eq(target.seq, 1);
}

static void see_some(int user)
{
    known[user].seen += pick(known[user].head - known[user].seen + 1);
}

static void acknowledge(int user, const char *device)
{
    struct store_ack ack = {.user_id = span_of(users[user]),
                            .device = span_of(device),
                            .is_held = device[0] == '\0',
                            .epoch = known[user].epoch,
                            .seq = known[user].seen,
                            .written = known[user].head - pick(2)};
    if (known[user].head > 0)
        cr_assert_eq(file_twin_ack(running, ack), ERR_OK);
}

static void withdraw(int user, bool is_all)
{
    struct store_withdraw asked = {.user_id = span_of(users[user]),
                                   .is_all = is_all,
                                   .epoch = known[user].epoch,
                                   .seq = known[user].head - pick(3)};
    if (known[user].head > 3)
        cr_assert_eq(file_twin_withdraw(running, asked).error, ERR_OK);
}

static void purge_whole(int user)
{
    struct store_withdraw asked = {.user_id = span_of(users[user]), .is_all = true};
    cr_assert_eq(file_twin_withdraw(running, asked).error, ERR_OK);
}

static void arrive_with_device(int user)
{
    struct store_page asked = page_asked(users[user]);
    asked.device = span_of(devices[pick(2)]);
    asked.is_arrival = true;
    asked.known_epoch = known[user].epoch;
    struct store_page page = file_twin_page(running, asked);
    cr_assert_eq(page.error, ERR_OK);
    if (page.blocked_until_ms == 0 && !epoch_equal(page.epoch, known[user].epoch)) {
        cr_assert_eq(page.head, 0, "it began here");
        known[user].epoch = page.epoch;
    }
    page_free(&page);
}

/* What is stale begins to leave after ten of these. */
static void pass_seconds(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        file_twin_ms += 1000;
        store_local_turn(running);
    }
}

/* One group: the second push carries what the first acknowledgement may have moved already, and the
 * newest may be cancelled, or acknowledged, in the group that numbers it. */
static void do_much_at_once(int user)
{
    struct append_call pushes[2];
    struct ack_call acks[2];
    struct withdraw_call cancels[2];
    struct store_target targets[2];
    uint64_t head = known[user].head;
    if (head == 0)
        return;
    for (int i = 0; i < 2; i++) {
        targets[i] = target_of(user);
        targets[i].known_acked = head - pick(2);
        append_start(running, &pushes[i],
                     (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                           .ttl_s = 60,
                                           .n_targets = 1,
                                           .targets = &targets[i]});
        withdraw_begin(running, &cancels[i],
                       (struct store_withdraw){.user_id = span_of(users[user]),
                                               .epoch = known[user].epoch,
                                               .seq = head + pick(3)});
        ack_begin(running, &acks[i], users[user], known[user].epoch, head + pick(2));
    }
    store_local_turn(running);
    for (int i = 0; i < 2; i++) {
        append_end(&pushes[i]);
        call_wait(&cancels[i].call);
        call_wait(&acks[i].call);
        learn(user, &targets[i]);
    }
    known[user].seen = head;
}

static void do_something(void)
{
    int user = (int)pick(USERS);
    uint64_t what = pick(48);
    if (what < 14)
        push(user, NULL, 60);
    else if (what < 16)
        push(user, "score", 60);
    else if (what < 18)
        push(user, NULL, 2);
    else if (what < 20)
        push_to_all();
    else if (what < 26)
        see_some(user);
    else if (what < 31)
        acknowledge(user, "");
    else if (what < 32 && user < 2)
        arrive_with_device(user);
    else if (what < 33 && user < 2)
        acknowledge(user, devices[pick(2)]);
    else if (what < 35)
        withdraw(user, false);
    else if (what < 36)
        withdraw(user, true);
    else if (what < 37 && pick(3) == 0)
        push_after_a_loss(user);
    else if (what < 40)
        pass_seconds(1 + pick(3));
    else if (what < 42)
        push_with_key(user, pick(2));
    else if (what < 44)
        block(user, (uint32_t)pick(3) * 5);
    else
        do_much_at_once(user);
}

/* ---- what is in the file at last ---- */

struct census {
    size_t n_notes;
    size_t n_users;
    size_t n_shared;
};

static enum err count_record(void *owner, uint64_t key, struct span bytes)
{
    (void)key;
    struct census *census = owner;
    struct file_record record;
    const char *detail;
    cr_assert_eq(file_record_read(bytes, &record, &detail), ERR_OK);
    census->n_notes += record.kind == FILE_RECORD_NOTE || record.kind == FILE_RECORD_REF;
    census->n_users += record.kind == FILE_RECORD_USER;
    census->n_shared += record.kind == FILE_RECORD_SHARED;
    return ERR_OK;
}

static struct census count_records(void)
{
    char path[64];
    char why[200];
    struct file_lmdb *lmdb;
    struct census census = {0};
    file_twin_copy(directory, path);
    cr_assert_eq(file_lmdb_open(path, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_record, &census), ERR_OK);
    file_lmdb_close(lmdb);
    file_twin_remove(path);
    return census;
}

static void expect_that_all_stale_has_left(void)
{
    size_t n_pending = 0;
    for (int user = 0; user < USERS; user++)
        n_pending += file_twin_peek(running, users[user]).pending;
    pass_seconds(25);
    struct census census = count_records();
    cr_assert_eq(census.n_notes, n_pending);
    cr_assert_eq(census.n_users, USERS, "each of them has lost something, or moved");
    cr_assert_leq(census.n_shared, n_pending);
}

static void live_and_be_killed(uint64_t seed)
{
    enum { STEPS = 300, STEPS_BETWEEN_KILLS = 20 };
    random_state = seed;
    for (int step = 1; step <= STEPS; step++) {
        do_something();
        open_copy(step % STEPS_BETWEEN_KILLS == 0);
        if (step % STEPS_BETWEEN_KILLS == STEPS_BETWEEN_KILLS / 2)
            hand_over();
    }
    for (int user = 0; user < USERS; user++)
        purge_whole(user); /* or some of it would expire before the records are counted */
    push_to_all();
    expect_that_all_stale_has_left();
    open_copy(true);
}

Test(store_file_kill, a_kill_between_any_two_commits_changes_nothing_seed_1)
{
    live_and_be_killed(1);
}

Test(store_file_kill, a_kill_between_any_two_commits_changes_nothing_seed_2)
{
    live_and_be_killed(2);
}

Test(store_file_kill, a_kill_between_any_two_commits_changes_nothing_seed_3)
{
    live_and_be_killed(3);
}

Test(store_file_kill, a_kill_between_any_two_commits_changes_nothing_seed_4)
{
    live_and_be_killed(4);
}

/* ---- one by one ---- */

/* The push carries what the sessions have acknowledged: no record of the user is written, and what
 * has left with it does not come back. */
Test(store_file_kill, a_note_carries_the_position)
{
    for (int i = 0; i < 5; i++) {
        push(0, NULL, 60);
        known[0].seen = known[0].head;
    }
    struct census census = count_records();
    cr_assert_eq(census.n_notes, 5, "the stale ones stay for some time");
    cr_assert_eq(census.n_users, 0);
    open_copy(true);
    struct store_peek peek = file_twin_peek(running, users[0]);
    cr_assert_eq(peek.acked, 4);
    cr_assert_eq(peek.pending, 1);
    pass_seconds(10);
    census = count_records();
    cr_assert_eq(census.n_notes, 1);
    cr_assert_eq(census.n_users, 0);
    open_copy(true);
    cr_assert_eq(file_twin_peek(running, users[0]).acked, 4);
    push(0, NULL, 60);
}

/* The record that says the most of a user may leave only when what it makes stale has left. */
Test(store_file_kill, a_user_who_is_forgotten_leaves_nothing_behind)
{
    push(0, NULL, 60);
    known[0].seen = 1;
    acknowledge(0, "");
    cr_assert_eq(count_records().n_notes, 1, "it is stale");
    file_twin_ms += (int64_t)32 * 24 * 3600 * 1000;
    store_local_turn(running);
    struct census census = count_records();
    cr_assert_eq(census.n_notes, 0);
    cr_assert_eq(census.n_users, 0);
    open_copy(true);
    cr_assert(epoch_is_none(file_twin_peek(running, users[0]).epoch));
}

/* A position that a push was to carry is written with the user when the push is refused. */
Test(store_file_kill, a_push_that_is_refused_loses_no_position)
{
    store_close(running);
    struct store_config config = kill_config();
    config.max_bytes = 100000;
    running = file_twin_open(directory, config);
    push(0, NULL, 60);
    known[0].seen = 1;
    struct store_target target = target_of(0);
    static char big[200000];
    struct append_call call;
    append_start(running, &call,
                 (struct store_append){.payload = payload_new((struct span){big, sizeof big}),
                                       .ttl_s = 60,
                                       .n_targets = 1,
                                       .targets = &target});
    store_local_turn(running);
    append_end(&call);
    cr_assert_eq(target.error, ERR_FULL);
    cr_assert_eq(file_twin_peek(running, users[0]).acked, 1);
    open_copy(true);
    cr_assert_eq(file_twin_peek(running, users[0]).acked, 1);
}
