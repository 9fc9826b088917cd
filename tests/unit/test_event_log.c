/* The event log: what is written goes to the store in batches, one request at a time for a
 * partition, and who listens is told (gateway/events/event_log.h). */
#include "gateway/events/event_log.h"

#include "gateway/base/metrics.h"
#include "gateway/events/events.h"
#include "gateway/store/store_event_request.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>

enum { APPENDS = 250, BATCH = STORE_EVENTS_AT_ONCE };

static struct written {
    struct event_append append;
    unsigned order; /* of its on_done, from 1; 0: it is not answered */
} written[APPENDS];
static unsigned n_answered;
static unsigned told[STORE_PARTITIONS];
static struct event_log *event_log;

static void on_done(struct event_append *append)
{
    CONTAINER_OF(append, struct written, append)->order = ++n_answered;
}

static void on_events(struct event_listener *listener, unsigned partition)
{
    (void)listener;
    told[partition]++;
}

static char *kept[] = {"user.online", "client.message"};

static void set_up(void)
{
    char why[200] = "";
    node_fixture_start();
    store_double_start();
    fixture.options.events = (struct option_list){kept, 2};
    fixture.options.events_max = 6250;
    fixture.options.events_max_bytes = 16 << 20;
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK);
    event_log = fixture.node.events->log;
    store_double_play_events(ERR_OK);
    store_double_hold(STORE_OP_EVENT_APPEND);
}

static void tear_down(void)
{
    events_stop(&fixture.node);
    store_double_release(STORE_OP_EVENT_APPEND);
    node_fixture_stop();
    events_free(fixture.node.events);
    fixture.node.events = NULL;
}

TestSuite(event_log, .init = set_up, .fini = tear_down);

static enum err write_one(unsigned i, const char *user_id, bool is_bounded)
{
    written[i].append = (struct event_append){
        .on_done = on_done,
        .user_id = span_of(user_id),
        .data = SPAN_LITERAL("{\"type\":\"user.online\",\"userId\":\"a\"}"),
        .is_bounded = is_bounded,
    };
    return event_log_append(event_log, &written[i].append);
}

static void release_once(void)
{
    store_double_release(STORE_OP_EVENT_APPEND);
    store_double_hold(STORE_OP_EVENT_APPEND);
}

Test(event_log, asks_the_store_once_for_what_comes_while_a_request_is_under_way)
{
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    cr_expect_eq(store_double_count(STORE_OP_EVENT_APPEND), 1);
    for (unsigned i = 1; i < 10; i++)
        cr_assert_eq(write_one(i, "a", false), ERR_OK);
    cr_expect_eq(store_double_count(STORE_OP_EVENT_APPEND), 1);
    cr_expect_eq(n_answered, 0, "nobody is answered before the store has");
    release_once();
    cr_expect_eq(n_answered, 1);
    cr_assert_eq(store_double_count(STORE_OP_EVENT_APPEND), 2);
    cr_expect_eq(store_double_last_append()->n, 9);
    cr_expect_eq(store_double_last_append()->partition, store_partition_of(span_of("a")));
    release_once();
    for (unsigned i = 0; i < 10; i++) {
        cr_expect_eq(written[i].order, i + 1, "in the order of the calls");
        cr_expect_eq(written[i].append.error, ERR_OK);
    }
}

Test(event_log, does_not_let_one_partition_wait_for_another)
{
    char user_id[] = "a";
    while (store_partition_of(span_of(user_id)) == store_partition_of(span_of("a")))
        user_id[0]++;
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    cr_assert_eq(write_one(1, user_id, false), ERR_OK);
    cr_expect_eq(store_double_under_way(STORE_OP_EVENT_APPEND), 2);
}

Test(event_log, puts_no_bounded_event_into_a_request_that_is_not)
{
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    cr_assert_eq(write_one(1, "a", true), ERR_OK);
    cr_assert_eq(write_one(2, "a", true), ERR_OK);
    cr_assert_eq(write_one(3, "a", false), ERR_OK);
    release_once();
    cr_expect_eq(store_double_last_append()->n, 2);
    cr_expect(store_double_last_append()->is_bounded);
    store_double_play_events(ERR_FULL);
    release_once(); /* what was asked with the error before */
    cr_expect_eq(store_double_last_append()->n, 1);
    cr_expect_not(store_double_last_append()->is_bounded);
    release_once();
    cr_expect_eq(written[3].append.error, ERR_FULL);
    cr_expect_eq(written[2].append.error, ERR_OK);
}

Test(event_log, splits_what_waits_into_requests_of_bounded_size)
{
    for (unsigned i = 0; i < APPENDS; i++)
        cr_assert_eq(write_one(i, "a", false), ERR_OK);
    release_once();
    cr_expect_eq(store_double_last_append()->n, BATCH);
    release_once();
    cr_expect_eq(store_double_last_append()->n, BATCH);
    release_once();
    cr_expect_eq(store_double_last_append()->n, APPENDS - 1 - 2 * BATCH);
    release_once();
    cr_expect_eq(n_answered, APPENDS);
}

