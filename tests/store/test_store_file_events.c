/* The event log in the file store: what was answered is there after a restart, and a file without
 * events is one that an older Herald reads. */
#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_stale.h"
#include "tests/store/file_directory.h"
#include "tests/store/presence_calls.h"

TestSuite(store_file_events, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

static void reopen_with(struct store_config limits)
{
    store_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    if (limits.events_max > 0)
        config.events_max = limits.events_max;
    store = open_at(&config, directory);
}

Test(store_file_events, events_and_positions_survive_a_restart)
{
    cr_assert_eq(consumer_add(store, 3, "pa", false).error, ERR_OK);
    cr_assert_eq(consumer_add(store, 3, "wb", false).error, ERR_OK);
    event_append_numbers(store, 3, 1, 6);
    cr_assert_eq(event_ack(store, 3, "pa", 5), ERR_OK);
    cr_assert_eq(event_ack(store, 3, "wb", 2), ERR_OK);
    struct store_consumers before = consumers_list(store, 3);
    for (int i = 0; i < 3; i++) {
        reopen();
        struct store_consumers after = consumers_list(store, 3);
        cr_assert(epoch_equal(after.epoch, before.epoch));
        cr_assert_eq(after.head, 6);
        cr_assert_eq(after.count, 4);
        cr_assert_eq(after.bytes, before.bytes);
        cr_assert_eq(after.oldest_ms, before.oldest_ms);
        cr_assert_eq(find_consumer(&after, "pa")->position, 5);
        cr_assert_eq(find_consumer(&after, "wb")->position, 2);
        expect_events(store, 3, "pa", ".");
        expect_events(store, 3, "wb", "....");
    }
    struct store_page page = event_page(store, 3, "wb");
    expect_number(page.notes[0], 3);
    page_free(&page);
    cr_assert_eq(event_append(store, 3, "{}"), 7);
}

/* No record of the partition says it: that of each event does. */
Test(store_file_events, what_was_pushed_out_is_known_after_a_restart)
{
    reopen_with((struct store_config){.events_max = 16});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    event_append_numbers(store, 0, 1, 20);
    reopen_with((struct store_config){.events_max = 16});
    expect_events(store, 0, "pa", "oooo................");
    cr_assert_eq(consumers_list(store, 0).count, 16);
    event_append_numbers(store, 0, 21, 22);
    reopen_with((struct store_config){.events_max = 16});
    expect_events(store, 0, "pa", "oooooo................");
}

/* Stale records leave the file in runs, the lowest first; what is left is enough. */
Test(store_file_events, a_partition_is_known_when_most_of_its_records_have_left)
{
    enum { ROUNDS = 60, A_ROUND = 100 };
    struct span events[A_ROUND];
    for (int i = 0; i < A_ROUND; i++)
        events[i] = SPAN_LITERAL("{\"type\":\"user.online\"}");
    reopen_with((struct store_config){.events_max = 50});
    cr_assert_eq(consumer_add(store, 0, "pa", false).error, ERR_OK);
    for (int i = 0; i < ROUNDS; i++) {
        struct store_event_append append =
            event_append_run(store, (struct store_event_append){.n = A_ROUND, .events = events});
        cr_assert_eq(append.error, ERR_OK);
        if (i % 10 != 0)
            continue;
        reopen_with((struct store_config){.events_max = 50});
        struct store_consumers consumers = consumers_list(store, 0);
        cr_assert_eq(consumers.head, (uint64_t)A_ROUND * (uint64_t)(i + 1));
        cr_assert_eq(consumers.count, 50);
        cr_assert_eq(find_consumer(&consumers, "pa")->position, 0);
        struct store_page page = event_page(store, 0, "pa");
        cr_assert_eq(page.n_gaps, 1);
        cr_assert_eq(page.gaps[0].cause, GAP_OVERFLOW);
        cr_assert_eq(page.gaps[0].from, 1);
        cr_assert_eq(page.gaps[0].to, consumers.head - 50);
        cr_assert_eq(page.n_notes, 50);
        page_free(&page);
    }
}

/* ---- the records ---- */

struct versions {
    unsigned n[256];
};

static enum err count_version(void *owner, uint64_t key, struct span bytes)
{
    (void)key;
    ((struct versions *)owner)->n[(unsigned char)bytes.bytes[0]]++;
    return ERR_OK;
}

static struct versions versions_in_file(void)
{
    char why[200];
    struct file_lmdb *lmdb;
    struct versions versions = {{0}};
    store_close(store);
    cr_assert_eq(file_lmdb_open(directory, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_version, &versions), ERR_OK);
    file_lmdb_close(lmdb);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
    return versions;
}

/* A commit writes the list of the pages that are free: long runs would free many at once. */
Test(store_file_events, few_events_that_have_left_are_in_the_file)
{
    enum { EVENTS_MAX = 200, ROUNDS = 40, A_ROUND = 100 };
    struct span events[A_ROUND];
    for (int i = 0; i < A_ROUND; i++)
        events[i] = SPAN_LITERAL("{}");
    reopen_with((struct store_config){.events_max = EVENTS_MAX});
    for (int i = 0; i < ROUNDS; i++) {
        struct store_event_append append =
            event_append_run(store, (struct store_event_append){.n = A_ROUND, .events = events});
        cr_assert_eq(append.error, ERR_OK);
    }
    struct versions versions = versions_in_file();
    cr_assert_leq(versions.n[4], EVENTS_MAX + FILE_STALE_EVENT_RUN + A_ROUND + 1, "%u records",
                  versions.n[4]);
}

/* ---- who is online ---- */

/* The next process has another name: the users are on record until it has judged. */
Test(store_file_events, users_on_record_are_there_after_a_restart)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    char other[32];
    name_user(partition, 0, other);
    user_comes(store, "node-1", "anna", ONLINE("anna"));
    user_comes(store, "node-1", other, ONLINE("other"));
    int64_t last_seen_ms = store_now_ms(store) - GRACE_MS;
    user_leaves(store, "node-1", other, last_seen_ms, OFFLINE_SLOW);
    reopen();
    expect_present(store, partition, "node-1", "anna,");
    cr_assert(user_comes(store, "node-2", "anna", ONLINE("anna")));
    serve_until_head(store, partition, "node-2", 3);
    char offline[200];
    snprintf(offline, sizeof offline,
             "{\"type\":\"user.offline\",\"userId\":\"%s\",\"lastSeen\":%lld,"
             "\"cause\":\"slow\"}",
             other, (long long)last_seen_ms);
    expect_event(store, partition, 3, offline);
    for (int i = 0; i < 2; i++) {
        expect_present(store, partition, "", "anna,");
        expect_present(store, partition, "node-1", "");
        expect_present(store, partition, "node-2", "anna,");
        reopen();
    }
}

