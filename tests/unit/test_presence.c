/* How a node keeps the record of its users: when it writes, what it repeats, and what it does when
 * the record is not what it should be. The record is played (tests/support/presence_record.h). */
#include "gateway/base/metrics.h"
#include "gateway/events/presence_partition.h"
#include "tests/unit/presence_alone.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { USERS_OF_STORM = 20000 };

static struct presence_node other;
static struct presence_node *both[] = {&one, &other};

TestSuite(presence, .init = set_up, .fini = tear_down);

static void expect_events(const char *user_id, unsigned n, bool is_online)
{
    cr_expect_eq(presence_record_events(&record, user_id), n, "%s: %u events", user_id,
                 presence_record_events(&record, user_id));
    cr_expect_eq(presence_record_told(&record, user_id), is_online, "%s", user_id);
}

Test(presence, writes_who_comes_at_once_and_who_goes_and_the_grace_time_ends_in_user_offline)
{
    wait_ms(1000);
    presence_node_enter(&one, "ada");
    presence_node_turn(&one);
    expect_events("ada", 1, true);
    cr_expect_not_null(strstr(record.events[0].data, "\"connection\":\"c-1\""), "%s",
                       record.events[0].data);
    wait_ms(20000);
    int64_t left_ms = presence_node_now_ms;
    presence_node_leave(&one, "ada", OFFLINE_SILENT);
    wait_ms(GRACE_MS - 500);
    expect_events("ada", 1, true);
    wait_ms(3500);
    expect_events("ada", 2, false);
    cr_expect_eq(record.events[1].cause, OFFLINE_SILENT);
    cr_expect_eq(record.events[1].last_seen_ms, left_ms);
    cr_expect_eq(presence_record_count(&record), 0);
}

Test(presence, writes_at_most_once_a_second_and_nothing_of_who_is_back_by_then)
{
    wait_ms(10000);
    presence_node_enter(&one, "ada");
    wait_ms(2000);
    unsigned n_written = record.n_written;
    presence_node_leave(&one, "ada", OFFLINE_CLOSED);
    presence_node_enter(&one, "ada");
    wait_ms(100);
    presence_node_leave(&one, "ada", OFFLINE_CLOSED); /* at once */
    wait_ms(100);
    cr_expect_eq(record.n_written, n_written + 1);
    presence_node_enter(&one, "ada");
    presence_node_leave(&one, "ada", OFFLINE_CLOSED);
    presence_node_enter(&one, "ada");
    wait_ms(500);
    cr_expect_eq(record.n_written, n_written + 1, "the second is not over");
    wait_ms(1000);
    cr_expect_eq(record.n_written, n_written + 2);
    wait_ms(60000);
    expect_events("ada", 1, true);
}

Test(presence, tells_of_both_if_a_user_comes_and_goes_within_one_batch)
{
    presence_node_enter(&one, "ada"); /* the first request was sent in this second */
    presence_node_leave(&one, "ada", OFFLINE_KICKED);
    wait_ms(20000);
    expect_events("ada", 2, false);
    cr_expect_eq(record.events[1].cause, OFFLINE_KICKED);
}

Test(presence, renews_its_lease_each_five_seconds_in_each_partition)
{
    unsigned before = record.n_requests;
    wait_ms(51000);
    cr_expect_geq(record.n_requests - before, 9 * STORE_PARTITIONS);
    cr_expect_leq(record.n_requests - before, 11 * STORE_PARTITIONS);
}

Test(presence, tells_nothing_of_users_who_stay_while_the_store_is_away_for_a_minute)
{
    presence_node_enter(&one, "ada");
    wait_ms(20000);
    presence_link_cut(&one.link, true);
    wait_ms(60000);
    presence_link_cut(&one.link, false);
    wait_ms(60000);
    expect_events("ada", 1, true);
}

Test(presence, writes_after_an_outage_who_came_and_went_meanwhile)
{
    presence_node_enter(&one, "ada");
    wait_ms(20000);
    presence_link_cut(&one.link, true);
    presence_node_leave(&one, "ada", OFFLINE_SLOW);
    presence_node_enter(&one, "bob");
    wait_ms(60000);
    presence_link_cut(&one.link, false);
    wait_ms(2000);
    expect_events("bob", 1, true);
    wait_ms(30000);
    expect_events("ada", 2, false);
    expect_events("bob", 1, true);
}

