/* Requests of the event log as calls that wait for their answer, as contract_calls.h. */
#ifndef HERALD_TESTS_STORE_EVENT_CALLS_H
#define HERALD_TESTS_STORE_EVENT_CALLS_H

#include "gateway/store/store_event_request.h"
#include "tests/store/contract_calls.h"

/* What a node knows of the clock of a shared store is what it has heard, and so behind by as long
 * as the way takes. */
enum { CLOCK_SLACK_MS = 1000 };

struct event_append_call {
    struct store_event_append append;
    struct call call;
};

struct consumers_call {
    struct store_consumers consumers;
    struct call call;
};

void event_append_begin(struct store *to, struct event_append_call *call,
                        struct store_event_append asked);

struct store_event_append event_append_run(struct store *to, struct store_event_append asked);

/* One event; answers its number. */
uint64_t event_append(struct store *to, unsigned partition, const char *data);

/* So many, one after the other: {"n":1} and so on. */
void event_append_numbers(struct store *to, unsigned partition, int from, int to_number);

enum err event_append_bounded(struct store *to, unsigned partition, const char *data);

/* After the consumer's position, with what is missing. Empty: without a consumer. */
struct store_page event_page(struct store *to, unsigned partition, const char *consumer);

/* Of the partition's present epoch. */
enum err event_ack(struct store *to, unsigned partition, const char *consumer, uint64_t seq);

struct store_consumers consumers_run(struct store *to, struct store_consumers asked);

struct store_consumers consumers_list(struct store *to, unsigned partition);

struct store_consumers consumer_add(struct store *to, unsigned partition, const char *consumer,
                                    bool from_now);

struct store_consumers consumer_remove(struct store *to, unsigned partition, const char *consumer);

/* The consumer of this key; the test fails if it is not in the list. */
const struct store_consumer *find_consumer(const struct store_consumers *consumers,
                                           const char *consumer);

/* Where it stands. */
uint64_t consumer_position(struct store *to, unsigned partition, const char *consumer);

/* What the consumer reads, a letter a number as in expect_numbers. */
void expect_events(struct store *of, unsigned partition, const char *consumer, const char *letters);

#endif
