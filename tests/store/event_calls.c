#include "tests/store/event_calls.h"

static void on_event_append(struct store_request *request)
{
    call_answer(&((struct event_append_call *)(void *)request)->call);
}

static void on_consumers(struct store_request *request)
{
    call_answer(&((struct consumers_call *)(void *)request)->call);
}

/* ---- events ---- */

void event_append_begin(struct store *to, struct event_append_call *call,
                        struct store_event_append asked)
{
    call->append = asked;
    call->append.request.on_done = on_event_append;
    call_init(&call->call);
    is_inside_a_call = true;
    store_event_append(to, &call->append);
    is_inside_a_call = false;
}

struct store_event_append event_append_run(struct store *to, struct store_event_append asked)
{
    struct event_append_call call;
    event_append_begin(to, &call, asked);
    call_wait(&call.call);
    return call.append;
}

uint64_t event_append(struct store *to, unsigned partition, const char *data)
{
    struct span event = span_of(data);
    struct store_event_append append = event_append_run(
        to, (struct store_event_append){.partition = partition, .n = 1, .events = &event});
    cr_assert_eq(append.error, ERR_OK);
    return append.first_seq;
}

void event_append_numbers(struct store *to, unsigned partition, int from, int to_number)
{
    for (int i = from; i <= to_number; i++) {
        char text[32];
        snprintf(text, sizeof text, "{\"n\":%d}", i);
        event_append(to, partition, text);
    }
}

enum err event_append_bounded(struct store *to, unsigned partition, const char *data)
{
    struct span event = span_of(data);
    return event_append_run(to, (struct store_event_append){.partition = partition,
                                                            .is_bounded = true,
                                                            .n = 1,
                                                            .events = &event})
        .error;
}

struct store_page event_page(struct store *to, unsigned partition, const char *consumer)
{
    return page_run(to, (struct store_page){.user_id = store_partition_user(partition),
                                            .device = span_of(consumer),
                                            .from_acked = true,
                                            .wants_gaps = true,
                                            .max_count = 100000,
                                            .max_bytes = UINT32_MAX});
}

enum err event_ack(struct store *to, unsigned partition, const char *consumer, uint64_t seq)
{
    return ack_run(to, (struct store_ack){.user_id = store_partition_user(partition),
                                          .device = span_of(consumer),
                                          .epoch = consumers_list(to, partition).epoch,
                                          .seq = seq});
}

/* ---- consumers ---- */

struct store_consumers consumers_run(struct store *to, struct store_consumers asked)
{
    struct consumers_call call = {.consumers = asked};
    call.consumers.request.on_done = on_consumers;
    call_init(&call.call);
    is_inside_a_call = true;
    store_consumers(to, &call.consumers);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.consumers;
}

struct store_consumers consumers_list(struct store *to, unsigned partition)
{
    struct store_consumers consumers =
        consumers_run(to, (struct store_consumers){.partition = partition});
    cr_assert_eq(consumers.error, ERR_OK);
    cr_assert_not(consumers.is_changed);
    return consumers;
}

struct store_consumers consumer_add(struct store *to, unsigned partition, const char *consumer,
                                    bool from_now)
{
    return consumers_run(to, (struct store_consumers){.partition = partition,
                                                      .action = CONSUMERS_ADD,
                                                      .key = span_of(consumer),
                                                      .from_now = from_now});
}

struct store_consumers consumer_remove(struct store *to, unsigned partition, const char *consumer)
{
    return consumers_run(to, (struct store_consumers){.partition = partition,
                                                      .action = CONSUMERS_REMOVE,
                                                      .key = span_of(consumer)});
}

const struct store_consumer *find_consumer(const struct store_consumers *consumers,
                                           const char *consumer)
{
    for (size_t i = 0; i < consumers->n; i++) {
        const struct store_consumer *at = &consumers->list[i];
        if (span_equal((struct span){at->key, at->key_len}, span_of(consumer)))
            return at;
    }
    cr_assert_fail("there is no consumer %s", consumer);
    return NULL;
}

uint64_t consumer_position(struct store *to, unsigned partition, const char *consumer)
{
    struct store_consumers consumers = consumers_list(to, partition);
    return find_consumer(&consumers, consumer)->position;
}

void expect_events(struct store *of, unsigned partition, const char *consumer, const char *letters)
{
    struct store_page page = event_page(of, partition, consumer);
    expect_numbers(&page, letters);
    store_page_clear(&page);
}
