/* Who is online, in a local store whose clock goes back: nobody stays on record for as long as that
 * was, and no event says that a user was seen in the future. */
#include "tests/store/presence_calls.h"
#include "tests/store/twin_store.h"

enum { PARTITION = 5, HOUR_MS = 3600 * 1000 };

static char anna[32];
static char bert[32];

static void setup(void)
{
    twin_open_with((struct store_config){.inbox_max = 10,
                                         .inbox_max_bytes = 1000,
                                         .events_max = 100,
                                         .events_max_bytes = 1 << 20,
                                         .event_ttl_s = 600});
    name_user(PARTITION, 0, anna);
    name_user(PARTITION, 1, bert);
}

TestSuite(store_memory_presence, .init = setup, .fini = twin_close,
          .timeout = STORE_TEST_TIMEOUT_S);

static void change(const char *node, struct store_presence_change change)
{
    struct presence_call call;
    presence_begin(twin, &call,
                   (struct store_presence){.partition = PARTITION,
                                           .node = span_of(node),
                                           .offline_after_ms = GRACE_MS,
                                           .n_changes = 1,
                                           .changes = &change});
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_eq(call.presence.error, ERR_OK);
}

static void come(const char *node, const char *user)
{
    change(node, (struct store_presence_change){.user_id = span_of(user), .is_here = true});
}

static void leave(const char *node, const char *user, int64_t last_seen_ms)
{
    change(node, (struct store_presence_change){.user_id = span_of(user),
                                                .last_seen_ms = last_seen_ms,
                                                .cause = OFFLINE_SLOW});
}

static void on_answer(struct store_request *request)
{
    (void)request;
}

static void judge(const char *node)
{
    struct store_serve serve = serve_asked(PARTITION, node);
    serve.request.on_done = on_answer;
    store_serve(twin, &serve);
    store_local_turn(twin);
    cr_assert_eq(serve.error, ERR_OK);
    free(serve.alerts);
}

static size_t count_users(void)
{
    struct store_present list = {
        .request.on_done = on_answer, .partition = PARTITION, .limit = 100};
    store_present(twin, &list);
    store_local_turn(twin);
    cr_assert_eq(list.error, ERR_OK);
    free(list.users);
    return list.n;
}

/* The data of the last event. */
static void expect_last(const char *user, int64_t last_seen_ms, const char *cause)
{
    char wanted[200];
    struct page_call call = {.page = {.user_id = store_partition_user(PARTITION),
                                      .max_count = 100,
                                      .max_bytes = UINT32_MAX}};
    page_start(twin, &call);
    store_local_turn(twin);
    call_wait(&call.call);
    cr_assert_gt(call.page.n_notes, 0);
    struct span data = payload_data(call.page.notes[call.page.n_notes - 1]->payload);
    int len = snprintf(wanted, sizeof wanted,
                       "{\"type\":\"user.offline\",\"userId\":\"%s\",\"lastSeen\":%lld,"
                       "\"cause\":\"%s\"}",
                       user, (long long)last_seen_ms, cause);
    cr_assert(span_equal(data, (struct span){wanted, (size_t)len}), "%.*s instead of %s",
              (int)data.len, data.bytes, wanted);
    page_free(&call.page);
}

Test(store_memory_presence, nobody_was_seen_later_than_now)
{
    come("node-1", anna);
    leave("node-1", anna, fake_ms + HOUR_MS);
    int64_t left_ms = fake_ms;
    fake_ms += GRACE_MS - 1;
    judge("node-1");
    cr_assert_eq(count_users(), 1);
    fake_ms += 1;
    judge("node-1");
    cr_assert_eq(count_users(), 0);
    expect_last(anna, left_ms, "slow");
}

/* One has just left, and the other one's node has died: their grace time counts from the time that
 * it is now. */
Test(store_memory_presence, a_clock_that_goes_back_keeps_nobody_online)
{
    come("node-1", anna);
    come("node-2", bert);
    judge("node-2");
    leave("node-1", anna, fake_ms - GRACE_MS / 2);
    fake_ms -= HOUR_MS;
    judge("node-1");
    int64_t back_ms = fake_ms;
    fake_ms += GRACE_MS - 1;
    judge("node-1");
    cr_assert_eq(count_users(), 2);
    fake_ms += 1;
    judge("node-1");
    cr_assert_eq(count_users(), 0);
    expect_last(bert, back_ms, "node-lost");
}
