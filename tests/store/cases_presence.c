/* Who is online: a user comes with the first session anywhere, and is offline when the grace time
 * after the last one is over; the events of a user alternate. */
#include "tests/store/contract_fixture.h"
#include "tests/store/presence_calls.h"

static int64_t now_of(unsigned partition)
{
    return store_now_of(store, store_partition_user(partition));
}

static uint64_t head_of(unsigned partition)
{
    return consumers_list(store, partition).head;
}

static void expect_offline(unsigned partition, uint64_t seq, const char *user, int64_t last_seen_ms,
                           enum offline_cause cause)
{
    char text[200];
    snprintf(text, sizeof text,
             "{\"type\":\"user.offline\",\"userId\":\"%s\",\"lastSeen\":%lld,\"cause\":\"%s\"}",
             user, (long long)last_seen_ms, offline_cause_text(cause));
    expect_event(store, partition, seq, text);
}

Test(store_contract, the_events_of_a_user_alternate)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    cr_assert_eq(head_of(partition), 1);
    expect_event(store, partition, 1, ONLINE("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    user_comes(store, "node-b", "anna", ONLINE("anna"));
    user_leaves(store, "node-a", "anna", now_of(partition) - GRACE_MS, OFFLINE_SLOW);
    free(serve_run(store, serve_asked(partition, "node-b")).alerts);
    cr_assert_eq(head_of(partition), 1, "node-b has the user still");
    expect_present(store, partition, "node-a", "");
    expect_present(store, partition, "node-b", "anna,");

    /* Of a time that the store has not reached, its own would be taken. */
    int64_t last_seen_ms = now_of(partition) - GRACE_MS / 2;
    user_leaves(store, "node-b", "anna", last_seen_ms, OFFLINE_SILENT);
    user_leaves(store, "node-b", "anna", last_seen_ms + 5, OFFLINE_CLOSED);
    serve_until_head(store, partition, "node-b", 2);
    expect_offline(partition, 2, "anna", last_seen_ms, OFFLINE_SILENT);
    cr_assert_geq(now_of(partition), last_seen_ms + GRACE_MS);
    expect_present(store, partition, "", "");
    user_leaves(store, "node-b", "anna", last_seen_ms, OFFLINE_CLOSED);
    cr_assert_eq(head_of(partition), 2, "who is not on record does not leave");
    user_comes(store, "node-b", "anna", ONLINE("anna"));
    expect_event(store, partition, 3, ONLINE("anna"));
}

Test(store_contract, a_return_within_the_grace_time_is_no_event)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    user_leaves(store, "node-a", "anna", now_of(partition), OFFLINE_CLOSED);
    expect_present(store, partition, "", "anna,");
    expect_present(store, partition, "node-a", "");
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    expect_present(store, partition, "node-a", "anna,");
    sleep_until_wall_ms(clock_wall_ms() + GRACE_MS + 100);
    free(serve_run(store, serve_asked(partition, "node-a")).alerts);
    cr_assert_eq(head_of(partition), 1);
    expect_present(store, partition, "node-a", "anna,");
}

/* Who serves looks each second or two. A node that may not judge yet, or does not know since when
 * the user is back, leaves it to whoever does. */
