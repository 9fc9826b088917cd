/* Messages and their readers, drawn: clients' messages are written to the event log, two consumers
 * read, acknowledge, are lost and come again; the store is away, full, loses answers, is killed or
 * loses everything; events expire and are pushed out. Whatever happened, a message that was
 * accepted has been read by each consumer in the end, or lies in a gap that the consumer was told.
 * No event comes twice after it was acknowledged, none that was never written, and those of a
 * partition come in their order. The store is the memory store in every other seed, and the file
 * store. One node or two write, and are read; without a cursor each node knows of a loss only what
 * it has seen itself, so with two nodes each call has one. */
#include "gateway/base/clock.h"
#include "gateway/events/event_requests.h"
#include "tests/support/event_answer.h"
#include "tests/support/event_node.h"
#include "tests/support/presence_node.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SEEDS /* fewer with a sanitizer */
#define SEEDS 60
#endif

enum { NODES = 2, USERS = 6, CONSUMERS = 2, STEPS = 400, MESSAGES_MAX = 8000, TOLD_MAX = 4000 };

/* One of a client. */
struct message {
    struct event_append append;
    char data[100];
    bool is_accepted;
    unsigned partition;
    struct epoch epoch; /* none: it was never written */
    uint64_t seq;
};

struct consumer {
    const char *name;
    struct event_node *at; /* that was asked last */
    struct gateway_events op;
    struct gateway_event_ack ack;
    bool is_reading;
    bool is_acking;
    bool is_lost; /* what is under way is not for the one that is here now */
    bool has_cursor;
    char cursor[EVENT_CURSOR_MAX_BYTES];
    bool has_read[MESSAGES_MAX];
    uint64_t acked[STORE_PARTITIONS]; /* as an answer has confirmed, of the epoch beside it */
    struct epoch acked_epochs[STORE_PARTITIONS];
    struct event_told gaps[TOLD_MAX];
    size_t n_gaps;
    unsigned n_empty; /* answers one after the other, with all acknowledged */
};

static struct {
    uint64_t seed;
    uint64_t drawn;
    unsigned n_nodes;
    struct event_node nodes[NODES];
    struct event_store store;
    struct message messages[MESSAGES_MAX];
    size_t n_messages;
    size_t n_under_way;
    struct consumer consumers[CONSUMERS];
    unsigned n_losses;
} sim;

static uint64_t draw(uint64_t below)
{
    sim.drawn ^= sim.drawn << 13;
    sim.drawn ^= sim.drawn >> 7;
    sim.drawn ^= sim.drawn << 17;
    return ((sim.drawn * UINT64_C(0x2545f4914f6cdd1d)) >> 16) % below;
}

static struct event_node *draw_node(void)
{
    return &sim.nodes[draw(sim.n_nodes)];
}

#define CHECK(is_so, format, ...)                                                                  \
    cr_assert(is_so, "seed %" PRIu64 ": " format, sim.seed, __VA_ARGS__)

/* ---- what the store did ---- */

static struct message *message_of(struct span data)
{
    const char *at = strstr(data.bytes, "\"data\":");
    cr_assert_not_null(at);
    unsigned long number = strtoul(at + strlen("\"data\":"), NULL, 10);
    cr_assert_lt(number, sim.n_messages);
    return &sim.messages[number];
}

static void on_written(void *owner, const struct store_event_append *append)
{
    (void)owner;
    for (size_t i = 0; i < append->n; i++) {
        struct message *message = message_of(append->events[i]);
        cr_assert(epoch_is_none(message->epoch), "it is written once");
        message->epoch = append->epoch;
        message->seq = append->first_seq + i;
    }
}

static void on_reported(void *owner, unsigned partition, struct inbox_event event)
{
    (void)owner;
    for (unsigned i = 0; i < sim.n_nodes; i++)
        event_log_on_event(sim.nodes[i].events.log, partition, event);
}

static void hear_again(void)
{
    for (unsigned i = 0; i < sim.n_nodes; i++)
        event_node_missed(&sim.nodes[i]);
}

/* ---- clients ---- */