Test(presence, repeats_what_was_done_behind_a_lost_answer_without_telling_it_twice)
{
    wait_ms(2000);
    one.link.loses_answers = true;
    presence_node_enter(&one, "ada");
    wait_ms(5000);
    cr_expect_gt(record.n_written, 2);
    presence_node_leave(&one, "ada", OFFLINE_CLOSED);
    one.link.loses_answers = false;
    wait_ms(30000);
    expect_events("ada", 2, false);
}

static void enter_many(unsigned n)
{
    char name[16];
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "u%u", i);
        presence_node_enter(&one, name);
    }
}

static void leave_many(unsigned n)
{
    char name[16];
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "u%u", i);
        presence_node_leave(&one, name, OFFLINE_CLOSED);
    }
}

Test(presence, keeps_a_storm_of_20000_that_leave_while_the_store_is_away, .timeout = 60)
{
    enter_many(USERS_OF_STORM);
    wait_ms(10000);
    cr_expect_eq(presence_record_count(&record), USERS_OF_STORM);
    cr_expect_leq(record.most_changes, 512);
    presence_link_cut(&one.link, true);
    wait_ms(1000);
    leave_many(USERS_OF_STORM);
    wait_ms(30000);
    presence_link_cut(&one.link, false);
    wait_ms(30000);
    cr_expect_eq(presence_record_count(&record), 0);
    cr_expect_eq(record.n_events, 2 * USERS_OF_STORM);
    for (size_t i = USERS_OF_STORM; i < record.n_events; i++)
        cr_assert_eq(record.events[i].cause, OFFLINE_CLOSED);
}

/* EVENTS: a storm of 20 000 reconnects within the grace time writes none. */
Test(presence, tells_nothing_of_a_storm_of_20000_who_are_back_within_the_grace_time, .timeout = 60)
{
    enter_many(USERS_OF_STORM);
    wait_ms(20000);
    leave_many(USERS_OF_STORM);
    wait_ms(3500); /* most of that is written */
    enter_many(USERS_OF_STORM);
    wait_ms(30000);
    cr_expect_eq(record.n_events, USERS_OF_STORM);
    cr_expect_eq(presence_record_count(&record), USERS_OF_STORM);
}

/* More than the tables hold: the record is compared with who is here. */
Test(presence, finds_out_what_it_has_forgotten_in_an_outage, .timeout = 120)
{
    enum { MANY = 80000 };
    int64_t before = metrics_read(METRIC_PRESENCE_FORGOTTEN);
    enter_many(MANY);
    wait_ms(60000);
    cr_expect_eq(presence_record_count(&record), MANY);
    presence_link_cut(&one.link, true);
    leave_many(MANY);
    presence_node_enter(&one, "ada");
    cr_expect_gt(metrics_read(METRIC_PRESENCE_FORGOTTEN), before);
    wait_ms(2000);
    presence_link_cut(&one.link, false);
    wait_ms(120000);
    cr_expect_eq(presence_record_count(&record), 1);
    expect_events("ada", 1, true);
    expect_events("u79999", 2, false);
}

/* Each process draws a name of its own, and its users come back to it. */
Test(presence, tells_nothing_of_many_restarts_in_a_row)
{
    enum { USERS = 20, RESTARTS = 12 };
    char name[16];
    for (int restart = 0; restart <= RESTARTS; restart++) {
        for (int i = 0; i < USERS; i++) {
            snprintf(name, sizeof name, "r%d", i);
            presence_node_enter(&one, name);
        }
        wait_ms(3000);
        if (restart == RESTARTS)
            break;
        presence_node_kill(&one);
        presence_node_open(&one, &record, GRACE_MS, PRESENCE_TYPES);
        presence_node_start(&one, NULL);
        wait_ms(1000);
    }
    wait_ms(60000);
    cr_expect_eq(record.n_events, USERS);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "r%d", i);
        expect_events(name, 1, true);
        cr_expect_eq(presence_record_find(&record, name)->n_nodes, 1, "the last process has %s",
                     name);
    }
}