Test(store_contract, a_return_after_the_grace_time_is_told_before_anybody_has_looked)
{
    char other[32];
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    name_user(partition, 0, other);
    user_comes(store, "node-a", other, ONLINE("other"));
    user_leaves(store, "node-a", other, now_of(partition) - GRACE_MS, OFFLINE_CLOSED);
    serve_until_head(store, partition, "node-a", 2); /* it judges */
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    int64_t left_ms = now_of(partition) - 10 * GRACE_MS;
    user_leaves(store, "node-a", "anna", left_ms, OFFLINE_SILENT);
    user_returns(store, "node-a", "anna", ONLINE("anna"), left_ms + GRACE_MS - 1);
    cr_assert_eq(head_of(partition), 3, "the grace time was not over then");
    user_leaves(store, "node-a", "anna", left_ms, OFFLINE_SILENT);
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    cr_assert_eq(head_of(partition), 3, "it is not known when");
    user_leaves(store, "node-a", "anna", left_ms, OFFLINE_SILENT);
    user_returns(store, "node-a", "anna", ONLINE("anna"), left_ms + GRACE_MS);
    cr_assert_eq(head_of(partition), 5);
    expect_offline(partition, 4, "anna", left_ms, OFFLINE_SILENT);
    expect_event(store, partition, 5, ONLINE("anna"));
    expect_present(store, partition, "node-a", "anna,");
    user_returns(store, "node-a", "anna", ONLINE("anna"), left_ms + GRACE_MS);
    cr_assert_eq(head_of(partition), 5, "a repeat changes nothing");

    user_leaves(store, "node-a", "anna", left_ms, OFFLINE_SILENT);
    struct store_presence_change change = {.user_id = SPAN_LITERAL("anna"),
                                           .is_here = true,
                                           .event = SPAN_LITERAL(ONLINE("anna")),
                                           .came_ms = left_ms + GRACE_MS};
    struct store_presence without_offline = {.partition = partition,
                                             .node = SPAN_LITERAL("node-a"),
                                             .offline_after_ms = GRACE_MS,
                                             .n_changes = 1,
                                             .changes = &change};
    cr_assert_eq(presence_run(store, without_offline).error, ERR_OK);
    cr_assert_eq(head_of(partition), 6, "user.offline is not kept");
    expect_event(store, partition, 6, ONLINE("anna"));
}

/* Nobody is ended by a node that could not judge, and so not by coming back to it either. */
Test(store_contract, a_return_is_no_event_where_nobody_could_judge)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    int64_t left_ms = now_of(partition) - 10 * GRACE_MS;
    user_leaves(store, "node-a", "anna", left_ms, OFFLINE_SILENT);
    user_returns(store, "node-a", "anna", ONLINE("anna"), left_ms + 5 * GRACE_MS);
    cr_assert_eq(head_of(partition), 1);
    expect_present(store, partition, "node-a", "anna,");
}

/* Before somebody has judged, it is not too late to come back. */
Test(store_contract, who_may_not_judge_ends_nobody)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    user_leaves(store, "node-a", "anna", now_of(partition) - 10 * GRACE_MS, OFFLINE_CLOSED);
    struct store_serve asked = serve_asked(partition, "node-a");
    asked.may_judge = false;
    struct store_serve serve = serve_run(store, asked);
    cr_assert_eq(serve.error, ERR_OK);
    cr_assert(serve.is_mine);
    cr_assert_not(serve.has_more);
    cr_assert_eq(serve.n_alerts, 0);
    cr_assert_eq(serve.next_alert_ms, 0);
    free(serve.alerts);
    cr_assert_eq(head_of(partition), 1);
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    cr_assert_eq(head_of(partition), 1);
}

Test(store_contract, a_node_that_only_looks_does_not_serve)
{
    struct store_serve asked = serve_asked(1, "node-a");
    asked.wants_lease = false;
    struct store_serve serve = serve_run(store, asked);
    cr_assert_eq(serve.error, ERR_OK);
    cr_assert_not(serve.is_mine);
    free(serve.alerts);
}

Test(store_contract, users_are_on_record_where_their_events_are_not_kept)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", "");
    cr_assert_eq(head_of(partition), 0);
    expect_present(store, partition, "node-a", "anna,");
    user_leaves(store, "node-a", "anna", now_of(partition) - GRACE_MS, OFFLINE_CLOSED);
    struct store_serve asked = serve_asked(partition, "node-a");
    asked.keeps_offline = false;
    char *users = present_users(store, partition, "");
    int64_t until_ms = clock_wall_ms() + ANSWER_MAX_S * 1000;
    while (users[0] != '\0') {
        cr_assert_lt(clock_wall_ms(), until_ms, "the user stays on record");
        free(users);
        renew_lease(store, partition, "node-a");
        free(serve_run(store, asked).alerts);
        sleep_until_wall_ms(clock_wall_ms() + 20);
        users = present_users(store, partition, "");
    }
    free(users);
    cr_assert_eq(head_of(partition), 0);
}

