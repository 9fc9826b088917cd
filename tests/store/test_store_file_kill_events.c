/* The event log of a Herald that is killed between any two commits, or hands its store over, as
 * test_store_file_kill.c does with inboxes: after each request the file is copied, as a kill would
 * leave it, and opened again. The copy must show the events, who reads them, who is online and
 * which alerts are pending exactly as the running store does, whatever records are stale and still
 * in the file, and whichever of them have left already. */
#include "tests/store/file_kill.h"
#include "tests/store/presence_calls.h"

#include "gateway/base/list.h"
#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

enum { USERS = 5, PARTITIONS = 2, EVENTS_MAX = 9, EVENT_TTL_S = 40 };

static const unsigned partitions[PARTITIONS] = {3, 11};
static char users[PARTITIONS][USERS][32];
static const char *const nodes[] = {"node-1", "node-2", "node-3"};
static const char *const consumers[] = {"pa", "wb", "pc"};

static uint64_t heads[PARTITIONS]; /* that were answered */

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
        ask_consumers(file_kill_running, (struct store_consumers){.partition = partition});
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
    struct store_page page = read_page(file_kill_running, partition, consumer);
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

static size_t write_names(const struct presences *presences, const struct present *present,
                          struct span names[PRESENCE_NODES_MAX])
{
    size_t n = 0;
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++)
        if ((present->nodes >> i & 1) != 0)
            names[n++] = (struct span){presences->nodes[i].name, presences->nodes[i].name_len};
    return n;
}

/* The places of the nodes may be others. */
static void expect_same_nodes(const struct presences *presences, const struct present *present,
                              const struct presences *copied, const struct present *other)
{
    struct span names[PRESENCE_NODES_MAX];
    size_t n = write_names(presences, present, names);
    for (size_t i = 0; i < n; i++) {
        unsigned node = presences_find_node(copied, names[i]);
        cr_assert(node < PRESENCE_NODES_MAX && (other->nodes >> node & 1) != 0,
                  "%.*s has lost a node", present->user_id_len, present->user_id);
    }
    cr_assert_eq(write_names(copied, other, names), n);
}

static void expect_same_present(const struct presences *presences, const struct present *present,
                                const struct presences *copied, const struct present *other)
{
    cr_assert_not_null(other);
    cr_assert(span_equal(present_user(other), present_user(present)));
    expect_same_nodes(presences, present, copied, other);
    if (present->nodes != 0)
        return;
    cr_assert_eq(other->due.at_ms, present->due.at_ms);
    cr_assert_eq(other->last_seen_ms, present->last_seen_ms);
    cr_assert_eq(other->cause, present->cause);
}

static void expect_same_presences(const struct presences *presences, const struct presences *copied)
{
    if (presences == NULL || presences->n == 0) {
        cr_assert(copied == NULL || copied->n == 0);
        return;
    }
    cr_assert_not_null(copied);
    cr_assert_eq(copied->n, presences->n, "%zu users instead of %zu", copied->n, presences->n);
    const struct present *other = presences_after(copied, SPAN_NONE);
    for (const struct present *present = presences_after(presences, SPAN_NONE); present != NULL;
         present = presences_after(presences, present_user(present))) {
        expect_same_present(presences, present, copied, other);
        other = presences_after(copied, present_user(other));
    }
}

static void expect_same_alerts(const struct pending_alerts *alerts,
                               const struct pending_alerts *copied)
{
    size_t n = pending_alerts_count(alerts);
    cr_assert_eq(pending_alerts_count(copied), n);
    for (size_t i = 0; i < n; i++) {
        const struct alert *alert = CONTAINER_OF(alerts->due.list[i], struct alert, due);
        const struct alert *other =
            pending_alerts_find(copied, alert_user(alert), alert->epoch, alert->seq);
        cr_assert_not_null(other);
        cr_assert_eq(other->pushed_ms, alert->pushed_ms);
        cr_assert_eq(other->due.at_ms, alert->due.at_ms);
    }
}

static void expect_same(struct store *copy)
{
    const struct partitions *here = store_local_index(file_kill_running)->events;
    const struct partitions *there = store_local_index(copy)->events;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        expect_same_consumers(copy, partitions[i]);
        expect_same_page(copy, partitions[i], "");
        for (size_t at = 0; at < sizeof consumers / sizeof *consumers; at++)
            expect_same_page(copy, partitions[i], consumers[at]);
        const struct partition *partition = &here->list[partitions[i]];
        const struct partition *copied = &there->list[partitions[i]];
        expect_same_presences(partition->presences, copied->presences);
        expect_same_alerts(partition->alerts, copied->alerts);
    }
}

/* ---- what happens ---- */