static void on_message_done(struct event_append *append)
{
    struct message *message = CONTAINER_OF(append, struct message, append);
    message->is_accepted = append->error == ERR_OK;
    CHECK(!message->is_accepted || !epoch_is_none(message->epoch), "message %td was not written",
          message - sim.messages);
    sim.n_under_way--;
}

static void say(void)
{
    char user[16];
    cr_assert_lt(sim.n_messages, MESSAGES_MAX);
    struct message *message = &sim.messages[sim.n_messages];
    unsigned number = (unsigned)draw(USERS);
    snprintf(user, sizeof user, "u%u", number);
    snprintf(message->data, sizeof message->data,
             "{\"type\":\"client.message\",\"userId\":\"%s\",\"data\":%zu}", user, sim.n_messages);
    message->partition = store_partition_of(span_of(user));
    message->append = (struct event_append){.on_done = on_message_done,
                                            .user_id = span_of(user),
                                            .data = span_of(message->data),
                                            .is_bounded = draw(4) > 0};
    sim.n_messages++;
    sim.n_under_way++;
    cr_assert_eq(event_log_append(draw_node()->events.log, &message->append), ERR_OK);
}

/* ---- consumers ---- */

/* The numbers of each partition in one answer. */
struct order {
    uint64_t last[STORE_PARTITIONS];
};

static void check_order(const struct consumer *consumer, struct order *order,
                        const struct event_told *told)
{
    uint64_t *last = &order->last[told->partition];
    CHECK(told->seq > *last, "%s reads %" PRIu64 " behind %" PRIu64, consumer->name, told->seq,
          *last);
    *last = told->seq;
    bool is_acked = epoch_equal(consumer->acked_epochs[told->partition], told->epoch) &&
                    told->seq <= consumer->acked[told->partition];
    CHECK(!is_acked, "%s reads again: %.80s", consumer->name, told->text);
}

static bool is_reset(const struct event_told *told)
{
    return told->is_gap && strcmp(told->cause, "reset") == 0;
}

static void take_event(struct consumer *consumer, const struct event_told *told)
{
    const struct message *message = message_of(span_of(told->text));
    bool is_same = message->partition == told->partition &&
                   epoch_equal(message->epoch, told->epoch) && message->seq == told->seq;
    CHECK(is_same, "%s reads what was not written: %.80s", consumer->name, told->text);
    consumer->has_read[message - sim.messages] = true;
}

static void take_gap(struct consumer *consumer, const struct event_told *told)
{
    CHECK(is_reset(told) || strcmp(told->cause, "overflow") == 0 ||
              strcmp(told->cause, "expired") == 0,
          "%s is told the cause %s", consumer->name, told->cause);
    cr_assert_lt(consumer->n_gaps, TOLD_MAX);
    consumer->gaps[consumer->n_gaps++] = *told;
}

static void take_events(struct consumer *consumer, const char *text)
{
    struct order order = {{0}};
    struct event_told told;
    while (event_answer_next(&text, &told)) {
        cr_assert_lt(told.partition, STORE_PARTITIONS);
        if (!is_reset(&told))
            check_order(consumer, &order, &told);
        if (told.is_gap)
            take_gap(consumer, &told);
        else
            take_event(consumer, &told);
    }
}

/* Up to the cursor that was given with the call, which has been answered. */
static void note_acked(struct consumer *consumer, const struct event_cursor *cursor)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        const struct event_position *position = &cursor->positions[i];
        if (epoch_is_none(position->epoch))
            continue;
        bool is_later = !epoch_equal(consumer->acked_epochs[i], position->epoch) ||
                        position->seq > consumer->acked[i];
        if (is_later) {
            consumer->acked_epochs[i] = position->epoch;
            consumer->acked[i] = position->seq;
        }
    }
}

static void take_answer(struct consumer *consumer)
{
    struct gateway_events *op = &consumer->op;
    if (op->error != ERR_OK)
        return;
    if (op->has_ack)
        note_acked(consumer, &op->ack);
    if (consumer->is_lost)
        return;
    char *text = calloc(1, op->events.len + 1);
    if (op->events.len > 0)
        memcpy(text, op->events.bytes, op->events.len);
    take_events(consumer, text);
    consumer->n_empty = op->events.len == 0 && op->has_ack ? consumer->n_empty + 1 : 0;
    free(text);
    memcpy(consumer->cursor, op->cursor, sizeof consumer->cursor);
    consumer->has_cursor = true;
}

