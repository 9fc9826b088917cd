/* The User-Agent strings of a worker's sessions, each kept once: a million connections send a few
 * thousand different ones. One thread. */
#ifndef HERALD_USER_AGENTS_H
#define HERALD_USER_AGENTS_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { USER_AGENT_BUCKETS = 256 };

struct user_agent {
    struct user_agent *chain;
    uint32_t refs;
    uint16_t len;
    char text[];
};

struct user_agents {
    struct user_agent *buckets[USER_AGENT_BUCKETS];
};

/* Takes one reference to the string, cut to 256 bytes; bytes that are not printable ASCII become
 * '?'. NULL for an empty one, and when out of memory. */
struct user_agent *user_agents_get(struct user_agents *agents, struct span text);
void user_agents_put(struct user_agents *agents, struct user_agent *agent); /* NULL is fine */
void user_agents_fini(struct user_agents *agents);

#endif