Test(presence, puts_its_users_back_when_another_node_has_ended_them)
{
    enter_many(1000);
    wait_ms(5000);
    open_node(&other);
    presence_nodes_wait_ms(both, 2, 40000);
    presence_link_cut(&one.link, true);
    presence_nodes_wait_ms(both, 2, 30000);
    cr_expect_eq(presence_record_count(&record), 0, "%zu", presence_record_count(&record));
    expect_events("u7", 2, false);
    cr_expect_eq(record.events[record.n_events - 1].cause, OFFLINE_NODE_LOST);
    presence_link_cut(&one.link, false);
    presence_node_leave(&one, "u8", OFFLINE_CLOSED);
    presence_nodes_wait_ms(both, 2, 10000);
    cr_expect_eq(presence_record_count(&record), 999);
    expect_events("u7", 3, true);
    expect_events("u8", 2, false);
    presence_node_kill(&other);
}

Test(presence, writes_everybody_again_when_the_store_has_lost_what_it_had)
{
    enter_many(1000);
    wait_ms(20000);
    presence_record_lose(&record);
    presence_node_leave(&one, "u1", OFFLINE_CLOSED);
    presence_node_enter(&one, "u1");
    wait_ms(10000);
    cr_expect_eq(presence_record_count(&record), 1000);
    cr_expect_eq(record.n_events, 1000);
}

/* Users of her partition, more than a batch takes. */
enum { NEIGHBOURS = 3 * PRESENCE_BATCH_MAX };
static char neighbours[NEIGHBOURS][16];

static void find_neighbours(const char *user_id)
{
    unsigned partition = store_partition_of(span_of(user_id));
    unsigned n = 0;
    for (unsigned i = 0; n < NEIGHBOURS; i++) {
        snprintf(neighbours[n], sizeof neighbours[n], "n%u", i);
        n += store_partition_of(span_of(neighbours[n])) == partition;
    }
}

/* The record was lost while a user's leaving waited to be written, and the user came back: that was
 * not nothing. */
Test(presence, finds_a_user_who_left_before_the_record_was_lost_and_came_back_after)
{
    find_neighbours("ada");
    presence_node_enter(&one, "ada");
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        presence_node_enter(&one, neighbours[i]);
    wait_ms(5000);
    presence_link_cut(&one.link, true);
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        presence_node_leave(&one, neighbours[i], OFFLINE_CLOSED);
    presence_node_leave(&one, "ada", OFFLINE_CLOSED); /* the second batch */
    wait_ms(3000);
    presence_record_lose(&record);
    presence_link_cut(&one.link, false);
    unsigned n_requests = record.n_requests;
    while (record.n_requests < n_requests + STORE_PARTITIONS)
        wait_ms(100);
    wait_ms(500); /* all who are here have been written again; the second batch is not sent yet */
    cr_assert_eq(record.n_requests, n_requests + STORE_PARTITIONS);
    presence_node_enter(&one, "ada");
    wait_ms(10000);
    cr_expect(presence_record_has(&record, "ada", presence_name(one.events.presence)));
    cr_expect_eq(presence_record_count(&record), 1);
}

/* The same while all users are written again, which takes some seconds for so many. */
Test(presence, finds_users_who_leave_and_come_back_while_all_are_written_again)
{
    enum { AWAY = 100 };
    struct presence_partition *partition =
        &one.events.presence->partitions[store_partition_of(SPAN_LITERAL("ada"))];
    find_neighbours("ada");
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        presence_node_enter(&one, neighbours[i]);
    wait_ms(6000);
    presence_record_lose(&record);
    while (partition->table.n < PRESENCE_BATCH_MAX)
        wait_ms(100);
    unsigned n = 0;
    for (unsigned i = 0; i < NEIGHBOURS && n < AWAY; i++) {
        if (presence_table_has(&partition->table, span_of(neighbours[i])))
            continue;
        presence_node_leave(&one, neighbours[i], OFFLINE_CLOSED);
        n++;
    }
    while (presence_record_count(&record) == 0 || partition->table.n < PRESENCE_BATCH_MAX)
        wait_ms(100); /* a batch is written, and more of the map is gone through */
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        if (!presence_node_has(&one, neighbours[i]))
            presence_node_enter(&one, neighbours[i]);
    }
    wait_ms(10000);
    cr_expect_eq(presence_record_count(&record), NEIGHBOURS);
}

