/* The event log of a Herald that is killed between any two commits, or hands its store over, as
 * test_store_file_kill.c does with inboxes: after each request the file is copied, as a kill would
 * leave it, and opened again. The copy must show the events, who reads them, who is online and
 * which alerts are pending exactly as the running store does, whatever records are stale and still
 * in the file, and whichever of them have left already. */
#include "tests/store/file_directory.h"
#include "tests/store/file_twin.h"
#include "tests/store/presence_calls.h"

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_record.h"

enum { USERS = 5, PARTITIONS = 2, EVENTS_MAX = 9 };

static const unsigned partitions[PARTITIONS] = {3, 11};
static char users[PARTITIONS][USERS][32];
static const char *const nodes[] = {"node-1", "node-2", "node-3"};
static const char *const consumers[] = {"pa", "wb", "pc"};

static struct store *running;
static uint64_t random_state;
static uint64_t heads[PARTITIONS]; /* that were answered */

static uint64_t pick(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static struct store_config kill_config(void)
{
    return (struct store_config){.inbox_max = 1000,
                                 .inbox_max_bytes = 1 << 20,
                                 .events_max = EVENTS_MAX,
                                 .events_max_bytes = 1 << 20,
                                 .event_ttl_s = 40,
                                 .alerts_max = 20};
}

static void setup(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    make_directory();
    file_twin_ms = 1700000000000;
    running = file_twin_open(directory, kill_config());
    for (unsigned i = 0; i < PARTITIONS; i++)
        for (int user = 0; user < USERS; user++)
            name_user(partitions[i], user, users[i][user]);
}

static void teardown(void)
{
    store_close(running);
    remove_directory();
    recorder_fini();
    contract_check_leaks();
}

TestSuite(store_file_kill_events, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

/* ---- requests, each a turn ---- */

static sem_t answered;

static void on_answer(struct store_request *request)
{
    (void)request;
    sem_post(&answered);
}

/* Of a store without a thread: `ask` is one of store.h's calls. */
#define RUN(to, ask, asked)                                                                        \
    do {                                                                                           \
        sem_init(&answered, 0, 0);                                                                 \
        (asked)->request.on_done = on_answer;                                                      \
        ask(to, asked);                                                                            \
        store_local_turn(to);                                                                      \
        cr_assert_eq(sem_trywait(&answered), 0);                                                   \
    } while (0)

static struct store_consumers ask_consumers(struct store *to, struct store_consumers asked)
{
    RUN(to, store_consumers, &asked);
    return asked;
}

/* ---- the same in both ---- */

static void expect_same_consumers(struct store *copy, unsigned partition)
{
    struct store_consumers list =
        ask_consumers(running, (struct store_consumers){.partition = partition});
    struct store_consumers copied =
        ask_consumers(copy, (struct store_consumers){.partition = partition});
    cr_assert(epoch_equal(copied.epoch, list.epoch));
    cr_assert_eq(copied.head, list.head);
    cr_assert_eq(copied.count, list.count, "%d instead of %d", (int)copied.count, (int)list.count);
    cr_assert_eq(copied.bytes, list.bytes);
    cr_assert_eq(copied.oldest_ms, list.oldest_ms);
    cr_assert_eq(copied.n, list.n);
    for (size_t i = 0; i < list.n; i++) {
        char key[STORE_CONSUMER_KEY_MAX_BYTES + 1] = "";
        memcpy(key, list.list[i].key, list.list[i].key_len);
        const struct store_consumer *other = find_consumer(&copied, key);
        cr_assert_eq(other->position, list.list[i].position);
        cr_assert_eq(other->lag, list.list[i].lag);
        cr_assert_eq(other->oldest_ms, list.list[i].oldest_ms);
    }
}

static struct store_page read_page(struct store *from, unsigned partition, const char *consumer)
{
    return file_twin_page(from, (struct store_page){.user_id = store_partition_user(partition),
                                                    .device = span_of(consumer),
                                                    .from_acked = true,
                                                    .wants_gaps = true,
                                                    .max_count = 1000,
                                                    .max_bytes = UINT32_MAX});
}

static void expect_same_page(struct store *copy, unsigned partition, const char *consumer)
{
    struct store_page page = read_page(running, partition, consumer);
    struct store_page copied = read_page(copy, partition, consumer);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(copied.error, ERR_OK);
    cr_assert_eq(copied.acked, page.acked);
    cr_assert_eq(copied.position, page.position);
    cr_assert_eq(copied.has_device, page.has_device);
    cr_assert_eq(copied.n_notes, page.n_notes);
    for (size_t i = 0; i < page.n_notes; i++) {
        cr_assert_eq(copied.notes[i]->seq, page.notes[i]->seq);
        cr_assert_eq(copied.notes[i]->time_ms, page.notes[i]->time_ms);
        cr_assert(span_equal(payload_data(copied.notes[i]->payload),
                             payload_data(page.notes[i]->payload)));
    }
    cr_assert_eq(copied.n_gaps, page.n_gaps);
    for (size_t i = 0; i < page.n_gaps; i++) {
        cr_assert_eq(copied.gaps[i].from, page.gaps[i].from);
        cr_assert_eq(copied.gaps[i].to, page.gaps[i].to);
        cr_assert_eq(copied.gaps[i].cause, page.gaps[i].cause);
    }
    page_free(&page);
    page_free(&copied);
}

static void expect_same_users(struct store *copy, unsigned partition, const char *node)
{
    struct store_present list = {.partition = partition, .node = span_of(node), .limit = USERS + 1};
    struct store_present copied = list;
    RUN(running, store_present, &list);
    RUN(copy, store_present, &copied);
    cr_assert_eq(copied.n, list.n, "%s: %d users instead of %d", node, (int)copied.n, (int)list.n);
    for (size_t i = 0; i < list.n; i++)
        cr_assert(span_equal(copied.users[i], list.users[i]));
    free(list.users);
    free(copied.users);
}

static void expect_same_alerts(struct store *copy, unsigned partition)
{
    struct store_serve list = serve_asked(partition, nodes[0]);
    list.may_judge = false;
    struct store_serve copied = list;
    RUN(running, store_serve, &list);
    RUN(copy, store_serve, &copied);
    cr_assert_eq(copied.n_pending_alerts, list.n_pending_alerts);
    cr_assert_eq(copied.next_alert_ms, list.next_alert_ms);
    cr_assert_eq(copied.n_alerts, list.n_alerts);
    for (size_t i = 0; i < list.n_alerts; i++)
        cr_assert_eq(copied.alerts[i].due_ms, list.alerts[i].due_ms);
    free(list.alerts);
    free(copied.alerts);
}

static void expect_same(struct store *copy)
{
    for (unsigned i = 0; i < PARTITIONS; i++) {
        expect_same_consumers(copy, partitions[i]);
        expect_same_page(copy, partitions[i], "");
        for (size_t at = 0; at < sizeof consumers / sizeof *consumers; at++)
            expect_same_page(copy, partitions[i], consumers[at]);
        expect_same_users(copy, partitions[i], "");
        for (size_t at = 0; at < sizeof nodes / sizeof *nodes; at++)
            expect_same_users(copy, partitions[i], nodes[at]);
        expect_same_alerts(copy, partitions[i]);
    }
}

/* With `is_killed` the copy is what goes on, instead of the store that it was made from. */
static void open_copy(bool is_killed)
{
    char path[64];
    file_twin_copy(directory, path);
    struct store *copy = file_twin_open(path, kill_config());
    expect_same(copy);
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
    expect_same(copy);
    store_close(copy);
    file_twin_remove(path);
}

/* ---- what happens ---- */

static void append_some(unsigned i, bool is_bounded)
{
    const struct span events[] = {SPAN_LITERAL("{\"n\":1}"), SPAN_LITERAL("{\"n\":22}"),
                                  SPAN_LITERAL("{}")};
    struct store_event_append append = {
        .partition = partitions[i], .is_bounded = is_bounded, .n = 1 + pick(3), .events = events};
    RUN(running, store_event_append, &append);
    if (append.error == ERR_FULL)
        return;
    cr_assert_eq(append.error, ERR_OK);
    cr_assert_gt(append.first_seq, heads[i], "a number is given once");
    heads[i] = append.first_seq + append.n - 1;
}

static void acknowledge(unsigned i)
{
    struct store_consumers list =
        ask_consumers(running, (struct store_consumers){.partition = partitions[i]});
    if (list.n == 0)
        return;
    const struct store_consumer *consumer = &list.list[pick(list.n)];
    struct store_ack ack = {.user_id = store_partition_user(partitions[i]),
                            .device = {consumer->key, consumer->key_len},
                            .epoch = list.epoch,
                            .seq = consumer->position + pick(list.head - consumer->position + 1)};
    cr_assert_eq(file_twin_ack(running, ack), ERR_OK);
}

static void change_consumers(unsigned i)
{
    struct store_consumers asked = {.partition = partitions[i],
                                    .action = pick(3) == 0 ? CONSUMERS_REMOVE : CONSUMERS_ADD,
                                    .key = span_of(consumers[pick(3)]),
                                    .from_now = pick(2) == 0};
    cr_assert_eq(ask_consumers(running, asked).error, ERR_OK);
}

static void change_presence(unsigned i)
{
    struct store_presence_change changes[4];
    struct store_presence presence = {.partition = partitions[i],
                                      .node = span_of(nodes[pick(3)]),
                                      .offline_after_ms = GRACE_MS,
                                      .n_changes = 1 + pick(4),
                                      .changes = changes};
    for (size_t at = 0; at < presence.n_changes; at++)
        changes[at] = (struct store_presence_change){
            .user_id = span_of(users[i][pick(USERS)]),
            .is_here = pick(2) == 0,
            .event = pick(4) == 0 ? SPAN_NONE : SPAN_LITERAL("{\"type\":\"user.online\"}"),
            .last_seen_ms = file_twin_ms - (int64_t)pick(2000),
            .cause = OFFLINE_CLOSED};
    RUN(running, store_presence, &presence);
    cr_assert_eq(presence.error, ERR_OK);
}

static void serve(unsigned i)
{
    struct store_serve asked = serve_asked(partitions[i], nodes[pick(3)]);
    asked.keeps_offline = pick(4) != 0;
    RUN(running, store_serve, &asked);
    cr_assert_eq(asked.error, ERR_OK);
    for (size_t at = 0; at < asked.n_alerts; at++) {
        struct store_alert_end end = {.partition = partitions[i],
                                      .alert = asked.alerts[at],
                                      .event = pick(2) == 0 ? SPAN_NONE : SPAN_LITERAL("{}")};
        RUN(running, store_alert_end, &end);
        cr_assert_eq(end.error, ERR_OK);
    }
    free(asked.alerts);
}

static void push_with_alert(unsigned i)
{
    struct store_target target = {.user_id = span_of(users[i][pick(USERS)])};
    struct payload *payload = payload_new(SPAN_LITERAL("{}"));
    struct store_append append = {.payload = payload,
                                  .ttl_s = 600,
                                  .alert_after_s = 1 + (uint32_t)pick(5),
                                  .n_targets = 1,
                                  .targets = &target};
    RUN(running, store_append, &append);
    cr_assert(target.error == ERR_OK || target.error == ERR_FULL);
    payload_unref(payload);
}

/* One group: what comes, goes and ends in it may be the same user, event or consumer. */
static void do_much_at_once(unsigned i)
{
    struct event_append_call appends[2];
    struct presence_call presences[2];
    struct store_presence_change changes[2];
    struct span event = SPAN_LITERAL("{\"at\":\"once\"}");
    const char *user = users[i][pick(USERS)];
    struct store_serve judged = serve_asked(partitions[i], nodes[0]);
    sem_init(&answered, 0, 0);
    for (int at = 0; at < 2; at++) {
        changes[at] = (struct store_presence_change){.user_id = span_of(user),
                                                     .is_here = at == 1,
                                                     .event = SPAN_LITERAL("{\"back\":1}"),
                                                     .last_seen_ms = file_twin_ms - 10 * GRACE_MS,
                                                     .cause = OFFLINE_SLOW};
        event_append_begin(
            running, &appends[at],
            (struct store_event_append){.partition = partitions[i], .n = 1, .events = &event});
        presence_begin(running, &presences[at],
                       (struct store_presence){.partition = partitions[i],
                                               .node = span_of(nodes[0]),
                                               .offline_after_ms = GRACE_MS,
                                               .n_changes = 1,
                                               .changes = &changes[at]});
        if (at == 0) {
            judged.request.on_done = on_answer;
            store_serve(running, &judged);
        }
    }
    store_local_turn(running);
    for (int at = 0; at < 2; at++) {
        call_wait(&appends[at].call);
        call_wait(&presences[at].call);
        cr_assert_eq(appends[at].append.error, ERR_OK);
        cr_assert_eq(presences[at].presence.error, ERR_OK);
        heads[i] = appends[at].append.first_seq;
    }
    free(judged.alerts);
}

static void pass_seconds(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        file_twin_ms += 1000;
        store_local_turn(running);
    }
}

static void do_something(void)
{
    unsigned i = (unsigned)pick(PARTITIONS);
    uint64_t what = pick(40);
    if (what < 10)
        append_some(i, what < 3);
    else if (what < 15)
        acknowledge(i);
    else if (what < 18)
        change_consumers(i);
    else if (what < 27)
        change_presence(i);
    else if (what < 31)
        serve(i);
    else if (what < 34)
        push_with_alert(i);
    else if (what < 37)
        do_much_at_once(i);
    else
        pass_seconds(1 + pick(12));
}

/* ---- what is in the file at last ---- */

struct census {
    size_t n[FILE_RECORD_KINDS];
};

static enum err count_record(void *owner, uint64_t key, struct span bytes)
{
    (void)key;
    struct census *census = owner;
    struct file_record record;
    const char *detail;
    cr_assert_eq(file_record_read(bytes, &record, &detail), ERR_OK, "%s", detail);
    census->n[record.kind]++;
    return ERR_OK;
}

static struct census count_records(void)
{
    char path[64];
    char why[200];
    struct file_lmdb *lmdb;
    struct census census = {{0}};
    file_twin_copy(directory, path);
    cr_assert_eq(file_lmdb_open(path, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_record, &census), ERR_OK);
    file_lmdb_close(lmdb);
    file_twin_remove(path);
    return census;
}

static void expect_that_all_stale_has_left(void)
{
    pass_seconds(25);
    size_t n_events = 0;
    size_t n_users = 0;
    size_t n_alerts = 0;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        n_events +=
            ask_consumers(running, (struct store_consumers){.partition = partitions[i]}).count;
        struct store_present list = {.partition = partitions[i], .limit = 1000};
        RUN(running, store_present, &list);
        n_users += list.n;
        free(list.users);
        struct store_serve looked = serve_asked(partitions[i], nodes[0]);
        looked.may_judge = false;
        RUN(running, store_serve, &looked);
        n_alerts += looked.n_pending_alerts;
        free(looked.alerts);
    }
    struct census census = count_records();
    cr_assert_eq(census.n[FILE_RECORD_EVENT], n_events);
    cr_assert_eq(census.n[FILE_RECORD_PRESENCE], n_users);
    cr_assert_eq(census.n[FILE_RECORD_ALERT], n_alerts);
    cr_assert_leq(census.n[FILE_RECORD_PARTITION], PARTITIONS);
}

static void live_and_be_killed(uint64_t seed)
{
    enum { STEPS = 400, STEPS_BETWEEN_KILLS = 20 };
    random_state = seed;
    for (int step = 1; step <= STEPS; step++) {
        do_something();
        open_copy(step % STEPS_BETWEEN_KILLS == 0);
        if (step % STEPS_BETWEEN_KILLS == STEPS_BETWEEN_KILLS / 2)
            hand_over();
    }
    expect_that_all_stale_has_left();
    open_copy(true);
}

Test(store_file_kill_events, a_kill_between_any_two_commits_changes_nothing_seed_1)
{
    live_and_be_killed(1);
}

Test(store_file_kill_events, a_kill_between_any_two_commits_changes_nothing_seed_2)
{
    live_and_be_killed(2);
}

Test(store_file_kill_events, a_kill_between_any_two_commits_changes_nothing_seed_3)
{
    live_and_be_killed(3);
}
