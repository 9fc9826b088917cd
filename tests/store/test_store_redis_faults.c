/* What only the Redis store can meet: a server that is absent, slow, emptied, locked or full. */
#include "tests/store/redis_backend.h"
#include "tests/support/loopback.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

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

static void wait_for_problem(const char *part)
{
    char text[600] = "";
    for (int i = 0; i < SOON_MS / 5 && strstr(text, part) == NULL; i++) {
        pause_ms(5);
        store_describe(store, text, sizeof text);
    }
    cr_assert_not_null(strstr(text, part), "%s", text);
}

TestSuite(store_redis_absent, .init = contract_open_absent, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

Test(store_redis_absent, refuses_until_the_server_appears_and_then_serves)
{
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(peek_one(store, "anna").error, ERR_STORE_UNAVAILABLE);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    wait_for_problem(server.socket_path);
    char text[600];
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
    store_describe(store, text, sizeof text);
    cr_assert_str_empty(text);
    wait_for_missed(1); /* the HTTP connection that was refused is remembered */
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
    wait_for_notification("anna", 1);
}

Test(store_redis_absent, a_wrong_password_is_reported_and_not_shown)
{
    backend_close(store);
    redis_server_start(&server, "--requirepass", "right");
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    wait_for_problem("NOAUTH");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
}

/* --- a Redis by name --- */

typedef int (*resolver_fn)(const char *host, const char *port, const struct addrinfo *hints,
                           struct addrinfo **ret_list);

enum { RESOLVER_TAKES_MS = 3000 };

static const char *_Atomic primary = "127.0.0.1"; /* what primary.test stands for */

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
    if (strcmp(host, "primary.test") == 0)
        return resolver(atomic_load(&primary), port, hints, ret_list);
    pause_ms(RESOLVER_TAKES_MS);
    if (strcmp(host, "absent.test") == 0)
        return EAI_NONAME;
    return resolver("127.0.0.1", port, hints, ret_list);
}

static void open_on_host(const char *host)
{
    char port[16];
    char url[64];
    snprintf(port, sizeof port, "%u", loopback_free_port());
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
    backend_leave(store, 0, SPAN_LITERAL("anna"));
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_lt(clock_monotonic_ms() - began_ms, RESOLVER_TAKES_MS - 300);
    wait_for_state(true);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

Test(store_redis_absent, closes_while_a_name_is_looked_up)
{
    open_on_host("absent.test");
    pause_ms(100);
    int64_t began_ms = clock_monotonic_ms();
    backend_close(store);
    cr_assert_lt(clock_monotonic_ms() - began_ms, RESOLVER_TAKES_MS - 300);
    pause_ms(RESOLVER_TAKES_MS); /* its answer comes when nobody waits any more */
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, "redis://absent.test");
    wait_for_problem("Name or service not known");
}

/* As a name does that follows the primary: commands and subscriptions follow it. */
Test(store_redis_absent, a_name_is_looked_up_again_when_its_redis_has_become_a_replica)
{
    struct redis_server other;
    char port[16];
    char line[64];
    char channels[64];
    redis_server_prepare(&other);
    snprintf(port, sizeof port, "%u", loopback_free_port());
    snprintf(line, sizeof line, "redis://primary.test:%s", port);
    backend_close(store);
    redis_server_start(&server, "--port", port);
    redis_server_do(&server, "CONFIG SET bind 127.0.0.1");
    redis_server_start(&other, "--bind", "127.0.0.2");
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, line);
    wait_for_state(true);
    arrive(store, "anna");
    snprintf(line, sizeof line, "CONFIG SET port %s", port);
    redis_server_do(&other, line);
    snprintf(line, sizeof line, "REPLICAOF 127.0.0.2 %s", port);
    redis_server_do(&server, line);
    atomic_store(&primary, "127.0.0.2");
    /* It is sent again to the other, unless the probe has found the replica first. */
    uint64_t n_kept = append_one(store, "anna", "{}", 60).error == ERR_OK ? 1 : 0;
    wait_for_missed(1);
    redis_server_ask(&other, "PUBSUB SHARDCHANNELS herald:{*", channels, sizeof channels);
    cr_assert_eq(strncmp(channels, "*1", 2), 0, "%s", channels);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, n_kept + 1);
    wait_for_notification("anna", n_kept + 1);
    redis_server_remove(&other);
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

