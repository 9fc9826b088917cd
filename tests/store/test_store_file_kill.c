/* A Herald that is killed between any two commits, or hands its store over. After each request the
 * file is copied, as a kill would leave it, and opened again: the copy must show every user exactly
 * as the running store does, and so must the store of the process that it is handed to. So no
 * number is given twice, and nothing comes back that has left, whatever records are
 * stale and still in the file, and whichever of them have left already. */
#include "tests/store/block_calls.h"
#include "tests/store/file_kill.h"
#include "tests/store/file_same.h"

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

/* ---- the same in both ---- */

static void expect_same_inboxes(struct store *copy)
{
    for (int user = 0; user < USERS; user++) {
        file_same_peek(file_kill_running, copy, users[user]);
        file_same_page(file_kill_running, copy, users[user], "");
        for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
            file_same_page(file_kill_running, copy, users[user], devices[i]);
    }
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
    file_twin_append(file_kill_running, &target, collapse_key, ttl_s);
    learn(user, &target);
}

/* A repeat is answered as the first was, whichever process did it. */
static void push_with_key(int user, size_t key)
{
    struct append_call call;
    struct store_target target = target_of(user);
    struct store_target *first = &known[user].keyed[key];
    append_start(file_kill_running, &call,
                 (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                       .ttl_s = 60,
                                       .idempotency_key = span_of(keys[key]),
                                       .n_targets = 1,
                                       .targets = &target});
    store_local_turn(file_kill_running);
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
    block_begin(file_kill_running, &call, users[user], for_s);
    store_local_turn(file_kill_running);
    call_wait(&call.call);
    cr_assert_eq(call.block.error, ERR_OK);
}

static void push_to_all(void)
{
    struct append_call call;
    struct store_target targets[USERS];
    for (int user = 0; user < USERS; user++)
        targets[user] = target_of(user);
    append_start(file_kill_running, &call,
                 (struct store_append){.payload = payload_new(SPAN_LITERAL("{\"to\":\"all\"}")),
                                       .ttl_s = 60,
                                       .n_targets = USERS,
                                       .targets = targets});
    store_local_turn(file_kill_running);
    append_end(&call);
    for (int user = 0; user < USERS; user++)
        learn(user, &targets[user]);
}

/* A file that was restored from an older copy: the node knows higher numbers. */
static void push_after_a_loss(int user)
{
    struct store_target target = target_of(user);
    target.known_head += 3;
    file_twin_append(file_kill_running, &target, NULL, 60);
    learn(user, &target);
    cr_assert_eq(target.seq, 1);
}

static void see_some(int user)
{
    known[user].seen += file_kill_pick(known[user].head - known[user].seen + 1);
}

static void acknowledge(int user, const char *device)
{
    struct store_ack ack = {.user_id = span_of(users[user]),
                            .device = span_of(device),
                            .is_held = device[0] == '\0',
                            .epoch = known[user].epoch,
                            .seq = known[user].seen,
                            .written = known[user].head - file_kill_pick(2)};
    if (known[user].head > 0)
        cr_assert_eq(file_twin_ack(file_kill_running, ack), ERR_OK);
}

static void withdraw(int user, bool is_all)
{
    struct store_withdraw asked = {.user_id = span_of(users[user]),
                                   .is_all = is_all,
                                   .epoch = known[user].epoch,
                                   .seq = known[user].head - file_kill_pick(3)};
    if (known[user].head > 3)
        cr_assert_eq(file_twin_withdraw(file_kill_running, asked).error, ERR_OK);
}

static void purge_whole(int user)
{
    struct store_withdraw asked = {.user_id = span_of(users[user]), .is_all = true};
    cr_assert_eq(file_twin_withdraw(file_kill_running, asked).error, ERR_OK);
}

static void arrive_with_device(int user)
{
    struct store_page asked = page_asked(users[user]);
    asked.device = span_of(devices[file_kill_pick(2)]);
    asked.is_arrival = true;
    asked.known_epoch = known[user].epoch;
    struct store_page page = file_twin_page(file_kill_running, asked);
    cr_assert_eq(page.error, ERR_OK);
    if (page.blocked_until_ms == 0 && !epoch_equal(page.epoch, known[user].epoch)) {
        cr_assert_eq(page.head, 0, "it began here");
        known[user].epoch = page.epoch;
    }
    page_free(&page);
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
        targets[i].known_acked = head - file_kill_pick(2);
        append_start(file_kill_running, &pushes[i],
                     (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                           .ttl_s = 60,
                                           .n_targets = 1,
                                           .targets = &targets[i]});
        withdraw_begin(file_kill_running, &cancels[i],
                       (struct store_withdraw){.user_id = span_of(users[user]),
                                               .epoch = known[user].epoch,
                                               .seq = head + file_kill_pick(3)});
        ack_begin(file_kill_running, &acks[i], users[user], known[user].epoch,
                  head + file_kill_pick(2));
    }
    store_local_turn(file_kill_running);
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
    int user = (int)file_kill_pick(USERS);
    uint64_t what = file_kill_pick(48);
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
        acknowledge(user, devices[file_kill_pick(2)]);
    else if (what < 35)
        withdraw(user, false);
    else if (what < 36)
        withdraw(user, true);
    else if (what < 37 && file_kill_pick(3) == 0)
        push_after_a_loss(user);
    else if (what < 40)
        file_kill_pass_seconds(1 + file_kill_pick(3));
    else if (what < 42)
        push_with_key(user, file_kill_pick(2));
    else if (what < 44)
        block(user, (uint32_t)file_kill_pick(3) * 5);
    else
        do_much_at_once(user);
}

