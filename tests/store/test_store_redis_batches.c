/* Appends that come together are sent to Redis in batches: what each of them does and is answered
 * is what it would be alone. */
#include "tests/store/redis_backend.h"

enum { MANY = 40, CALLS = 3 }; /* 16, 16 and 8 */

static const char *const users[] = {"anna", "bert", "cleo", "dora"};
enum { USERS = sizeof users / sizeof users[0] };

static struct append_call calls[MANY];

static void prepare_many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        append_prepare(&calls[i], users[i % USERS], SPAN_LITERAL("{}"), 60);
        calls[i].append.request.next = i + 1 < MANY ? &calls[i + 1].append.request : NULL;
    }
}

static void end_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        append_end(&calls[i]);
}

static void append_many(void)
{
    prepare_many();
    store_append_many(store, &calls[0].append);
    end_many();
}

/* That each of a user's appends has the number that it would have alone. */
static void expect_order(unsigned first)
{
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, first + i / USERS);
    }
}

/* How many scripts were called by name since Redis started. */
static long count_calls(void)
{
    char answer[64];
    redis_server_ask(&server,
                     "EVAL \"return tonumber(string.match(redis.call('INFO', 'commandstats'), "
                     "'cmdstat_evalsha:calls=(%d+)') or 0)\" 0",
                     answer, sizeof answer);
    cr_assert_eq(answer[0], ':', "%s", answer);
    return strtol(answer + 1, NULL, 10);
}

Test(store_redis, many_appends_of_one_call_are_few_calls_of_a_script)
{
    append_many();
    long before = count_calls();
    append_many();
    cr_assert_eq(count_calls() - before, CALLS);
    expect_order(MANY / USERS + 1);
}

/* A push with a key, or with much data, is sent by itself, after those that came before it. */
Test(store_redis, appends_that_are_in_no_batch_keep_their_place)
{
    static char big[3 << 10];
    prepare_many();
    memset(big, '1', sizeof big);
    for (unsigned i = 5; i < MANY; i += 5) {
        struct store_append *append = &calls[i].append;
        payload_unref(append->payload);
        append->payload = i % 2 == 0 ? payload_new((struct span){big, sizeof big})
                                     : payload_new_keyed(SPAN_LITERAL("{}"), SPAN_LITERAL("key"));
        cr_assert_not_null(append->payload);
        if (i % 3 == 0)
            append->idempotency_key = SPAN_LITERAL("once");
    }
    store_append_many(store, &calls[0].append);
    end_many();
    expect_order(1);
}

Test(store_redis, what_is_wrong_with_one_of_a_batch_is_not_the_others)
{
    redis_server_do(&server, "SET herald:{bert}:meta x");
    redis_server_do(&server, "HSET herald:{dora}:meta v 9 epoch abcdefgh head 1");
    append_many();
    for (unsigned i = 0; i < MANY; i++) {
        enum err wanted = i % 2 == 0 ? ERR_OK : ERR_STORE_UNAVAILABLE;
        cr_assert_eq(calls[i].target.error, wanted, "append %u", i);
        if (wanted == ERR_OK)
            cr_assert_eq(calls[i].target.seq, i / USERS + 1);
    }
    cr_assert_eq(peek_one(store, "anna").pending, MANY / USERS);
}

Test(store_redis, a_batch_survives_a_script_flush)
{
    append_many();
    redis_server_do(&server, "SCRIPT FLUSH");
    append_many();
    expect_order(MANY / USERS + 1);
}

Test(store_redis, a_full_redis_refuses_a_whole_batch)
{
    append_many();
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    append_many();
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
    char text[600];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, "maxmemory"), "%s", text);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    for (unsigned i = 0; i < USERS; i++)
        cr_assert_eq(peek_one(store, users[i]).pending, MANY / USERS);
}

/* What Redis says of each push means what it means alone: a replica ends the link. */
Test(store_redis, a_replica_refuses_a_whole_batch)
{
    append_many();
    redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
    append_many();
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
    wait_for_state(false);
    redis_server_do(&server, "REPLICAOF NO ONE");
    wait_for_state(true);
    append_many();
    expect_order(MANY / USERS + 1);
}

Test(store_redis, a_batch_that_is_under_way_when_the_link_breaks_is_answered)
{
    append_many();
    kill(server.pid, SIGSTOP);
    prepare_many();
    store_append_many(store, &calls[0].append);
    redis_server_stop(&server);
    end_many();
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
    wait_for_state(false);
    append_many();
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
}

/* One append to many users is gathered like many appends. */
Test(store_redis, the_targets_of_one_append_are_a_batch)
{
    struct store_target targets[MANY];
    for (unsigned i = 0; i < MANY; i++)
        targets[i] = (struct store_target){.user_id = span_of(users[i % USERS])};
    append_to(store, targets, MANY, SPAN_LITERAL("{}"), 60);
    long before = count_calls();
    append_to(store, targets, MANY, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(count_calls() - before, CALLS);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(targets[i].error, ERR_OK);
        cr_assert_eq(targets[i].seq, MANY / USERS + i / USERS + 1);
    }
}

/* A node that has the user's page from before his first device hears of it by its next push. */
Test(store_redis, a_push_says_whether_the_user_has_devices)
{
    cr_assert_not(append_one(store, "anna", "1", 60).has_devices);
    cr_assert_not(append_keyed(store, "anna", "1", "key").has_devices, "without the fast path");
    cr_assert_not(append_idempotent(store, "anna", "first").has_devices);
    struct store_page page = page_of_device(store, "anna", "phone", true);
    page_free(&page);
    cr_assert(append_one(store, "anna", "1", 60).has_devices);
    cr_assert(append_idempotent(store, "anna", "first").has_devices, "a repeat");
    append_many();
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.has_devices, i % USERS == 0, "%u", i);
    }
}