static void append_some(unsigned i, bool is_bounded)
{
    const struct span events[] = {SPAN_LITERAL("{\"n\":1}"), SPAN_LITERAL("{\"n\":22}"),
                                  SPAN_LITERAL("{}")};
    struct store_event_append append = {.partition = partitions[i],
                                        .is_bounded = is_bounded,
                                        .n = 1 + file_kill_pick(3),
                                        .events = events};
    RUN(file_kill_running, store_event_append, &append);
    if (append.error == ERR_FULL)
        return;
    cr_assert_eq(append.error, ERR_OK);
    cr_assert_gt(append.first_seq, heads[i], "a number is given once");
    heads[i] = append.first_seq + append.n - 1;
}

static void acknowledge(unsigned i)
{
    struct store_consumers list =
        ask_consumers(file_kill_running, (struct store_consumers){.partition = partitions[i]});
    if (list.n == 0)
        return;
    const struct store_consumer *consumer = &list.list[file_kill_pick(list.n)];
    struct store_ack ack = {.user_id = store_partition_user(partitions[i]),
                            .device = {consumer->key, consumer->key_len},
                            .epoch = list.epoch,
                            .seq = consumer->position +
                                   file_kill_pick(list.head - consumer->position + 1)};
    cr_assert_eq(file_twin_ack(file_kill_running, ack), ERR_OK);
}

static void change_consumers(unsigned i)
{
    struct store_consumers asked = {.partition = partitions[i],
                                    .action =
                                        file_kill_pick(3) == 0 ? CONSUMERS_REMOVE : CONSUMERS_ADD,
                                    .key = span_of(consumers[file_kill_pick(3)]),
                                    .from_now = file_kill_pick(2) == 0};
    cr_assert_eq(ask_consumers(file_kill_running, asked).error, ERR_OK);
}

static void change_presence(unsigned i)
{
    struct store_presence_change changes[4];
    struct store_presence presence = {.partition = partitions[i],
                                      .node = span_of(nodes[file_kill_pick(3)]),
                                      .offline_after_ms = GRACE_MS,
                                      .keeps_offline = file_kill_pick(3) > 0,
                                      .n_changes = 1 + file_kill_pick(4),
                                      .changes = changes};
    for (size_t at = 0; at < presence.n_changes; at++)
        changes[at] = (struct store_presence_change){
            .user_id = span_of(users[i][file_kill_pick(USERS)]),
            .is_here = file_kill_pick(2) == 0,
            .came_ms = file_kill_pick(2) == 0 ? 0 : file_twin_ms,
            .event =
                file_kill_pick(4) == 0 ? SPAN_NONE : SPAN_LITERAL("{\"type\":\"user.online\"}"),
            .last_seen_ms = file_twin_ms - (int64_t)file_kill_pick(2000),
            .cause = OFFLINE_CLOSED};
    RUN(file_kill_running, store_presence, &presence);
    cr_assert_eq(presence.error, ERR_OK);
}

static void serve(unsigned i)
{
    struct store_serve asked = serve_asked(partitions[i], nodes[file_kill_pick(3)]);
    asked.keeps_offline = file_kill_pick(4) != 0;
    RUN(file_kill_running, store_serve, &asked);
    cr_assert_eq(asked.error, ERR_OK);
    for (size_t at = 0; at < asked.n_alerts; at++) {
        struct store_alert_end end = {.partition = partitions[i],
                                      .alert = asked.alerts[at],
                                      .event =
                                          file_kill_pick(2) == 0 ? SPAN_NONE : SPAN_LITERAL("{}")};
        RUN(file_kill_running, store_alert_end, &end);
        cr_assert_eq(end.error, ERR_OK);
    }
    free(asked.alerts);
}

static void push_to_be_alerted(unsigned i)
{
    struct store_target target = {.user_id = span_of(users[i][file_kill_pick(USERS)])};
    struct payload *payload = payload_new(SPAN_LITERAL("{}"));
    struct store_append append = {.payload = payload,
                                  .ttl_s = 600,
                                  .alert_after_s = 1 + (uint32_t)file_kill_pick(5),
                                  .n_targets = 1,
                                  .targets = &target};
    RUN(file_kill_running, store_append, &append);
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
    const char *user = users[i][file_kill_pick(USERS)];
    struct store_serve judged = serve_asked(partitions[i], nodes[0]);
    sem_init(&answered, 0, 0);
    for (int at = 0; at < 2; at++) {
        changes[at] = (struct store_presence_change){.user_id = span_of(user),
                                                     .is_here = at == 1,
                                                     .event = SPAN_LITERAL("{\"back\":1}"),
                                                     .last_seen_ms = file_twin_ms - 10 * GRACE_MS,
                                                     .cause = OFFLINE_SLOW};
        event_append_begin(
            file_kill_running, &appends[at],
            (struct store_event_append){.partition = partitions[i], .n = 1, .events = &event});
        presence_begin(file_kill_running, &presences[at],
                       (struct store_presence){.partition = partitions[i],
                                               .node = span_of(nodes[0]),
                                               .offline_after_ms = GRACE_MS,
                                               .n_changes = 1,
                                               .changes = &changes[at]});
        if (at == 0) {
            judged.request.on_done = on_answer;
            store_serve(file_kill_running, &judged);
        }
    }
    store_local_turn(file_kill_running);
    for (int at = 0; at < 2; at++) {
        call_wait(&appends[at].call);
        call_wait(&presences[at].call);
        cr_assert_eq(appends[at].append.error, ERR_OK);
        cr_assert_eq(presences[at].presence.error, ERR_OK);
        heads[i] = appends[at].append.first_seq;
    }
    free(judged.alerts);
}

