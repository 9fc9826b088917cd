/* The contract of every store against a real redis-server, and what only the Redis store can meet:
 * a server that is absent, slow, emptied, full, too old, or no Redis at all. */
#include "gateway/base/metrics.h"
#include "tests/store/contract_calls.h"
#include "tests/store/redis_server.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

enum { SOON_MS = 5000 };

static struct redis_server server;
static struct reactor *lane;
static pthread_t lane_thread;
static atomic_int n_missed;

static void *run_lane(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void record_missed(void *owner, struct span user_id)
{
    (void)owner;
    (void)user_id;
    atomic_fetch_add(&n_missed, 1);
}

static void remove_server(void)
{
    redis_server_remove(&server);
}

static void prepare_server(void)
{
    if (server.folder[0] != '\0')
        return;
    redis_server_prepare(&server);
    atexit(remove_server);
}

/* A store on `url` whose lane runs; it need not be up. */
static struct store *open_on(struct store_config *config, const char *url)
{
    static char why[300];
    static struct store *opened;
    cr_assert_eq(reactor_new(&lane), ERR_OK);
    config->url = url;
    config->lanes = &lane;
    config->n_lanes = 1;
    config->events.on_missed = record_missed;
    recorder.state = -1;
    cr_assert_eq(store_open(config, &opened, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&lane_thread, NULL, run_lane, lane), 0);
    return opened;
}

static struct store *backend_open(struct store_config *config)
{
    prepare_server();
    if (server.pid == 0)
        redis_server_start(&server, NULL, NULL);
    redis_server_do(&server, "FLUSHALL");
    struct store *opened = open_on(config, server.url);
    wait_for_state(true);
    return opened;
}

static void backend_close(struct store *closing)
{
    reactor_stop(lane);
    pthread_join(lane_thread, NULL);
    store_close(closing);
    reactor_free(lane);
}

/* store_leave belongs to the lane's thread. */
struct leave_letter {
    struct letter letter;
    struct store *store;
    struct span user_id;
    sem_t done;
};

static void deliver_leave(struct letter *letter)
{
    struct leave_letter *leave = CONTAINER_OF(letter, struct leave_letter, letter);
    store_leave(leave->store, 0, leave->user_id);
    sem_post(&leave->done);
}

static void leave_on_lane(struct store *from, unsigned index, struct span user_id)
{
    struct leave_letter leave = {
        .letter.deliver = deliver_leave, .store = from, .user_id = user_id};
    cr_assert_eq(index, 0);
    sem_init(&leave.done, 0, 0);
    mailbox_post(reactor_mailbox(lane), &leave.letter);
    sem_wait(&leave.done);
}

#define store_leave leave_on_lane
#include "tests/store/contract_cases.h"

TestSuite(store_redis, .init = contract_open, .fini = contract_close, .timeout = 60);

static void wait_for_missed(int wanted)
{
    for (int i = 0; i < SOON_MS / 10 && atomic_load(&n_missed) < wanted; i++)
        pause_ms(10);
    cr_assert_geq(atomic_load(&n_missed), wanted);
}

/* --- a Redis that comes and goes --- */

/* A store on a server that is not there yet. */
static void contract_open_absent(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    prepare_server();
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
}

TestSuite(store_redis_absent, .init = contract_open_absent, .fini = contract_close, .timeout = 60);

Test(store_redis_absent, refuses_until_the_server_appears_and_then_serves)
{
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(peek_one(store, "anna").error, ERR_STORE_UNAVAILABLE);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    pause_ms(100);
    char text[600];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, server.socket_path), "%s", text);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
    store_describe(store, text, sizeof text);
    cr_assert_str_empty(text);
    wait_for_missed(1); /* the arrival that was refused is remembered */
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
    wait_for_notification("anna", 1);
}

Test(store_redis_absent, a_wrong_password_is_told_and_not_shown)
{
    backend_close(store);
    redis_server_start(&server, "--requirepass", "right");
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    pause_ms(300);
    char text[600];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, "NOAUTH"), "%s", text);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
}

/* --- a Redis by name --- */

typedef int (*resolver_fn)(const char *host, const char *port, const struct addrinfo *hints,
                           struct addrinfo **ret_list);

enum { RESOLVER_TAKES_MS = 3000 };

