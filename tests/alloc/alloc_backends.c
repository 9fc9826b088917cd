/* Backends that read events without memory: every call, every acknowledgement and every request of
 * an operator is answered once, and what a webhook cannot be sent now waits. All is given back. The
 * sender's thread is not started: its letters and timers are turned here. */
#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/events/event_log.h"
#include "gateway/events/event_requests.h"
#include "gateway/events/events.h"
#include "gateway/events/presence.h"
#include "gateway/events/webhook_parts.h"
#include "gateway/events/webhook_requests.h"
#include "gateway/node/worker.h"
#include "gateway/stores/local/store_local.h"
#include "gateway/stores/memory/store_memory.h"
#include "tests/alloc/fail.h"
#include "tests/support/bare_node.h"

#include <unistd.h>

enum { TURNS = 60, USERS = 3 };

static char path[] = "/tmp/herald-alloc-XXXXXX";
static char *kept[] = {"client.message"};
static struct options options;
static struct worker *worker;
static struct node node;
static unsigned n_answers;
static unsigned n_with_events; /* answers to GET /events */

/* ---- time and turns ---- */

static int64_t now_us = INT64_C(1700000000000000);

static int64_t show_us(void)
{
    return now_us;
}

static int64_t show_ms(void)
{
    return now_us / 1000;
}

static int64_t store_ms(void *unused)
{
    (void)unused;
    return show_ms();
}

static void turn(void)
{
    struct webhooks *webhooks = node.events->webhooks;
    for (int i = 0; i < TURNS; i++) {
        now_us += 20 * 1000;
        store_local_turn(node.store);
        reactor_turn(worker->reactor, 0);
        webhook_sender_deliver(webhooks->sender);
        timers_fire(webhook_sender_timers(webhooks->sender), clock_monotonic_ms());
    }
}

static void expect_one_answer(enum err error, enum err also)
{
    CHECK(n_answers == 1);
    n_answers = 0;
    CHECK(error == ERR_OK || error == also || fail_has_happened());
}

/* As gateway_start.c has it. */
static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    unsigned partition;
    (void)owner;
    if (store_is_partition_user(user_id, &partition))
        event_log_on_event(node.events->log, partition, event);
}

/* ---- what is asked ---- */

static void on_said(struct event_append *append)
{
    (void)append;
    n_answers++;
}

static void say(const char *user)
{
    struct event_append append = {
        .on_done = on_said,
        .user_id = span_of(user),
        .data = SPAN_LITERAL("{\"type\":\"client.message\",\"userId\":\"a\",\"data\":1}")};
    if (event_log_append(node.events->log, &append) != ERR_OK) {
        CHECK(fail_has_happened());
        return;
    }
    turn();
    expect_one_answer(append.error, ERR_OK);
}

static void on_pulled(struct gateway_events *op)
{
    (void)op;
    n_answers++;
}

static void on_acked(struct gateway_event_ack *op)
{
    (void)op;
    n_answers++;
}

static void acknowledge(const char *cursor)
{
    struct gateway_event_ack ack = {.on_done = on_acked};
    if (event_cursor_read(span_of(cursor), &ack.cursor) != ERR_OK) {
        CHECK(fail_has_happened());
        return;
    }
    gateway_event_ack(&node, &ack);
    turn();
    expect_one_answer(ack.error, ERR_OK);
}

static void pull(const char *consumer, uint32_t wait_ms, bool gives_up)
{
    static struct gateway_events op;
    op = (struct gateway_events){.on_done = on_pulled,
                                 .consumer = span_of(consumer),
                                 .limit = 10,
                                 .wait_ms = wait_ms,
                                 .types = EVENT_BIT(EVENT_TYPES) - 1};
    gateway_events(&node, &op);
    if (gives_up && n_answers == 0)
        gateway_events_give_up(&node, &op);
    turn();
    turn(); /* the time of its wait is over */
    expect_one_answer(op.error, ERR_OK);
    n_with_events += op.events.len > 0;
    if (op.error == ERR_OK)
        acknowledge(op.cursor);
    gateway_events_clear(&op);
}

static void on_listed(struct gateway_event_consumers *op)
{
    (void)op;
    n_answers++;
}

static void on_forgotten(struct gateway_event_forget *op)
{
    (void)op;
    n_answers++;
}

