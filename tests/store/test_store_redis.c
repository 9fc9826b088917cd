/* The contract of every store against a real redis-server, and how the Redis store delivers and
 * keeps what it has. */
#include "tests/store/redis_backend.h"

/* --- notifications --- */

Test(store_redis, a_big_payload_is_announced_as_missed_and_read_from_the_inbox)
{
    static char big[64 << 10];
    memset(big, 'x', sizeof big);
    arrive(store, "anna");
    cr_assert_eq(append_span(store, "anna", (struct span){big, 16 << 10}, 60).error, ERR_OK);
    wait_for_notification("anna", 1);
    cr_assert_eq(append_span(store, "anna", (struct span){big, sizeof big}, 60).error, ERR_OK);
    wait_for_missed(1);
    struct store_page page = page_after(store, "anna", 1, 10, 1 << 20);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.notes[0]->payload->len, sizeof big);
    page_free(&page);
}

Test(store_redis, keeps_the_keys_of_every_userid_apart_and_in_one_slot)
{
    static const char *const users[] = {"a{b}%c", "a%7Bb}", "{}", "\xf0\x9f\x93\xaf ", ":inbox"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        arrive(store, users[i]);
        append_number(store, users[i], (int)i, 60);
        wait_for_notification(users[i], 1);
    }
    char answer[64];
    redis_server_ask(&server, "EXISTS herald:{a%7Bb%7D%25c}:inbox herald:{a%7Bb%7D%25c}:meta",
                     answer, sizeof answer);
    cr_assert_str_eq(answer, ":2\r\n");
}

Test(store_redis, tells_another_node_and_counts_the_nodes)
{
    arrive(store, "anna");
    struct reactor *first_lane = lane;
    pthread_t first_thread = lane_thread;
    struct store_config config = contract_config(1000, 1 << 20);
    struct store *other = open_on(&config, server.url);
    wait_for_state(true);
    struct store_target got = append_one(other, "anna", "{}", 60);
    cr_assert_eq(got.nodes, 1);
    wait_for_notification("anna", 1);
    arrive(other, "anna");
    cr_assert_eq(append_one(other, "anna", "{}", 60).nodes, 2);
    cr_assert_eq(append_one(other, "bert", "{}", 60).nodes, 0);
    backend_close(other);
    lane = first_lane;
    lane_thread = first_thread;
}

/* Lanes take turns in the chain; each gets its own in their order, and none is left out. */
Test(store_redis, gives_each_lane_its_own_of_many_appends)
{
    enum { MANY = 40 };
    static struct append_call calls[MANY];
    n_lanes = 2;
    contract_open_with(1000, 1 << 20);
    for (unsigned i = 0; i < MANY; i++) {
        append_prepare(&calls[i], i % 2 == 0 ? "anna" : "bert", SPAN_LITERAL("{}"), 60);
        calls[i].append.request.lane = i % 2;
        calls[i].append.request.next = i + 1 < MANY ? &calls[i + 1].append.request : NULL;
    }
    store_append_many(store, &calls[0].append);
    for (unsigned i = 0; i < MANY; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, i / 2 + 1);
    }
}

static struct page_call late_calls[2];

/* A leave carries out what was asked before it: both pages arrive while all users are visited. */
static void arrive_twice_and_leave(struct span user_id)
{
    (void)user_id;
    on_missed_too = NULL;
    for (int i = 0; i < 2; i++) {
        late_calls[i].page = page_asked("late");
        late_calls[i].page.is_arrival = true;
        page_start(store, &late_calls[i]);
    }
    store_leave(store, 0, SPAN_LITERAL("bert"));
}

/* A user that arrives while on_missed is called for all users is subscribed, and only once. */
Test(store_redis, an_arrival_during_on_missed_hears_everything)
{
    arrive(store, "anna");
    arrive(store, "bert");
    on_missed_too = arrive_twice_and_leave;
    redis_server_do(&server, "CLIENT KILL TYPE normal");
    wait_for_missed(1);
    for (int i = 0; i < 2; i++) {
        call_wait(&late_calls[i].call);
        cr_assert_eq(late_calls[i].page.error, ERR_OK);
        page_free(&late_calls[i].page);
    }
    cr_assert_eq(append_one(store, "late", "{}", 60).nodes, 1);
    wait_for_notification("late", 1);
    backend_leave(store, 0, SPAN_LITERAL("late"));
    for (int i = 0; i < SOON_MS / 10 && append_one(store, "late", "{}", 60).nodes > 0; i++)
        pause_ms(10);
    cr_assert_eq(append_one(store, "late", "{}", 60).nodes, 0, "one leave is enough");
}