static void do_something(void)
{
    unsigned i = (unsigned)file_kill_pick(PARTITIONS);
    uint64_t what = file_kill_pick(40);
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
        push_to_be_alerted(i);
    else if (what < 37)
        do_much_at_once(i);
    else
        file_kill_pass_seconds(1 + file_kill_pick(12));
}

static void setup(void)
{
    file_kill_begin((struct file_kill){.config = {.inbox_max = 1000,
                                                  .inbox_max_bytes = 1 << 20,
                                                  .events_max = EVENTS_MAX,
                                                  .events_max_bytes = 1 << 20,
                                                  .event_ttl_s = EVENT_TTL_S,
                                                  .alerts_max = 20},
                                       .expect_same = expect_same,
                                       .do_something = do_something});
    for (unsigned i = 0; i < PARTITIONS; i++)
        for (int user = 0; user < USERS; user++)
            name_user(partitions[i], user, users[i][user]);
}

TestSuite(store_file_kill_events, .init = setup, .fini = file_kill_end,
          .timeout = STORE_TEST_TIMEOUT_S);

/* ---- what is in the file at last ---- */

static void expect_that_all_stale_has_left(void)
{
    file_kill_pass_seconds(EVENT_TTL_S + 1); /* or some would expire just before they are counted */
    for (unsigned i = 0; i < PARTITIONS; i++)
        append_some(i, false);
    file_kill_pass_seconds(25);
    size_t n_events = 0;
    size_t n_users = 0;
    size_t n_alerts = 0;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        n_events +=
            ask_consumers(file_kill_running, (struct store_consumers){.partition = partitions[i]})
                .count;
        struct store_present list = {.partition = partitions[i], .limit = 1000};
        RUN(file_kill_running, store_present, &list);
        n_users += list.n;
        free(list.users);
        struct store_serve looked = serve_asked(partitions[i], nodes[0]);
        looked.may_judge = false;
        RUN(file_kill_running, store_serve, &looked);
        n_alerts += looked.n_pending_alerts;
        free(looked.alerts);
    }
    struct file_census census = file_kill_count();
    cr_assert_eq(census.n[FILE_RECORD_EVENT], n_events);
    cr_assert_eq(census.n[FILE_RECORD_PRESENCE], n_users);
    cr_assert_eq(census.n[FILE_RECORD_ALERT], n_alerts);
    cr_assert_leq(census.n[FILE_RECORD_PARTITION], PARTITIONS);
}

/* A user whose grace time runs is on record with times that are an hour ahead after the start. */
Test(store_file_kill_events, a_clock_that_has_gone_back_before_a_start_keeps_nobody_online)
{
    enum { HOUR_MS = 3600 * 1000 };
    struct store_presence_change change = {
        .user_id = span_of(users[0][0]), .is_here = true, .last_seen_ms = file_twin_ms};
    struct store_presence presence = {.partition = partitions[0],
                                      .node = span_of(nodes[0]),
                                      .offline_after_ms = GRACE_MS,
                                      .n_changes = 1,
                                      .changes = &change};
    RUN(file_kill_running, store_presence, &presence);
    change.is_here = false;
    RUN(file_kill_running, store_presence, &presence);
    file_kill_copy(true);
    file_twin_ms -= HOUR_MS;
    struct store_serve judged = serve_asked(partitions[0], nodes[1]);
    RUN(file_kill_running, store_serve, &judged);
    file_twin_ms += GRACE_MS;
    RUN(file_kill_running, store_serve, &judged);
    free(judged.alerts);
    struct store_present list = {.partition = partitions[0], .limit = 10};
    RUN(file_kill_running, store_present, &list);
    free(list.users);
    cr_assert_eq(list.n, 0);
}

static void live_and_be_killed(uint64_t seed)
{
    file_kill_live(seed, 400);
    expect_that_all_stale_has_left();
    file_kill_copy(true);
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