/* The grace time counts from the first request of the new process. */
Test(store_file_events, the_users_of_a_process_that_died_are_offline)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    user_comes(store, "node-1", "anna", ONLINE("anna"));
    reopen();
    int64_t began_ms = store_now_ms(store);
    serve_until_head(store, partition, "node-2", 2);
    cr_assert_geq(store_now_ms(store), began_ms + GRACE_MS);
    reopen();
    expect_present(store, partition, "", "");
    cr_assert_eq(consumers_list(store, partition).head, 2);
    user_comes(store, "node-3", "anna", ONLINE("anna"));
    reopen();
    expect_present(store, partition, "node-3", "anna,");
}

/* Each leaves some hundred users behind, within one grace time. */
Test(store_file_events, many_restarts_within_the_grace_time_are_no_event)
{
    enum { USERS = 40, RESTARTS = 50 };
    char name[32];
    for (int restart = 0; restart < RESTARTS; restart++) {
        char node[16];
        snprintf(node, sizeof node, "node-%d", restart);
        for (int i = 0; i < USERS; i++) {
            name_user(4, i, name);
            user_comes(store, node, name, "{}");
        }
        reopen();
    }
    cr_assert_eq(consumers_list(store, 4).head, USERS);
    struct store_present present = present_run(
        store,
        (struct store_present){.partition = 4, .node = SPAN_LITERAL("node-49"), .limit = 1000});
    cr_assert_eq(present.n, USERS);
    free(present.users);
}

Test(store_file_events, after_many_restarts_who_is_not_back_is_offline_once)
{
    enum { USERS = 40, BACK = 15, RESTARTS = 30, EVENTS = USERS + USERS - BACK };
    char name[32];
    for (int i = 0; i < USERS; i++) {
        name_user(4, i, name);
        user_comes(store, "node-0", name, "{}");
    }
    for (int restart = 1; restart < RESTARTS; restart++) {
        char node[16];
        snprintf(node, sizeof node, "node-%d", restart);
        reopen();
        renew_lease(store, 4, node);
    }
    reopen();
    for (int i = 0; i < BACK; i++) {
        name_user(4, i, name);
        user_comes(store, "node-last", name, "{}");
    }
    serve_until_head(store, 4, "node-last", EVENTS);
    for (int i = 0; i < 2; i++) {
        struct store_serve serve = serve_run(store, serve_asked(4, "node-last"));
        cr_assert_eq(serve.error, ERR_OK);
        free(serve.alerts);
        cr_assert_eq(consumers_list(store, 4).head, EVENTS);
        struct store_present present =
            present_run(store, (struct store_present){.partition = 4, .limit = 1000});
        cr_assert_eq(present.n, BACK);
        free(present.users);
        reopen();
    }
}

/* ---- the format ---- */

Test(store_file_events, a_file_without_events_is_of_version_3)
{
    append_number(store, "anna", 1, 60);
    struct store_page page = event_page(store, 0, "pa");
    page_free(&page);
    cr_assert_eq(consumers_list(store, 0).n, 0);
    struct versions versions = versions_in_file();
    cr_assert_eq(versions.n[3], 1);
    cr_assert_eq(versions.n[4], 0, "a look at the log writes nothing");
}

Test(store_file_events, events_are_of_version_4)
{
    append_number(store, "anna", 1, 60);
    event_append(store, 0, "{}");
    struct versions versions = versions_in_file();
    cr_assert_eq(versions.n[3], 1);
    cr_assert_eq(versions.n[4], 2, "the event, and the partition that began with it");
}