static void on_read(struct gateway_events *op)
{
    struct consumer *consumer = CONTAINER_OF(op, struct consumer, op);
    take_answer(consumer);
    consumer->is_reading = false;
    gateway_events_clear(op);
}

static void read_on(struct consumer *consumer, uint32_t wait_ms, bool may_ack)
{
    if (consumer->is_reading || consumer->is_acking)
        return;
    consumer->op =
        (struct gateway_events){.on_done = on_read,
                                .consumer = span_of(consumer->name),
                                .limit = 1 + (uint32_t)draw(60),
                                .wait_ms = wait_ms,
                                .types = EVENT_BIT(EVENT_TYPES) - 1,
                                .has_ack = consumer->has_cursor && (may_ack || sim.n_nodes > 1)};
    if (consumer->op.has_ack)
        cr_assert_eq(event_cursor_read(span_of(consumer->cursor), &consumer->op.ack), ERR_OK);
    consumer->is_reading = true;
    consumer->is_lost = false;
    consumer->at = draw_node();
    gateway_events(&consumer->at->node, &consumer->op);
}

static void on_acked(struct gateway_event_ack *ack)
{
    struct consumer *consumer = CONTAINER_OF(ack, struct consumer, ack);
    consumer->is_acking = false;
    if (ack->error == ERR_OK)
        note_acked(consumer, &ack->cursor);
}

static void acknowledge(struct consumer *consumer)
{
    if (consumer->is_reading || consumer->is_acking || !consumer->has_cursor)
        return;
    consumer->ack = (struct gateway_event_ack){.on_done = on_acked};
    cr_assert_eq(event_cursor_read(span_of(consumer->cursor), &consumer->ack.cursor), ERR_OK);
    consumer->is_acking = true;
    gateway_event_ack(&draw_node()->node, &consumer->ack);
}

/* Another process of the backend goes on. */
static void lose_consumer(struct consumer *consumer)
{
    if (consumer->is_reading)
        gateway_events_give_up(&consumer->at->node, &consumer->op);
    consumer->is_lost = true;
    consumer->has_cursor = consumer->has_cursor && sim.n_nodes > 1;
}

/* ---- time ---- */

static void turn(void)
{
    for (int i = 0; i < 12; i++) {
        for (unsigned node = 0; node < sim.n_nodes; node++)
            reactor_turn(sim.nodes[node].worker->reactor, 0);
        event_store_turn(&sim.store);
    }
    for (unsigned node = 0; node < sim.n_nodes; node++)
        reactor_turn(sim.nodes[node].worker->reactor, 0);
}

static void wait_ms(int64_t ms)
{
    for (int64_t end_ms = presence_node_now_ms + ms; presence_node_now_ms < end_ms;) {
        presence_node_now_ms += 100;
        for (unsigned i = 0; i < sim.n_nodes && presence_node_now_ms % 1000 == 0; i++)
            event_log_on_second(sim.nodes[i].events.log, sim.nodes[i].worker);
        turn();
    }
}

/* ---- a run ---- */

static void open_all(void)
{
    static const char *const names[CONSUMERS] = {"mail", "stats"};
    const struct event_store_hooks hooks = {on_written, on_reported, NULL};
    struct store_config limits = {.events_max = 8 + (uint32_t)draw(200),
                                  .events_max_bytes = 1 << 20,
                                  .event_ttl_s = draw(2) == 0 ? 3600 : 5 + (uint32_t)draw(30)};
    presence_node_replace_clock();
    event_store_open(&sim.store, sim.seed % 2 == 0, limits, presence_node_clock, hooks);
    sim.n_nodes = 1 + (unsigned)draw(NODES);
    for (unsigned i = 0; i < sim.n_nodes; i++)
        event_node_open(&sim.nodes[i], &sim.store);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        sim.consumers[i].name = names[i];
        read_on(&sim.consumers[i], 0, false);
        wait_ms(1000);
        cr_assert(sim.consumers[i].has_cursor);
    }
}

static void close_all(void)
{
    for (unsigned i = 0; i < sim.n_nodes; i++)
        event_node_stop(&sim.nodes[i]);
    event_store_close(&sim.store);
    for (unsigned i = 0; i < sim.n_nodes; i++)
        event_node_close(&sim.nodes[i]);
    clock_replace(NULL, NULL);
}

