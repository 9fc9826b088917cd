/* What backends ask of the event log. Every function here may be called from any thread between
 * gateway_start and gateway_stop. A request is a struct that the caller owns and keeps, with all it
 * points to, until on_done has run: once, inside the call or on any thread, so it must not block.
 *
 * ERR_CONFLICT with an empty detail: this server keeps no events. */
#ifndef HERALD_EVENT_REQUESTS_H
#define HERALD_EVENT_REQUESTS_H

#include "gateway/store/store_event_request.h"
#include "proto/note/event_cursor.h"

struct node;

enum {
    EVENTS_LIMIT_MAX = 1000,
    EVENTS_MAX_WAIT_MS = 30000,
    /* An answer ends with the event that reaches this size: a limit of events would be 64 MiB. */
    EVENTS_ANSWER_BYTES = 4 << 20,
    EVENTS_ANSWER_MAX_BYTES = 8 << 20,
    /* Room for the names of all consumers and endpoints. */
    EVENTS_DETAIL_MAX_BYTES = 80 + STORE_MAX_CONSUMERS * (STORE_CONSUMER_MAX_BYTES + 2),
};

/* GET /events: acknowledges up to a cursor, then reads on from the consumer's position. A consumer
 * that does not exist is made in all partitions. */
struct gateway_events {
    void (*on_done)(struct gateway_events *events);
    struct span consumer; /* event_consumer_is_valid */
    uint32_t limit;       /* 1..EVENTS_LIMIT_MAX */
    uint32_t wait_ms;     /* 0..EVENTS_MAX_WAIT_MS: for how long, while there is none */
    unsigned types;       /* an EVENT_BIT for each that is read; gaps always are */
    bool from_now;        /* a new consumer begins after the newest events, not with the oldest */
    bool has_ack;
    struct event_cursor ack; /* of this consumer */
    /* out */
    enum err error; /* ERR_OK; ERR_CONFLICT: `detail` says why; ERR_STORE_UNAVAILABLE,
                     * ERR_NO_MEMORY, ERR_SYSTEM */
    char detail[EVENTS_DETAIL_MAX_BYTES];
    struct buf events; /* JSON objects with commas between them; gateway_events_clear */
    char cursor[EVENT_CURSOR_MAX_BYTES];
    uint64_t number; /* the gateway's own, as is what follows */
    void *own;
};
void gateway_events(struct node *node, struct gateway_events *asked);
void gateway_events_clear(struct gateway_events *asked); /* one that was never asked is fine */

/* For a reader whose client has gone: if it waits, it is answered soon. */
void gateway_events_give_up(struct node *node, struct gateway_events *asked);

/* POST /events/ack. */
struct gateway_event_ack {
    void (*on_done)(struct gateway_event_ack *ack);
    struct event_cursor cursor; /* it names the consumer */
    /* out */
    enum err error; /* ERR_OK; ERR_NOT_FOUND: there is no such consumer; ERR_CONFLICT,
                     * ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    uint64_t lag;   /* events that it has not acknowledged */
};
void gateway_event_ack(struct node *node, struct gateway_event_ack *asked);

/* GET /events/consumers: those that pull, and webhook endpoints. */
struct gateway_event_consumer {
    char name[STORE_CONSUMER_MAX_BYTES + 1];
    bool is_webhook;
    bool is_in_file;   /* is_webhook: this node's file has it */
    uint64_t lag;      /* events that it has not acknowledged */
    int64_t lag_ms;    /* the age of the oldest of these; 0: there is none */
    int64_t called_ms; /* since 1970: its last call, to the day at least */
};
struct gateway_event_consumers {
    void (*on_done)(struct gateway_event_consumers *consumers);
    enum err error; /* out: ERR_OK, ERR_CONFLICT, ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    size_t n;       /* out: by name, one that pulls before an endpoint of the same name */
    struct gateway_event_consumer list[STORE_MAX_CONSUMERS];
};
void gateway_event_consumers(struct node *node, struct gateway_event_consumers *asked);

/* DELETE /events/consumers/NAME: the consumer that pulls, or if there is none of this name, the
 * webhook endpoint that no file has any more. */
struct gateway_event_forget {
    void (*on_done)(struct gateway_event_forget *forget);
    struct span consumer; /* event_consumer_is_valid */
    enum err error;       /* out: as of gateway_event_ack */
    bool is_in_use;       /* out, ERR_CONFLICT: it is an endpoint that a node's file has */
    uint64_t unread;      /* out: events that it had not acknowledged */
};
void gateway_event_forget(struct node *node, struct gateway_event_forget *asked);

#endif