Test(store_redis, gives_up_on_a_server_that_hangs_and_returns_with_it)
{
    append_number(store, "anna", 0, 60);
    kill(server.pid, SIGSTOP);
    int64_t began_ms = clock_monotonic_ms();
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    int64_t took_ms = clock_monotonic_ms() - began_ms;
    kill(server.pid, SIGCONT);
    /* That it was answered at all is what counts: the server stands still until then. */
    cr_assert_geq(took_ms, 1000, "took %d ms", (int)took_ms);
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

static void fill_redis(bool is_full)
{
    redis_server_do(&server, is_full ? "CONFIG SET maxmemory 1" : "CONFIG SET maxmemory 0");
}

/* Everything that is in Redis: what a refused push must not change. */
static void fingerprint(char *out, size_t cap)
{
    redis_server_ask(&server,
                     "EVAL \"local all = redis.call('KEYS', '*') table.sort(all) "
                     "for i, key in ipairs(all) do all[i] = key .. redis.call('DUMP', key) end "
                     "return redis.status_reply(redis.sha1hex(table.concat(all)))\" 0",
                     out, cap);
    cr_assert_eq(out[0], '+', "%s", out);
}

static void expect_refused_without_a_trace(struct store_append asked, struct store_target target)
{
    char before[100], after[100];
    fingerprint(before, sizeof before);
    fill_redis(true);
    asked.payload = payload_new_keyed(SPAN_LITERAL("{}"), SPAN_LITERAL("score"));
    asked.ttl_s = 60;
    asked.n_targets = 1;
    asked.targets = &target;
    append_run(store, asked);
    fill_redis(false);
    cr_assert_eq(target.error, ERR_STORE_UNAVAILABLE);
    fingerprint(after, sizeof after);
    cr_assert_str_eq(before, after);
}

Test(store_redis, a_full_redis_leaves_no_part_of_a_push_with_keys)
{
    for (int i = 0; i < 12; i++)
        append_number(store, "anna", i, 60);
    struct store_target kept = append_keyed(store, "anna", "{}", "score");
    struct store_append once = {.idempotency_key = SPAN_LITERAL("order-17")};
    struct store_target target = {.user_id = SPAN_LITERAL("anna")};
    expect_refused_without_a_trace(once, target);
    /* What the push would acknowledge first stays, and so does what it would forget. */
    target = (struct store_target){.user_id = SPAN_LITERAL("anna"),
                                   .known_epoch = kept.epoch,
                                   .known_head = kept.seq,
                                   .known_acked = kept.seq};
    expect_refused_without_a_trace(once, target);
    target.known_acked = 5;
    expect_refused_without_a_trace(once, target);
    target.known_head = kept.seq + 1;
    expect_refused_without_a_trace(once, target);
    expect_refused_without_a_trace(once, (struct store_target){.user_id = SPAN_LITERAL("bert")});
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, kept.seq + 1);
}

Test(store_redis, a_full_redis_still_withdraws)
{
    append_number(store, "anna", 0, 60);
    append_number(store, "anna", 1, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    fill_redis(true);
    cr_assert_eq(cancel_one(store, "anna", epoch, 1).n_removed, 1);
    cr_assert_eq(purge(store, "anna").n_removed, 1);
    fill_redis(false);
    expect_inbox(store, "anna", "cc");
}

/* As it is with nearly everybody whose first sign of life of a day comes while Redis is full. */
Test(store_redis, a_full_redis_still_reads_and_acknowledges_and_begins_epochs_for_readers)
{
    for (int i = 0; i < 3; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    redis_server_set_day(&server, "anna", 20000);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 3);
    page_free(&page);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    redis_server_set_day(&server, "anna", 20000);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
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
    redis_server_do(&server, "HSET herald:{bert}:meta v 3");
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