/* Changes of one request come in their order, and are one step. */
Test(store_contract, many_changes_are_written_in_their_order)
{
    enum { USERS = 300 };
    static char names[USERS][32];
    static struct store_presence_change changes[USERS + 2];
    size_t n = 0;
    for (int i = 0; i < USERS; i++) {
        name_user(5, i, names[i]);
        changes[n++] = (struct store_presence_change){
            .user_id = span_of(names[i]), .is_here = true, .event = span_of(names[i])};
    }
    changes[n++] = (struct store_presence_change){
        .user_id = span_of(names[7]), .last_seen_ms = now_of(5), .cause = OFFLINE_ERROR};
    changes[n++] = (struct store_presence_change){
        .user_id = span_of(names[7]), .is_here = true, .event = span_of(names[7])};
    struct store_presence presence =
        presence_run(store, (struct store_presence){.partition = 5,
                                                    .node = SPAN_LITERAL("node-a"),
                                                    .offline_after_ms = GRACE_MS,
                                                    .n_changes = n,
                                                    .changes = changes});
    cr_assert_eq(presence.error, ERR_OK);
    cr_assert(presence.is_new);
    cr_assert_eq(head_of(5), USERS);
    for (int i = 0; i < USERS; i += 50)
        expect_event(store, 5, (uint64_t)i + 1, names[i]);
}

Test(store_contract, lists_who_is_online_in_the_order_of_the_bytes)
{
    enum { USERS = 60 };
    char name[32];
    for (int i = 0; i < USERS; i++) {
        name_user(2, i, name);
        user_comes(store, i % 3 == 0 ? "node-a" : "node-b", name, "");
    }
    char last[32] = "";
    size_t n = 0;
    struct store_present page;
    do {
        page = present_run(
            store, (struct store_present){.partition = 2, .after = span_of(last), .limit = 7});
        cr_assert_eq(page.error, ERR_OK);
        for (size_t i = 0; i < page.n; i++) {
            char user[32];
            snprintf(user, sizeof user, "%.*s", (int)page.users[i].len, page.users[i].bytes);
            cr_assert_gt(strcmp(user, last), 0, "%s comes after %s", user, last);
            snprintf(last, sizeof last, "%s", user);
        }
        n += page.n;
        free(page.users);
    } while (page.n == 7);
    cr_assert_eq(n, USERS);
    page = present_run(store, (struct store_present){
                                  .partition = 2, .node = SPAN_LITERAL("node-a"), .limit = 1000});
    cr_assert_eq(page.n, USERS / 3);
    free(page.users);
}

/* The node's users are ended by another one, and it learns of that when it comes back. */
Test(store_contract, the_users_of_a_lost_node_are_offline)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    cr_assert(user_comes(store, "node-a", "anna", ONLINE("anna")), "its lease is new");
    cr_assert_not(user_comes(store, "node-a", "anna", ONLINE("anna")));
    serve_until_head(store, partition, "node-b", 2);
    struct store_page page = page_run(store, (struct store_page){
                                                 .user_id = store_partition_user(partition),
                                                 .after = 1,
                                                 .max_count = 1,
                                                 .max_bytes = UINT32_MAX,
                                             });
    struct span data = payload_data(page.notes[0]->payload);
    cr_assert_not_null(memmem(data.bytes, data.len, "\"user.offline\"", 14));
    cr_assert_not_null(memmem(data.bytes, data.len, "\"cause\":\"node-lost\"", 19));
    page_free(&page);
    cr_assert(user_comes(store, "node-a", "anna", ONLINE("anna")), "its users were ended");
    expect_event(store, partition, 3, ONLINE("anna"));
}

Test(store_contract, a_node_that_leaves_leaves_nobody_behind)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-a", "anna", ONLINE("anna"));
    struct store_presence leaving = {.partition = partition,
                                     .node = SPAN_LITERAL("node-a"),
                                     .offline_after_ms = GRACE_MS,
                                     .is_leaving = true};
    cr_assert_eq(presence_run(store, leaving).error, ERR_OK);
    serve_until_head(store, partition, "node-b", 2);
    expect_present(store, partition, "", "");
}
