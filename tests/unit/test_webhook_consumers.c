/* Endpoints as consumers (gateway/events/webhook_consumers.c): added, kept alive, and removed, on
 * the memory store. The sender's thread is not started: its letters and timers are the test's to
 * turn.
 */
#include "gateway/base/clock.h"
#include "gateway/events/event_requests.h"
#include "gateway/events/events.h"
#include "gateway/events/webhook_parts.h"
#include "gateway/events/webhooks.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#define SECRET " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static char path[] = "/tmp/herald-webhooks-XXXXXX";
static char *kept[] = {"user.online"};

static struct webhooks *webhooks_of_node(void)
{
    return fixture.node.events->webhooks;
}

/* Letters, timers and the store, until all rests. */
static void turn(void)
{
    struct webhook_sender *sender = webhooks_of_node()->sender;
    for (int i = 0; i < 100; i++) {
        webhook_sender_deliver(sender);
        timers_fire(webhook_sender_timers(sender), clock_monotonic_ms());
        node_fixture_turn();
    }
}

static struct webhook_file *read_text(const char *text)
{
    struct webhook_file *file = NULL;
    char why[300];
    cr_assert_eq(webhook_file_read(span_of(text), "f", &file, why, sizeof why), ERR_OK, "%s", why);
    return file;
}

/* The sender's part of webhooks_reload. */
static void take_text(const char *text)
{
    struct webhook_file *file = read_text(text);
    webhooks_take_file(webhooks_of_node(), file);
    webhooks_drop_first(webhooks_of_node());
    webhook_file_free(file);
}

static void open_events(const char *text)
{
    char why[300] = "";
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK, "%s", why);
}

static void set_up(void)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    node_fixture_start();
    store_double_start();
    fixture.options.events = (struct option_list){kept, 1};
    fixture.options.events_max = 6250;
    fixture.options.events_max_bytes = 16 << 20;
    fixture.options.webhooks = path;
    fixture.options.webhook_proxy = "";
}

static void tear_down(void)
{
    events_stop(&fixture.node);
    node_fixture_stop();
    events_close(&fixture.node);
    events_free(fixture.node.events);
    fixture.node.events = NULL;
    cr_expect_eq(unlink(path), 0);
}

TestSuite(webhook_consumers, .init = set_up, .fini = tear_down);

/* ---- the list ---- */

static void on_listed(struct gateway_event_consumers *asked)
{
    (void)asked;
}

static const struct gateway_event_consumer *find_webhook(const char *name)
{
    static struct gateway_event_consumers asked;
    asked.on_done = on_listed;
    gateway_event_consumers(&fixture.node, &asked);
    turn();
    cr_assert_eq(asked.error, ERR_OK);
    for (size_t i = 0; i < asked.n; i++) {
        if (asked.list[i].is_webhook && strcmp(asked.list[i].name, name) == 0)
            return &asked.list[i];
    }
    return NULL;
}

static void on_forgotten(struct gateway_event_forget *asked)
{
    (void)asked;
}

static struct gateway_event_forget forget(const char *name)
{
    struct gateway_event_forget asked = {.on_done = on_forgotten, .consumer = span_of(name)};
    gateway_event_forget(&fixture.node, &asked);
    turn();
    return asked;
}

Test(webhook_consumers, are_listed_and_not_forgotten_while_the_file_has_them)
{
    open_events("shop http://127.0.0.1:1/" SECRET);
    cr_expect_eq(forget("shop").error, ERR_CONFLICT, "the file of the start, not taken yet");
    webhooks_begin(webhooks_of_node());
    turn();
    const struct gateway_event_consumer *listed = find_webhook("shop");
    cr_assert_not_null(listed);
    cr_expect(listed->is_in_file);
    struct gateway_event_forget refused = forget("shop");
    cr_expect_eq(refused.error, ERR_CONFLICT);
    cr_expect(refused.is_in_use);
    cr_expect_eq(forget("nobody").error, ERR_NOT_FOUND);
    take_text("");
    turn();
    cr_expect_null(find_webhook("shop"));
}