/* Stands in front of the C library's: a resolver that takes its time. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    resolver_fn resolver;
    memcpy(&resolver, &symbol, sizeof resolver);
    bool is_number_wanted = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;
    if (is_number_wanted || strstr(host, ".test") == NULL)
        return resolver(host, port, hints, ret_list);
    pause_ms(RESOLVER_TAKES_MS);
    if (strcmp(host, "absent.test") == 0)
        return EAI_NONAME;
    return resolver("127.0.0.1", port, hints, ret_list);
}

static int take_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void open_on_host(const char *host)
{
    char port[16];
    char url[64];
    snprintf(port, sizeof port, "%d", take_free_port());
    snprintf(url, sizeof url, "redis://%s:%s", host, port);
    backend_close(store);
    redis_server_start(&server, "--port", port);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, url);
}

Test(store_redis_absent, a_redis_by_number_or_by_name_is_found)
{
    open_on_host("127.0.0.1");
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
    redis_server_stop(&server);
    open_on_host("localhost");
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

Test(store_redis_absent, a_slow_resolver_does_not_hold_up_the_lane)
{
    open_on_host("slow.test");
    int64_t began_ms = clock_monotonic_ms();
    pause_ms(100); /* the look-up is under way */
    leave_on_lane(store, 0, SPAN_LITERAL("anna"));
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_lt(clock_monotonic_ms() - began_ms, RESOLVER_TAKES_MS / 2);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

Test(store_redis_absent, closes_while_a_name_is_looked_up)
{
    open_on_host("absent.test");
    pause_ms(100);
    int64_t began_ms = clock_monotonic_ms();
    backend_close(store);
    cr_assert_lt(clock_monotonic_ms() - began_ms, RESOLVER_TAKES_MS / 2);
    pause_ms(RESOLVER_TAKES_MS); /* its answer comes when nobody waits any more */
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, "redis://absent.test");
    pause_ms(RESOLVER_TAKES_MS + 200);
    char text[600];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, "Name or service not known"), "%s", text);
}

Test(store_redis, comes_back_empty_with_a_new_epoch_and_says_that_something_was_missed)
{
    arrive(store, "anna");
    append_number(store, "anna", 0, 60);
    struct store_target last = append_one(store, "anna", "{}", 60);
    redis_server_stop(&server);
    wait_for_state(false);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    int64_t resyncs = metrics_read(METRIC_STORE_RESYNCS);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
    wait_for_missed(1);
    struct store_page page = page_knowing(store, "anna", last.epoch, last.seq);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(!epoch_equal(page.epoch, last.epoch));
    cr_assert_eq(page.head, 0);
    struct epoch fresh = page.epoch;
    page_free(&page);
    /* Who has not heard of the new epoch yet does not begin a third one. */
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_head = last.seq, .known_epoch = last.epoch};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert(epoch_equal(target.epoch, fresh));
    cr_assert_eq(target.seq, 1);
    cr_assert_eq(metrics_read(METRIC_STORE_RESYNCS), resyncs + 1);
}

Test(store_redis, gives_up_on_a_server_that_stands_still_and_returns_with_it)
{
    append_number(store, "anna", 0, 60);
    kill(server.pid, SIGSTOP);
    int64_t began_ms = clock_monotonic_ms();
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    int64_t took_ms = clock_monotonic_ms() - began_ms;
    kill(server.pid, SIGCONT);
    cr_assert(took_ms >= 1000 && took_ms < 4000, "took %d ms", (int)took_ms);
    struct store_target got;
    for (int i = 0; i < SOON_MS / 10; i++) {
        got = append_one(store, "anna", "{}", 60);
        if (got.error == ERR_OK)
            break;
        pause_ms(10);
    }
    cr_assert_eq(got.error, ERR_OK);
    /* The one that was given up may have been kept: never sent twice, but perhaps done. */
    cr_assert(got.seq == 2 || got.seq == 3);
}

Test(store_redis, hears_again_after_its_connections_are_killed)
{
    arrive(store, "anna");
    append_number(store, "anna", 0, 60);
    wait_for_notification("anna", 1);
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    wait_for_missed(1);
    append_number(store, "anna", 1, 60);
    wait_for_notification("anna", 2);
    redis_server_do(&server, "CLIENT KILL TYPE normal");
    wait_for_missed(2);
    append_number(store, "anna", 2, 60);
    wait_for_notification("anna", 3);
}