static void lose_all(void)
{
    if (sim.n_losses < EVENT_STORE_EPOCHS_MAX / 2 && draw(3) == 0) {
        sim.n_losses++;
        event_store_lose(&sim.store);
    } else {
        event_store_restart(&sim.store);
    }
    hear_again();
}

static void heal(void)
{
    sim.store.is_cut = false;
    sim.store.loses_answers = false;
    sim.store.holds = false;
    event_store_fill(&sim.store, false);
    hear_again();
    wait_ms(3000);
}

static void fail_somehow(void)
{
    switch (draw(12)) {
    case 0:
    case 1:
        sim.store.is_cut = !sim.store.is_cut;
        if (!sim.store.is_cut)
            hear_again();
        break;
    case 2:
    case 3:
        sim.store.loses_answers = !sim.store.loses_answers;
        break;
    case 4:
        sim.store.holds = !sim.store.holds;
        break;
    case 5:
        event_store_fill(&sim.store, draw(2) == 0);
        break;
    case 6:
        lose_all();
        break;
    case 7:
        wait_ms((int64_t)draw(40000));
        break;
    default:
        heal();
    }
}

static void do_something(void)
{
    struct consumer *consumer = &sim.consumers[draw(CONSUMERS)];
    uint64_t what = draw(40);
    if (what < 14)
        for (uint64_t n = 1 + draw(draw(10) == 0 ? 60 : 4); n > 0; n--)
            say();
    else if (what < 28)
        read_on(consumer, draw(3) == 0 ? (uint32_t)draw(5000) : 0, draw(4) > 0);
    else if (what < 31)
        acknowledge(consumer);
    else if (what < 33)
        lose_consumer(consumer);
    else if (what < 36)
        fail_somehow();
    wait_ms((int64_t)draw(6) * 100);
}

/* ---- the end ---- */

static void read_all(struct consumer *consumer)
{
    consumer->n_empty = 0;
    for (int i = 0; consumer->n_empty < 2; i++) {
        CHECK(i < 4000, "%s does not come to an end", consumer->name);
        wait_ms(100);
        read_on(consumer, 0, true);
    }
}

static bool is_covered(const struct event_told *gap, const struct message *message)
{
    if (gap->partition != message->partition)
        return false;
    if (is_reset(gap) && event_store_place_of(&sim.store, gap->partition, gap->epoch) >
                             event_store_place_of(&sim.store, message->partition, message->epoch))
        return true;
    return epoch_equal(gap->epoch, message->epoch) && gap->from <= message->seq &&
           message->seq <= gap->seq;
}

static bool is_told(const struct consumer *consumer, const struct message *message)
{
    bool is_found = consumer->has_read[message - sim.messages];
    for (size_t i = 0; !is_found && i < consumer->n_gaps; i++)
        is_found = is_covered(&consumer->gaps[i], message);
    return is_found;
}

static void check_accepted(const struct consumer *consumer)
{
    for (size_t i = 0; i < sim.n_messages; i++) {
        const struct message *message = &sim.messages[i];
        CHECK(!message->is_accepted || is_told(consumer, message),
              "%s has not heard of message %zu, number %" PRIu64 " of partition %u and epoch %d",
              consumer->name, i, message->seq, message->partition,
              event_store_place_of(&sim.store, message->partition, message->epoch));
    }
}

static void run_seed(uint64_t seed)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.drawn = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    open_all();
    for (int i = 0; i < STEPS; i++)
        do_something();
    heal();
    cr_assert_eq(sim.n_under_way, 0);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        read_all(&sim.consumers[i]);
        check_accepted(&sim.consumers[i]);
    }
    close_all();
}

ParameterizedTestParameters(event_seeds, all_is_read_or_told)
{
    static int seeds[SEEDS];
    for (int i = 0; i < SEEDS; i++)
        seeds[i] = i + 1;
    return cr_make_param_array(int, seeds, SEEDS);
}

ParameterizedTest(int *seed, event_seeds, all_is_read_or_told, .timeout = 120)
{
    run_seed((uint64_t)*seed);
}