static void setup(void)
{
    file_kill_begin(
        (struct file_kill){.config = {.inbox_max = INBOX_MAX, .inbox_max_bytes = 1 << 20},
                           .expect_same = expect_same_inboxes,
                           .do_something = do_something});
}

TestSuite(store_file_kill, .init = setup, .fini = file_kill_end, .timeout = STORE_TEST_TIMEOUT_S);

/* ---- what is in the file at last ---- */

static size_t count_notes(const struct file_census *census)
{
    return census->n[FILE_RECORD_NOTE] + census->n[FILE_RECORD_REF];
}

static void expect_that_all_stale_has_left(void)
{
    size_t n_pending = 0;
    for (int user = 0; user < USERS; user++)
        n_pending += file_twin_peek(file_kill_running, users[user]).pending;
    file_kill_pass_seconds(25);
    struct file_census census = file_kill_count();
    cr_assert_eq(count_notes(&census), n_pending);
    cr_assert_eq(census.n[FILE_RECORD_USER], USERS, "each of them has lost something, or moved");
    cr_assert_leq(census.n[FILE_RECORD_SHARED], n_pending);
}

static void live_and_be_killed(uint64_t seed)
{
    file_kill_live(seed, 300);
    for (int user = 0; user < USERS; user++)
        purge_whole(user); /* or some of it would expire before the records are counted */
    push_to_all();
    expect_that_all_stale_has_left();
    file_kill_copy(true);
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
    struct file_census census = file_kill_count();
    cr_assert_eq(count_notes(&census), 5, "the stale ones stay for some time");
    cr_assert_eq(census.n[FILE_RECORD_USER], 0);
    file_kill_copy(true);
    struct store_peek peek = file_twin_peek(file_kill_running, users[0]);
    cr_assert_eq(peek.acked, 4);
    cr_assert_eq(peek.pending, 1);
    file_kill_pass_seconds(10);
    census = file_kill_count();
    cr_assert_eq(count_notes(&census), 1);
    cr_assert_eq(census.n[FILE_RECORD_USER], 0);
    file_kill_copy(true);
    cr_assert_eq(file_twin_peek(file_kill_running, users[0]).acked, 4);
    push(0, NULL, 60);
}

/* The record that says the most of a user may leave only when what it makes stale has left. */
Test(store_file_kill, a_user_who_is_forgotten_leaves_nothing_behind)
{
    push(0, NULL, 60);
    known[0].seen = 1;
    acknowledge(0, "");
    struct file_census census = file_kill_count();
    cr_assert_eq(count_notes(&census), 1, "it is stale");
    file_twin_ms += (int64_t)32 * 24 * 3600 * 1000;
    store_local_turn(file_kill_running);
    census = file_kill_count();
    cr_assert_eq(count_notes(&census), 0);
    cr_assert_eq(census.n[FILE_RECORD_USER], 0);
    file_kill_copy(true);
    cr_assert(epoch_is_none(file_twin_peek(file_kill_running, users[0]).epoch));
}

/* A position that a push was to carry is written with the user when the push is refused. */
Test(store_file_kill, a_push_that_is_refused_loses_no_position)
{
    store_close(file_kill_running);
    struct store_config config = {.inbox_max = INBOX_MAX, .inbox_max_bytes = 1 << 20};
    config.max_bytes = 100000;
    file_kill_running = file_twin_open(directory, config);
    push(0, NULL, 60);
    known[0].seen = 1;
    struct store_target target = target_of(0);
    static char big[200000];
    struct append_call call;
    append_start(file_kill_running, &call,
                 (struct store_append){.payload = payload_new((struct span){big, sizeof big}),
                                       .ttl_s = 60,
                                       .n_targets = 1,
                                       .targets = &target});
    store_local_turn(file_kill_running);
    append_end(&call);
    cr_assert_eq(target.error, ERR_FULL);
    cr_assert_eq(file_twin_peek(file_kill_running, users[0]).acked, 1);
    file_kill_copy(true);
    cr_assert_eq(file_twin_peek(file_kill_running, users[0]).acked, 1);
}
