/* Who is online, who serves a partition, and which alerts are pending, as Redis keeps it: the keys,
 * the leases, and the steps that many users take. What every store promises of them is in
 * cases_presence.c and cases_alerts.c. */
#include "tests/store/redis_backend.h"

#include "gateway/store/store_event_request.h"

enum { PARTITION = 3, GRACE_MS = 1000 };

struct presence_call {
    struct store_presence presence;
    struct call call;
};

struct present_call {
    struct store_present present;
    struct call call;
};

struct serve_call {
    struct store_serve serve;
    struct call call;
};

struct end_call {
    struct store_alert_end end;
    struct call call;
};

static void on_presence(struct store_request *request)
{
    call_answer(&((struct presence_call *)(void *)request)->call);
}

static void on_present(struct store_request *request)
{
    call_answer(&((struct present_call *)(void *)request)->call);
}

static void on_serve(struct store_request *request)
{
    call_answer(&((struct serve_call *)(void *)request)->call);
}

static void on_end(struct store_request *request)
{
    call_answer(&((struct end_call *)(void *)request)->call);
}

static void open_events(void)
{
    contract_open_events((struct store_config){.alerts_max = 3});
}

static struct store_presence write_presence(const char *node, size_t n,
                                            const struct store_presence_change *changes,
                                            bool is_leaving)
{
    struct presence_call call = {.presence = {.request.on_done = on_presence,
                                              .partition = PARTITION,
                                              .node = span_of(node),
                                              .offline_after_ms = GRACE_MS,
                                              .is_leaving = is_leaving,
                                              .n_changes = n,
                                              .changes = changes}};
    call_init(&call.call);
    store_presence(store, &call.presence);
    call_wait(&call.call);
    cr_assert_eq(call.presence.error, ERR_OK);
    return call.presence;
}

static void user_comes(const char *node, const char *user)
{
    struct store_presence_change change = {
        .user_id = span_of(user), .is_here = true, .event = span_of("{\"type\":\"user.online\"}")};
    write_presence(node, 1, &change, false);
}

static void user_leaves(const char *node, const char *user, int64_t last_seen_ms)
{
    struct store_presence_change change = {
        .user_id = span_of(user), .last_seen_ms = last_seen_ms, .cause = OFFLINE_SILENT};
    write_presence(node, 1, &change, false);
}

/* Their names, with a space after each. */
static void list_present(const char *node, const char *after, uint32_t limit, char out[200])
{
    struct present_call call = {.present = {.request.on_done = on_present,
                                            .partition = PARTITION,
                                            .node = span_of(node),
                                            .after = span_of(after),
                                            .limit = limit}};
    call_init(&call.call);
    store_present(store, &call.present);
    call_wait(&call.call);
    cr_assert_eq(call.present.error, ERR_OK);
    out[0] = '\0';
    for (size_t i = 0; i < call.present.n; i++)
        snprintf(out + strlen(out), 200 - strlen(out), "%.*s ", (int)call.present.users[i].len,
                 call.present.users[i].bytes);
    free(call.present.users);
}

static void expect_present(const char *node, const char *users)
{
    char text[200];
    list_present(node, "", 1000, text);
    cr_assert_str_eq(text, users);
}

/* The alerts are freed. */
static struct store_serve serve_as(const char *node, bool wants_lease)
{
    struct serve_call call = {.serve = {.request.on_done = on_serve,
                                        .partition = PARTITION,
                                        .node = span_of(node),
                                        .wants_lease = wants_lease,
                                        .may_judge = true,
                                        .keeps_offline = true,
                                        .offline_after_ms = GRACE_MS}};
    call_init(&call.call);
    store_serve(store, &call.serve);
    call_wait(&call.call);
    cr_assert_eq(call.serve.error, ERR_OK);
    return call.serve;
}

static uint64_t count_pending(void)
{
    struct store_serve serve = serve_as("na", true);
    cr_assert(serve.is_mine);
    free(serve.alerts);
    return serve.n_pending_alerts;
}

static struct store_page read_events(void)
{
    return page_run(store, (struct store_page){.user_id = store_partition_user(PARTITION),
                                               .from_acked = true,
                                               .max_count = 1000,
                                               .max_bytes = 1 << 20});
}

static size_t count_events(void)
{
    struct store_page page = read_events();
    size_t n = page.n_notes;
    page_free(&page);
    return n;
}

static int64_t now_ms(void)
{
    return store_now_of(store, store_partition_user(PARTITION));
}

