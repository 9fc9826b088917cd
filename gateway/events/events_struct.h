/* What the parts of the event log share: node->events, which is NULL where --events is empty, so
 * that nothing costs anything there. Made by events.c before the store is opened, constant
 * afterwards but for the atomics. A part includes this, and never events.h. */
#ifndef HERALD_EVENTS_STRUCT_H
#define HERALD_EVENTS_STRUCT_H

#include "gateway/node/node.h"
#include "proto/note/event.h"

struct alerts;
struct client_messages;
struct event_gauges;
struct event_log;
struct event_pulls;
struct event_resets;
struct presence;
struct serving;
struct webhooks;

struct events {
    struct node *node;
    unsigned types; /* an EVENT_BIT for each type that is kept */
    struct event_log *log;
    struct event_pulls *pulls;
    struct event_resets *resets;
    struct event_gauges *gauges;
    struct presence *presence;
    struct serving *serving;
    struct client_messages *client_messages;
    struct alerts *alerts;
    struct webhooks *webhooks;
    atomic_bool is_started; /* the subscriber port is open: requests are made of the store */
    atomic_bool is_stopped; /* no further requests are made of it */
};

static inline bool events_keep(const struct events *events, enum event_type type)
{
    return (events->types & EVENT_BIT(type)) != 0;
}

#endif
