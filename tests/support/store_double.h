/* Stands between the node of node_fixture.h and its memory store: counts what the node asks, keeps
 * answers back, and is away when the test says so; it answers no page at once. One thread. Failures
 * end the test (criterion). */
#ifndef HERALD_TESTS_STORE_DOUBLE_H
#define HERALD_TESTS_STORE_DOUBLE_H

#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"

/* After node_fixture_start, before the first request. The fixture closes it with the store. */
void store_double_start(void);

/* How many requests of that kind the node has made. */
unsigned store_double_count(enum store_op op);

/* How many of the pages were arrivals. */
unsigned store_double_arrivals(void);

/* In how many calls it has made them. */
unsigned store_double_calls(enum store_op op);

/* How many of them have no answer yet. */
unsigned store_double_under_way(enum store_op op);

/* The memory store does what is asked, but the answers are kept back until the release. */
void store_double_hold(enum store_op op);
void store_double_release(enum store_op op);

/* Requests of the event log to write do not reach the memory store: the double numbers the events
 * of each partition itself, and answers with this error from now on. */
void store_double_play_events(enum err error);

/* What is asked of the consumers of that partition fails, and does nothing; STORE_PARTITIONS: of
 * none, as at first. */
void store_double_fail_consumers(unsigned partition);

/* The last request of the event log to write, while it has no answer. */
const struct store_event_append *store_double_last_append(void);

/* While it is away pages, positions, looks, what is sent and ends of alerts are answered
 * ERR_STORE_UNAVAILABLE, and nothing is done. */
void store_double_set_away(bool is_away);

/* The notifications of this user cannot be looked up; NULL: all can, as at first. */
void store_double_fail_looks(const char *user);

/* The clock of all users' parts is so far ahead of the store's own. */
void store_double_set_ahead(int64_t ms);

/* It says that other nodes share it. Before the first request. */
void store_double_set_shared(void);

/* It says that so many nodes have received what is pushed and sent from now on; if it is above 0,
 * that every user is online somewhere. */
void store_double_set_nodes(unsigned n_nodes);

/* It says that this node was not told of what is sent from now on. */
void store_double_set_unheard(void);

/* It says that each user who is pushed to from now on has devices. */
void store_double_set_devices(void);

/* What it was told of pushes that wait, and the answers to those of other nodes. */
struct store_double_watch {
    unsigned n_watches;
    unsigned n_answers;
    struct store_watch watch; /* the last one, of either */
    uint64_t acked;           /* of the last answer */
    unsigned acks_before;     /* positions that were written before the last answer */
};
struct store_double_watch store_double_watches(void);

/* The last alert that was ended; these requests do not reach the memory store. */
struct store_double_alert_end {
    unsigned n; /* so many were */
    uint64_t seq;
    char event[2048]; /* empty: none */
};
struct store_double_alert_end store_double_last_alert_end(void);

/* The position that the last store_ack was about, and what it said was written. */
struct store_double_ack {
    char device[64];
    uint64_t seq;
    uint64_t written;
};
struct store_double_ack store_double_last_ack(void);

#endif