static void on_added(struct store_request *request)
{
    (void)request;
}

static void add_consumer(const char *key)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct store_consumers call = {.request = {.on_done = on_added},
                                       .partition = i,
                                       .action = CONSUMERS_ADD,
                                       .key = span_of(key)};
        store_consumers(fixture.node.store, &call);
        node_fixture_turn();
        cr_assert_eq(call.error, ERR_OK);
    }
}

/* What the store has of an earlier file is known late: a file was read again before. */
Test(webhook_consumers, of_earlier_files_are_removed_also_when_a_file_is_read_before_they_are_known)
{
    open_events("shop http://127.0.0.1:1/" SECRET);
    add_consumer("wold");
    take_text("other http://127.0.0.1:1/" SECRET);
    turn(); /* each endpoint has its consumers */
    webhooks_begin(webhooks_of_node());
    turn();
    cr_expect_not_null(find_webhook("other"));
    cr_expect_null(find_webhook("old"));
    cr_expect_null(find_webhook("shop"));
}

/* A consumer that was not seen for 30 days is forgotten; an endpoint of a quiet partition is not.
 */
Test(webhook_consumers, are_kept_alive_where_nothing_happens)
{
    open_events("shop http://127.0.0.1:1/" SECRET);
    webhooks_begin(webhooks_of_node());
    turn();
    for (unsigned day = 0; day < 35; day++) {
        node_fixture_stall_ms(DAY_MS + 1000);
        turn();
    }
    struct store_consumers call = {.request = {.on_done = on_added}, .action = CONSUMERS_LIST};
    for (call.partition = 0; call.partition < STORE_PARTITIONS; call.partition++) {
        store_consumers(fixture.node.store, &call);
        node_fixture_turn();
        cr_assert_eq(call.n, 1, "partition %u", call.partition);
        cr_expect_geq(call.list[0].seen_ms,
                      NODE_FIXTURE_WALL_MS + node_fixture_now_ms() - 2 * (int64_t)DAY_MS);
    }
}

/* One primary of a Cluster is away: what the others have is served. */
Test(webhook_consumers, are_added_where_the_store_is_there_while_a_part_of_it_is_away)
{
    open_events("shop http://127.0.0.1:1/" SECRET);
    store_double_fail_consumers(5);
    webhooks_begin(webhooks_of_node());
    for (unsigned second = 0; second < 5; second++) {
        node_fixture_wait_ms(1000);
        turn();
    }
    const struct webhook *webhook = webhooks_find(webhooks_of_node(), SPAN_LITERAL("shop"));
    cr_assert_not_null(webhook);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        cr_expect_eq(webhook->runs[i].is_added, i != 5, "partition %u", i);
    cr_expect_not(webhook->is_settled);
    store_double_fail_consumers(STORE_PARTITIONS);
    for (unsigned second = 0; second < 3; second++) {
        node_fixture_wait_ms(1000);
        turn();
    }
    cr_expect(webhook->runs[5].is_added);
    cr_expect(webhook->is_settled);
}

/* Who is left over is not known while the partition that would say so is away. */
Test(webhook_consumers, of_a_shared_store_are_added_before_the_leftovers_are_known)
{
    store_double_set_shared();
    open_events("shop http://127.0.0.1:1/" SECRET);
    store_double_fail_consumers(0);
    webhooks_begin(webhooks_of_node());
    for (unsigned second = 0; second < 5; second++) {
        node_fixture_wait_ms(1000);
        turn();
    }
    const struct webhook *webhook = webhooks_find(webhooks_of_node(), SPAN_LITERAL("shop"));
    cr_assert_not_null(webhook);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        cr_expect_eq(webhook->runs[i].is_added, i != 0, "partition %u", i);
}