/* A node whose lease was renewed for the last time a minute ago, in an epoch that began before. */
static int64_t age_node(const char *node)
{
    char line[120];
    int64_t renewed_ms = now_ms() - 60000;
    snprintf(line, sizeof line, "HSET herald:{%%events.3}:leases %s %lld:", node,
             (long long)renewed_ms);
    redis_server_do(&server, line);
    redis_server_do(&server, "HSET herald:{%events.3}:meta began 1");
    return renewed_ms;
}

/* As event_write_offline writes it. */
static bool is_offline_told(const char *user, int64_t last_seen_ms)
{
    struct store_page page = read_events();
    struct buf wanted;
    bool is_told = false;
    buf_init(&wanted, 4096);
    cr_assert_eq(event_write_offline(&wanted, span_of(user), last_seen_ms, OFFLINE_NODE_LOST),
                 ERR_OK);
    for (size_t i = 0; i < page.n_notes; i++)
        is_told = is_told || span_equal(payload_data(page.notes[i]->payload), buf_span(&wanted));
    buf_fini(&wanted);
    page_free(&page);
    return is_told;
}

Test(store_redis, a_user_on_two_nodes_comes_once_and_leaves_with_the_last)
{
    open_events();
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    cr_assert_not(write_presence("na", 0, NULL, false).is_new);
    user_comes("na", "7");
    user_comes("na", "7");
    user_comes("nb", "7");
    user_comes("nb", "10");
    cr_assert_eq(count_events(), 2);
    expect_present("", "10 7 ");
    expect_present("na", "7 ");
    expect_present("nb", "10 7 ");
    user_leaves("na", "7", now_ms());
    user_leaves("na", "7", now_ms());
    expect_present("na", "");
    expect_present("nb", "10 7 ");
    user_leaves("nb", "7", now_ms());
    expect_present("", "10 7 ");
    user_comes("na", "7");
    cr_assert_eq(count_events(), 2, "within the grace time nothing is said");
    expect_present("na", "7 ");
}

Test(store_redis, users_on_record_are_listed_in_pages)
{
    char text[200];
    open_events();
    user_comes("na", "b");
    user_comes("na", "a");
    user_comes("na", "c");
    user_comes("na", "B");
    list_present("", "", 2, text);
    cr_assert_str_eq(text, "B a ");
    list_present("", "a", 2, text);
    cr_assert_str_eq(text, "b c ");
    list_present("na", "c", 2, text);
    cr_assert_str_eq(text, "");
}

Test(store_redis, one_node_serves_until_it_gives_back)
{
    open_events();
    write_presence("na", 0, NULL, false);
    write_presence("nb", 0, NULL, false);
    cr_assert(serve_as("na", true).is_mine);
    struct store_serve other = serve_as("nb", true);
    cr_assert_not(other.is_mine);
    cr_assert_eq(other.n_nodes, 2);
    cr_assert(serve_as("na", true).is_mine);
    cr_assert_not(serve_as("na", false).is_mine);
    cr_assert(serve_as("nb", true).is_mine);
    cr_assert_not(serve_as("na", true).is_mine);
    redis_server_do(&server, "DEL herald:{%events.3}:serve");
    cr_assert(serve_as("na", true).is_mine, "a lease that is over is free");
    write_presence("nb", 0, NULL, true);
    cr_assert_eq(serve_as("na", true).n_nodes, 1);
}

/* In the first 15 s after its link came up a node judges nobody; then the users of a node that is
 * lost are ended 256 at a time, each with one event. */
Test(store_redis, the_users_of_a_lost_node_are_ended_by_whoever_serves)
{
    enum { USERS = 300 };
    static struct store_presence_change changes[USERS];
    static char names[USERS][16];
    int64_t opened_ms = clock_monotonic_ms();
    open_events();
    for (size_t i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "u%zu\"", i);
        changes[i] = (struct store_presence_change){.user_id = span_of(names[i]), .is_here = true};
    }
    write_presence("na", USERS, changes, false);
    user_comes("nb", "u1\"");
    user_leaves("nb", "gone", now_ms());
    user_comes("nb", "gone");
    user_leaves("nb", "gone", now_ms() - 5000);
    size_t before = count_events();
    int64_t lost_ms = age_node("na");
    struct store_serve serve = serve_as("nb", true);
    cr_assert(serve.is_mine);
    if (clock_monotonic_ms() - opened_ms < STORE_PRESENCE_LEASE_MS) {
        cr_assert_not(serve.has_more);
        cr_assert_eq(count_events(), before, "it came too recently to judge");
    }
    for (int i = 0; i < 400 && count_events() == before; i++) {
        pause_ms(100);
        write_presence("nb", 0, NULL, false);
        serve = serve_as("nb", true);
    }
    cr_assert_geq(clock_monotonic_ms() - opened_ms, STORE_PRESENCE_LEASE_MS - 100);
    cr_assert(serve.has_more);
    cr_assert(write_presence("na", 0, NULL, false).is_new, "some of its users were taken from it");
    age_node("na");
    while (serve.has_more)
        serve = serve_as("nb", true);
    cr_assert_eq(count_events(), before + USERS, "all but the one who is elsewhere, and one more");
    expect_present("", "u1\" ");
    expect_present("nb", "u1\" ");
    cr_assert(is_offline_told("u0\"", lost_ms));
    cr_assert(write_presence("na", 0, NULL, false).is_new);
}

