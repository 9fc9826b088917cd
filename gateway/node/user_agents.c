#include "gateway/node/user_agents.h"

#include "gateway/base/hash.h"

#include <stdlib.h>

enum { MAX_BYTES = 256 };

static struct user_agent **bucket_of(struct user_agents *agents, struct span text)
{
    return &agents->buckets[hash_bytes(text) % USER_AGENT_BUCKETS];
}

static struct span text_of(const struct user_agent *agent)
{
    return (struct span){agent->text, agent->len};
}

struct user_agent *user_agents_get(struct user_agents *agents, struct span text)
{
    char clean[MAX_BYTES];
    size_t len = text.len < MAX_BYTES ? text.len : MAX_BYTES;
    if (len == 0)
        return NULL;
    for (size_t i = 0; i < len; i++)
        clean[i] = text.bytes[i] >= 0x20 && text.bytes[i] < 0x7f ? text.bytes[i] : '?';

    struct span wanted = {clean, len};
    struct user_agent **bucket = bucket_of(agents, wanted);
    for (struct user_agent *agent = *bucket; agent != NULL; agent = agent->chain) {
        if (span_equal(text_of(agent), wanted)) {
            agent->refs++;
            return agent;
        }
    }
    struct user_agent *agent = malloc(sizeof *agent + len);
    if (agent == NULL)
        return NULL;
    *agent = (struct user_agent){.chain = *bucket, .refs = 1, .len = (uint16_t)len};
    memcpy(agent->text, clean, len);
    *bucket = agent;
    return agent;
}

void user_agents_put(struct user_agents *agents, struct user_agent *agent)
{
    if (agent == NULL || --agent->refs > 0)
        return;
    struct user_agent **link = bucket_of(agents, text_of(agent));
    while (*link != agent)
        link = &(*link)->chain;
    *link = agent->chain;
    free(agent);
}

void user_agents_fini(struct user_agents *agents)
{
    for (size_t i = 0; i < USER_AGENT_BUCKETS; i++) {
        while (agents->buckets[i] != NULL) {
            struct user_agent *agent = agents->buckets[i];
            agents->buckets[i] = agent->chain;
            free(agent);
        }
    }
}