Test(store_redis, survives_a_script_flush)
{
    append_number(store, "anna", 0, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    redis_server_do(&server, "SCRIPT FLUSH");
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    redis_server_do(&server, "SCRIPT FLUSH");
    cr_assert_eq(peek_one(store, "anna").pending, 2);
    redis_server_do(&server, "SCRIPT FLUSH");
    cr_assert_eq(ack_one(store, "anna", epoch, 1), ERR_OK);
    redis_server_do(&server, "SCRIPT FLUSH");
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
}

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

Test(store_redis, an_arrival_right_behind_a_leave_hears_everything)
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
            sem_wait(&leave.done); /* right behind it, else on either side of it */
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
    leave_on_lane(store, 0, SPAN_LITERAL("anna"));
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
        append_number(store, "anna", i, i % 2 == 0 ? 1 : 60); /* 3..7 stay: three of them for 1 s */
    cr_assert_eq(metrics_read(METRIC_INBOX_OVERFLOW), overflow + 3);
    pause_ms(1050);
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

/* `due` may be that of an entry that was acknowledged: one walk finds out, for all that follow. */
static void expect_one_walk(const char *user, bool is_push)
{
    append_number(store, user, 0, 1);
    append_number(store, user, 1, 60);
    cr_assert_eq(ack_one(store, user, peek_one(store, user).epoch, 1), ERR_OK);
    pause_ms(1050);
    long before = count_walks();
    for (int i = 0; i < 10; i++) {
        if (is_push) {
            append_number(store, user, 2 + i, 60);
        } else {
            struct store_page page = page_all(store, user);
            cr_assert_eq(page.n_notes, 1);
            page_free(&page);
        }
    }
    cr_assert_eq(count_walks() - before, 1);
}

Test(store_redis, a_push_walks_an_inbox_once_in_vain)
{
    expect_one_walk("anna", true);
    cr_assert_eq(peek_one(store, "anna").pending, 11);
}

Test(store_redis, a_page_walks_an_inbox_once_in_vain)
{
    expect_one_walk("anna", false);
}

Test(store_redis, a_peek_walks_an_inbox_once_in_vain)
{
    append_number(store, "anna", 0, 1);
    append_number(store, "anna", 1, 60);
    cr_assert_eq(ack_one(store, "anna", peek_one(store, "anna").epoch, 1), ERR_OK);
    pause_ms(1050);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    long before = count_walks();
    for (int i = 0; i < 5; i++)
        cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert_eq(count_walks() - before, 1);
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

/* --- errors of Redis --- */

Test(store_redis, a_full_redis_refuses_and_leaves_no_trace)
{
    append_number(store, "anna", 0, 60);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(append_one(store, "bert", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    char text[600];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, "maxmemory"), "%s", text);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert(epoch_is_none(peek_one(store, "bert").epoch));
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
}

/* As it is with nearly everybody whose first sign of life of a day comes while Redis is full. */
Test(store_redis, a_full_redis_still_reads_and_acknowledges_and_begins_epochs_for_readers)
{
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    redis_server_do(&server, "HSET herald:{anna}:meta day 20000");
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
    redis_server_do(&server, "HDEL herald:{anna}:meta day");
    cr_assert_eq(ack_one(store, "anna", epoch, 2), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert_eq(ack_one(store, "anna", epoch, 3), ERR_OK);
    cr_assert_eq(peek_one(store, "anna").pending, 0);

    page = page_knowing(store, "anna", epoch, 9);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(!epoch_equal(page.epoch, epoch));
    page_free(&page);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

/* The inbox left by itself: nothing is there to delete before the record is written. */
Test(store_redis, a_full_redis_still_forgets_what_has_expired)
{
    struct epoch epochs[3];
    static const char *const users[] = {"anna", "bert", "carl"};
    for (int i = 0; i < 3; i++) {
        append_number(store, users[i], 0, 1);
        append_number(store, users[i], 1, 1);
        epochs[i] = peek_one(store, users[i]).epoch;
    }
    pause_ms(1100);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    struct store_peek peek = peek_one(store, "anna");
    cr_assert_eq(peek.error, ERR_OK);
    cr_assert_eq(peek.pending, 0);
    struct store_page page = page_all(store, "bert");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 0);
    page_free(&page);
    cr_assert_eq(ack_one(store, "carl", epochs[2], 1), ERR_OK);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
}

Test(store_redis, keys_that_somebody_else_wrote_are_an_error_and_no_crash)
{
    redis_server_do(&server, "SET herald:{anna}:meta x");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(page_all(store, "anna").error, ERR_STORE_UNAVAILABLE);
    redis_server_do(&server, "HSET herald:{bert}:meta v 2");
    cr_assert_eq(append_one(store, "bert", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    redis_server_do(&server, "HSET herald:{carl}:meta v 1 epoch UPPER head 3");
    cr_assert_eq(peek_one(store, "carl").error, ERR_STORE_UNAVAILABLE);
    arrive(store, "dora");
    redis_server_do(&server, "SPUBLISH herald:{dora} N:nonsense");
    redis_server_do(&server, "SPUBLISH herald:{dora} N:aaaaaaaa:1:2:99999999999999999999:x");
    redis_server_do(&server, "SPUBLISH herald:{dora} K:kick");
    redis_server_do(&server, "SPUBLISH herald:{dora} x");
    append_number(store, "dora", 0, 60);
    wait_for_notification("dora", 1);
    cr_assert(are_recorded_in_order("dora"));
}

/* --- what is no Redis --- */

struct fake {
    int listen_fd;
    const char *says;
    size_t len;
    atomic_bool is_over;
};

/* Says its piece to everyone who connects, whatever they ask. */
static void *run_fake(void *argument)
{
    struct fake *fake = argument;
    int fds[256];
    size_t n = 0;
    while (!atomic_load(&fake->is_over)) {
        int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            pause_ms(2);
            continue;
        }
        ssize_t said = send(fd, fake->says, fake->len, MSG_NOSIGNAL);
        (void)said;
        if (n < sizeof fds / sizeof fds[0])
            fds[n++] = fd;
        else
            close(fd);
    }
    while (n > 0)
        close(fds[--n]);
    return NULL;
}

static void talk_to_fake(const char *says, size_t len, const char *expected)
{
    backend_close(store);
    redis_server_stop(&server);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server.socket_path, strlen(server.socket_path));
    struct fake fake = {.says = says, .len = len};
    fake.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(server.socket_path);
    cr_assert_eq(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fake.listen_fd, 16), 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_fake, &fake), 0);

    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    pause_ms(300);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    char text[600] = "";
    for (int i = 0; i < SOON_MS / 2 && strstr(text, expected) == NULL; i++) {
        store_describe(store, text, sizeof text); /* the two links take turns */
        pause_ms(2);
    }
    cr_assert_not_null(strstr(text, expected), "%s", text);

    atomic_store(&fake.is_over, true);
    pthread_join(thread, NULL);
    close(fake.listen_fd);
}

#define FAKE(name, text, expected)                                                                 \
    Test(store_redis, name)                                                                        \
    {                                                                                              \
        talk_to_fake(text, sizeof(text) - 1, expected);                                            \
    }

#define GREETED "+OK\r\n+PONG\r\n"
#define SHA     "$40\r\n0123456789012345678901234567890123456789\r\n"

FAKE(garbage_is_no_redis, "HTTP/1.1 400 Bad Request\r\n\r\n", "malformed")
FAKE(bytes_at_random_are_no_redis, "\0\xff\x01*$:\r\n\r\n", "malformed")
FAKE(an_endless_array_is_refused, "*2000000000\r\n", "malformed or too large")
FAKE(deep_nesting_is_refused, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
     "malformed")
FAKE(an_array_is_no_pong, "+OK\r\n*-1\r\n", "no Redis")
FAKE(answers_that_nobody_asked_for_break_the_link, GREETED GREETED GREETED GREETED GREETED GREETED,
     "Redis at")
FAKE(a_redis_that_still_loads_is_waited_for, "+OK\r\n-LOADING Redis is loading the dataset\r\n",
     "still loading")
FAKE(a_redis_before_7_is_refused, GREETED "$21\r\nredis_version:6.2.14\n\r\n", "7.0 or later")
FAKE(a_script_name_of_the_wrong_length_is_refused,
     GREETED "$21\r\nredis_version:7.0.15\n\r\n*0\r\n*0\r\n$3\r\nabc\r\n$3\r\nabc\r\n", "Redis at")
FAKE(a_subscription_side_that_talks_nonsense_never_crashes,
     GREETED "$21\r\nredis_version:7.0.15\n\r\n*0\r\n*0\r\n" SHA SHA SHA SHA
             "*3\r\n$8\r\nsmessage\r\n:1\r\n*-1\r\n*3\r\n$8\r\nsmessage\r\n$13\r\nherald:{anna}\r\n"
             "*0\r\n*1\r\n$8\r\nsmessage\r\n*-1\r\n",
     "Redis at")