static void push_with_alert(struct store_target *target, const char *user, const char *key)
{
    *target = (struct store_target){.user_id = span_of(user)};
    append_run(store, (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                            .ttl_s = 60,
                                            .idempotency_key = span_of(key),
                                            .alert_after_s = 1,
                                            .n_targets = 1,
                                            .targets = target});
}

/* Of partition 3. */
static const char *user_at(int number)
{
    static char names[10][16];
    static int n;
    for (int i = 0; n < 10; i++) {
        snprintf(names[n], sizeof names[n], "user-%d", i);
        n += store_partition_of(span_of(names[n])) == PARTITION;
    }
    return names[number];
}

static enum err end_alert(const struct store_alert *alert, const char *event)
{
    struct end_call call = {.end = {.request.on_done = on_end,
                                    .partition = PARTITION,
                                    .alert = *alert,
                                    .event = span_of(event)}};
    call_init(&call.call);
    store_alert_end(store, &call.end);
    call_wait(&call.call);
    return call.end.error;
}

Test(store_redis, an_alert_is_pending_once_when_its_push_is_answered)
{
    struct store_target target;
    struct store_target repeat;
    open_events();
    push_with_alert(&target, user_at(0), "k");
    cr_assert_eq(target.error, ERR_OK);
    push_with_alert(&repeat, user_at(0), "k");
    cr_assert_eq(repeat.error, ERR_OK);
    cr_assert(repeat.is_duplicate);
    struct store_serve serve = serve_as("na", true);
    cr_assert_eq(serve.n_pending_alerts, 1);
    if (serve.n_alerts == 0)
        cr_assert_eq(serve.next_alert_ms, target.time_ms + 1000);
    while (serve.n_alerts == 0) {
        pause_ms(20);
        serve = serve_as("na", true);
    }
    cr_assert_eq(serve.n_alerts, 1);
    struct store_alert alert = serve.alerts[0];
    free(serve.alerts);
    cr_assert(span_equal((struct span){alert.user_id, alert.user_id_len}, span_of(user_at(0))));
    cr_assert_eq(alert.seq, target.seq);
    cr_assert(epoch_equal(alert.epoch, target.epoch));
    cr_assert_eq(alert.pushed_ms, target.time_ms);
    cr_assert_eq(alert.due_ms, target.time_ms + 1000);
    cr_assert_eq(end_alert(&alert, "{}"), ERR_OK);
    cr_assert_eq(end_alert(&alert, "{}"), ERR_OK);
    cr_assert_eq(count_events(), 1);
    cr_assert_eq(count_pending(), 0);
}

Test(store_redis, an_alert_that_cannot_be_kept_fails_its_push_until_it_is_repeated)
{
    struct store_target targets[4];
    open_events();
    for (int i = 0; i < 4; i++)
        push_with_alert(&targets[i], user_at(i), "k");
    cr_assert_eq(targets[2].error, ERR_OK);
    cr_assert_eq(targets[3].error, ERR_FULL);
    redis_server_do(&server, "DEL herald:{%events.3}:alerts");
    push_with_alert(&targets[3], user_at(3), "k");
    cr_assert_eq(targets[3].error, ERR_OK);
    cr_assert(targets[3].is_duplicate);
    cr_assert_eq(count_pending(), 1);
    redis_server_do(&server, "DEL herald:{%events.3}:alerts");
    redis_server_do(&server, "SET herald:{%events.3}:alerts wrong");
    push_with_alert(&targets[4 - 1], user_at(4), "k");
    cr_assert_eq(targets[3].error, ERR_STORE_UNAVAILABLE);
}

/* A node that could not renew its lease would be taken for dead. */
Test(store_redis, a_full_redis_refuses_alerts_and_keeps_presence)
{
    struct store_target target;
    open_events();
    push_with_alert(&target, user_at(0), "k");
    cr_assert_eq(target.error, ERR_OK);
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    cr_assert(write_presence("na", 0, NULL, false).is_new);
    user_comes("na", "7");
    cr_assert_eq(count_pending(), 1);
    push_with_alert(&target, user_at(0), "k");
    cr_assert_eq(target.error, ERR_STORE_UNAVAILABLE);
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    expect_present("na", "7 ");
}