Test(event_log, takes_no_more_than_may_wait_in_memory)
{
    static struct written many[EVENT_LOG_WAITING_MAX];
    int64_t refused = metrics_read(METRIC_EVENTS_REFUSED_WAITING);
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    for (unsigned i = 0; i < EVENT_LOG_WAITING_MAX; i++) {
        many[i].append = (struct event_append){
            .on_done = on_done, .user_id = span_of("a"), .data = span_of("{}")};
        cr_assert_eq(event_log_append(event_log, &many[i].append), ERR_OK);
    }
    cr_expect_eq(write_one(1, "a", false), ERR_FULL);
    cr_expect_eq(metrics_read(METRIC_EVENTS_REFUSED_WAITING), refused + 1);
    release_once();
    cr_expect_eq(write_one(2, "a", false), ERR_OK, "a batch has left the queue");
}

Test(event_log, takes_no_more_bytes_than_may_wait_in_memory)
{
    static char large[EVENT_LOG_WAITING_MAX_BYTES];
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    written[1].append = (struct event_append){
        .on_done = on_done, .user_id = span_of("a"), .data = {large, sizeof large}};
    cr_assert_eq(event_log_append(event_log, &written[1].append), ERR_OK);
    cr_expect_eq(write_one(2, "a", false), ERR_FULL);
}

Test(event_log, answers_what_waits_when_the_node_stops)
{
    cr_assert_eq(write_one(0, "a", false), ERR_OK);
    cr_assert_eq(write_one(1, "a", false), ERR_OK);
    events_stop(&fixture.node);
    cr_expect_eq(n_answered, 1);
    cr_expect_eq(written[1].append.error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(write_one(2, "a", false), ERR_STORE_UNAVAILABLE);
    release_once();
    cr_expect_eq(written[0].append.error, ERR_OK, "the store had it already");
    cr_expect_eq(store_double_count(STORE_OP_EVENT_APPEND), 1);
}

Test(event_log, asks_the_store_to_report_once_somebody_listens)
{
    static struct event_listener first = {.on_events = on_events};
    static struct event_listener second = {.on_events = on_events};
    events_start(&fixture.node);
    cr_expect_eq(store_double_arrivals(), 0, "nobody listens");
    event_log_listen(event_log, &first);
    cr_expect_eq(store_double_arrivals(), STORE_PARTITIONS);
    node_fixture_turn();
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        cr_expect_eq(told[i], 1, "there may be events from before");
    event_log_listen(event_log, &second);
    cr_expect_eq(store_double_arrivals(), STORE_PARTITIONS);
}

Test(event_log, asks_again_each_second_while_the_store_is_away)
{
    static struct event_listener listener = {.on_events = on_events};
    store_double_set_away(true);
    events_start(&fixture.node);
    event_log_listen(event_log, &listener);
    node_fixture_turn();
    cr_expect_eq(told[3], 0);
    store_double_set_away(false);
    events_on_second(fixture.worker);
    node_fixture_turn();
    cr_expect_eq(store_double_arrivals(), 2 * STORE_PARTITIONS);
    cr_expect_eq(told[3], 1);
    events_on_second(fixture.worker);
    cr_expect_eq(store_double_arrivals(), 2 * STORE_PARTITIONS);
}

Test(event_log, knows_the_newest_number_and_tells_the_listeners)
{
    static struct event_listener listener = {.on_events = on_events};
    struct store_known known;
    events_start(&fixture.node);
    event_log_listen(event_log, &listener);
    node_fixture_turn();
    struct payload *payload = payload_new(span_of("{}"));
    struct epoch epoch = {"abcdefgh"};
    struct notification *note = notification_new(payload, epoch, 7, 1000, 2000);
    event_log_on_event(event_log, 3, inbox_event_of_note(note));
    event_log_get_known(event_log, 3, &known);
    cr_expect_eq(told[3], 2);
    cr_expect_eq(told[4], 1);
    cr_expect_eq(known.head, 7);
    cr_expect_eq(known.time, store_time(1000));
    cr_expect(epoch_equal(known.epoch, epoch));
    notification_unref(note);
    payload_unref(payload);
}

Test(event_log, looks_again_when_a_report_may_have_been_missed)
{
    static struct event_listener listener = {.on_events = on_events};
    events_start(&fixture.node);
    event_log_listen(event_log, &listener);
    node_fixture_turn();
    unsigned n_pages = store_double_count(STORE_OP_PAGE);
    event_log_on_missed(event_log, 5);
    node_fixture_turn();
    cr_expect_eq(store_double_count(STORE_OP_PAGE), n_pages + 1);
    cr_expect_eq(store_double_arrivals(), STORE_PARTITIONS, "the store reports already");
    cr_expect_eq(told[5], 2);
}