static unsigned gives_leases(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        n += record.partitions[i].n_leases;
    return n;
}

static void *leave_here(void *argument)
{
    struct presence_node *node = argument;
    serving_leave(node->events.serving, presence_node_now_ms + 1);
    presence_leave(node->events.presence, presence_node_now_ms + 1);
    return NULL;
}

static bool is_over(pthread_t thread)
{
    return pthread_tryjoin_np(thread, NULL) == 0;
}

Test(presence, writes_the_rest_at_a_clean_stop_and_gives_its_leases_back)
{
    pthread_t thread;
    enter_many(2000);
    wait_ms(5000);
    leave_many(2000);
    cr_assert_eq(pthread_create(&thread, NULL, leave_here, &one), 0);
    while (!is_over(thread))
        presence_node_turn(&one);
    cr_expect_eq(gives_leases(), 0);
    for (unsigned i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%u", i);
        const struct record_user *user = presence_record_find(&record, name);
        cr_assert_not_null(user);
        cr_assert_eq(user->n_nodes, 0);
        cr_assert_eq(user->cause, OFFLINE_CLOSED);
    }
    unsigned n_requests = record.n_requests;
    wait_ms(20000);
    cr_expect_eq(record.n_requests, n_requests, "it asks nothing after that");
}

/* ---- an upgrade ---- */

static void copy_name(char out[RECORD_NAME_BYTES])
{
    struct span name = presence_name(one.events.presence);
    snprintf(out, RECORD_NAME_BYTES, "%.*s", (int)name.len, name.bytes);
}

Test(presence, changes_no_record_when_another_process_goes_on_under_its_name)
{
    char name[RECORD_NAME_BYTES];
    presence_node_enter(&one, "ada");
    presence_node_enter(&one, "bob");
    wait_ms(5000);
    copy_name(name);
    presence_node_open(&other, &record, GRACE_MS, PRESENCE_TYPES);
    presence_node_enter(&other, "ada"); /* held */
    presence_node_turn(&other);
    expect_events("ada", 1, true);
    presence_let_go(one.events.presence);
    serving_let_go(one.events.serving);
    presence_node_start(&other, name);
    presence_nodes_wait_ms(both, 2, 3000);
    cr_expect(presence_record_has(&record, "ada", span_of(name)));
    cr_expect_not(presence_record_has(&record, "bob", span_of(name)), "he stayed with the old one");
    cr_expect(presence_record_has(&record, "bob", presence_name(one.events.presence)));
    presence_nodes_wait_ms(both, 2, 60000);
    expect_events("ada", 1, true);
    expect_events("bob", 1, true);
    presence_node_kill(&other);
}

Test(presence, tells_that_those_who_could_not_travel_were_drained_if_they_do_not_come_back)
{
    char name[RECORD_NAME_BYTES];
    presence_node_enter(&one, "ada");
    presence_node_enter(&one, "bob");
    wait_ms(5000);
    copy_name(name);
    presence_node_kill(&one);
    presence_node_open(&one, &record, GRACE_MS, PRESENCE_TYPES);
    presence_node_start(&one, name);
    wait_ms(5000);
    presence_node_enter(&one, "ada");
    wait_ms(30000);
    expect_events("ada", 1, true);
    expect_events("bob", 2, false);
    cr_expect_eq(record.events[record.n_events - 1].cause, OFFLINE_DRAINED);
}

Test(presence, keeps_nobody_but_renews_its_leases_where_only_other_events_are_kept)
{
    presence_node_kill(&one);
    presence_record_lose(&record);
    presence_node_open(&one, &record, GRACE_MS, EVENT_BIT(EVENT_MESSAGE));
    cr_expect_null(one.node.delivery_events.on_online);
    cr_expect_null(one.node.delivery_events.on_offline);
    presence_node_start(&one, NULL);
    presence_node_enter(&one, "ada");
    wait_ms(20000);
    cr_expect_eq(presence_record_count(&record), 0);
    cr_expect_eq(gives_leases(), STORE_PARTITIONS);
}