Test(store_redis, an_arrival_right_after_a_leave_hears_everything)
{
    arrive(store, "anna");
    for (int i = 0; i < 50; i++) {
        struct page_call call = {.page = page_asked("anna")};
        call.page.is_arrival = true;
        struct leave_letter leave = {
            .letter.deliver = deliver_leave, .store = store, .user_id = SPAN_LITERAL("anna")};
        sem_init(&leave.done, 0, 0);
        mailbox_post(reactor_mailbox(lane), &leave.letter);
        if (i % 2 == 0)
            sem_wait(&leave.done); /* right after it, else on either side of it */
        page_start(store, &call);
        call_wait(&call.call);
        if (i % 2 != 0)
            sem_wait(&leave.done);
        page_free(&call.page);
        if (i % 2 != 0)
            arrive(store, "anna");
        append_number(store, "anna", i, 60);
        wait_for_notification("anna", (uint64_t)i + 1);
    }
    backend_leave(store, 0, SPAN_LITERAL("anna"));
    pause_ms(50);
    cr_assert_eq(append_one(store, "anna", "{}", 60).nodes, 0, "nobody listens any more");
}

/* --- inboxes --- */

Test(store_redis, counts_what_left_an_inbox_unacknowledged)
{
    contract_open_with(5, 1 << 20);
    int64_t overflow = metrics_read(METRIC_INBOX_OVERFLOW);
    int64_t expired = metrics_read(METRIC_INBOX_EXPIRED);
    for (int i = 0; i < 8; i++)
        append_number(store, "anna", i, i % 2 == 0 ? 3 : 60); /* 3..7 stay: three of them for 3 s */
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 3);
    pause_ms(3050);
    append_number(store, "anna", 8, 60);
    cr_assert_eq(metrics_read(METRIC_INBOX_EXPIRED), expired + 2);
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 3, "expired ones made room");
    cr_assert_eq(peek_one(store, "anna").pending, 4);
}

Test(store_redis, reads_and_acknowledges_where_numbers_are_thin)
{
    append_number(store, "anna", 0, 60);
    for (int i = 1; i < 300; i++)
        append_number(store, "anna", i, 1);
    append_number(store, "anna", 300, 60);
    pause_ms(1050);
    struct store_page page = page_after(store, "anna", 0, 1, 1 << 20);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.last, 1);
    page_free(&page);
    page = page_after(store, "anna", 1, 1, 1 << 20);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.notes[0]->seq, 301);
    cr_assert_eq(page.last, 301);
    struct epoch epoch = page.epoch;
    page_free(&page);
    cr_assert_eq(ack_one(store, "anna", epoch, 150), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 302);
}

/* How often a whole inbox was read since Redis started. */
static long count_walks(void)
{
    char answer[64];
    redis_server_ask(&server,
                     "EVAL \"return tonumber(string.match(redis.call('INFO', 'commandstats'), "
                     "'cmdstat_hgetall:calls=(%d+)') or 0)\" 0",
                     answer, sizeof answer);
    cr_assert_eq(answer[0], ':', "%s", answer);
    return strtol(answer + 1, NULL, 10);
}

/* `due` may be that of an entry that was acknowledged. */
static void let_an_acknowledged_one_expire(const char *user)
{
    append_number(store, user, 0, 1);
    append_number(store, user, 1, 60);
    cr_assert_eq(ack_one(store, user, peek_one(store, user).epoch, 1), ERR_OK);
    pause_ms(1050);
}

Test(store_redis, nothing_reads_a_whole_inbox_because_something_has_expired)
{
    let_an_acknowledged_one_expire("anna");
    long before = count_walks();
    for (int i = 0; i < 3; i++) {
        append_number(store, "anna", 2 + i, 3);
        struct store_page page = page_all(store, "anna");
        cr_assert_eq(page.n_notes, (size_t)i + 2);
        page_free(&page);
    }
    pause_ms(3050);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    append_number(store, "anna", 9, 60);
    cr_assert_eq(peek_one(store, "anna").pending, 2);
    cr_assert_eq(count_walks() - before, 0);
}

Test(store_redis, a_full_redis_still_says_what_waits)
{
    let_an_acknowledged_one_expire("anna");
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(peek_one(store, "anna").pending, 1);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
}

Test(store_redis, an_inbox_leaves_redis_by_itself)
{
    append_number(store, "anna", 0, 1);
    pause_ms(1100);
    char answer[64];
    redis_server_ask(&server, "EXISTS herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_str_eq(answer, ":0\r\n");
    redis_server_ask(&server, "TTL herald:{anna}:meta", answer, sizeof answer);
    cr_assert_geq(strtol(answer + 1, NULL, 10), 2591990, "meta stays 30 days: %s", answer);
}

Test(store_redis, a_redis_that_lost_the_newest_keeps_what_waits_in_the_new_epoch)
{
    for (int i = 0; i < 5; i++)
        append_number(store, "anna", i, i == 3 ? 1 : 60);
    struct epoch old = peek_one(store, "anna").epoch;
    cr_assert_eq(ack_one(store, "anna", old, 2), ERR_OK);
    pause_ms(1050); /* 1 and 2 are acknowledged, 4 has expired, 3 and 5 wait */
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = 9, .known_epoch = old};
    append_to(store, &target, 1, SPAN_LITERAL("{\"n\":9}"), 60);
    cr_assert_eq(target.seq, 3);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 3);
    cr_assert_eq(page.acked, 0);
    expect_number(page.notes[0], 2);
    expect_number(page.notes[1], 4);
    expect_number(page.notes[2], 9);
    cr_assert_eq(page.notes[0]->seq, 1);
    page_free(&page);
}