static void forget(const char *name)
{
    struct gateway_event_forget op = {.on_done = on_forgotten, .consumer = span_of(name)};
    gateway_event_forget(&node, &op);
    turn();
    expect_one_answer(op.error, op.is_in_use ? ERR_CONFLICT : ERR_NOT_FOUND);
}

static void on_webhooks(struct webhooks_list *op)
{
    (void)op;
    n_answers++;
}

static void on_tested(struct webhook_test *op)
{
    (void)op;
    n_answers++;
}

static void operate(void)
{
    static struct gateway_event_consumers consumers;
    static struct webhooks_list list;
    consumers = (struct gateway_event_consumers){.on_done = on_listed};
    gateway_event_consumers(&node, &consumers);
    turn();
    expect_one_answer(consumers.error, ERR_OK);
    forget("shop");
    forget("one");
    list = (struct webhooks_list){.on_done = on_webhooks};
    webhooks_list(&node, &list);
    turn();
    expect_one_answer(list.error, ERR_OK);
}

/* ---- the run ---- */

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The sender's part of webhooks_reload: nobody is left. */
static void take_empty_file(void)
{
    struct webhook_file *file;
    char why[300];
    if (!WENT_WELL(webhook_file_read(SPAN_LITERAL("\n"), path, &file, why, sizeof why)))
        return;
    webhooks_take_file(node.events->webhooks, file);
    webhooks_drop_first(node.events->webhooks);
    webhook_file_free(file);
    turn();
}

static unsigned count_sending(void)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &node.events->webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        for (unsigned i = 0; i < STORE_PARTITIONS; i++)
            n += webhook->runs[i].state == RUN_SENDING;
    }
    return n;
}

static void use_events(void)
{
    static struct webhook_test test;
    struct events *events = node.events;
    event_log_start(events->log);
    presence_start(events->presence);
    serving_start(events->serving);
    event_log_listen(events->log, &events->webhooks->event_listener);
    webhooks_begin(events->webhooks);
    turn();
    for (unsigned i = 0; i < USERS; i++)
        say(i == 0 ? "a" : i == 1 ? "b" : "c");
    pull("one", 0, false);
    pull("one", 1000, true);
    pull("two", 1000, false);
    operate();
    test = (struct webhook_test){.on_done = on_tested, .name = SPAN_LITERAL("shop")};
    webhooks_test(&node, &test); /* nothing sends it: it is answered at the end */
    turn();
    CHECK(n_with_events > 0 || fail_has_happened());
    CHECK(count_sending() > 0 || fail_has_happened());
    take_empty_file();
}

static void run(void)
{
    struct store_config config = {.inbox_max = 10,
                                  .inbox_max_bytes = 1000,
                                  .events_max = 20,
                                  .events_max_bytes = 100000,
                                  .event_ttl_s = 3600,
                                  .alerts_max = 10,
                                  .events = {.on_inbox_event = on_inbox_event},
                                  .owner = &node};
    char why[300];
    n_answers = 0;
    n_with_events = 0;
    bare_node_init(&node, &options, &worker);
    options.events = (struct option_list){kept, 1};
    options.webhooks = path;
    options.webhook_proxy = "";
    options.offline_after = 10000;
    if (!WENT_WELL(store_memory_open_unthreaded(&config, (struct store_clock){store_ms, NULL},
                                                &node.store)))
        return;
    if (!WENT_WELL(bare_node_open(&node))) {
        store_close(node.store);
        return;
    }
    bool is_open = WENT_WELL(events_new(&node, why, sizeof why));
    if (is_open)
        use_events();
    events_stop(&node);
    store_close(node.store);
    events_close(&node);
    while (mailbox_deliver(worker_mailbox(worker)) > 0) {
    }
    reactor_turn(worker->reactor, 0);
    CHECK(!is_open || n_answers == 1 || fail_has_happened()); /* of the test */
    CHECK(n_answers <= 1);
    events_free(node.events);
    node.events = NULL;
    bare_node_close(&node);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && close(fd) == 0);
    write_file("shop http://127.0.0.1:1/ whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw batch=2\n");
    clock_replace(show_ms, show_us);
    fail_each("backends", run);
    unlink(path);
    return 0;
}
