/* Which Redis a connection leads to: the run_id in its answer to INFO server, which is another for
 * each start of each Redis. A name, or a balancer, may lead two connections to two of them. */
#ifndef HERALD_STORE_REDIS_RUN_ID_H
#define HERALD_STORE_REDIS_RUN_ID_H

#include "gateway/stores/redis/redis_reader.h"

#include <string.h>

enum { REDIS_RUN_ID_LEN = 40 };

struct redis_run_id {
    char text[REDIS_RUN_ID_LEN + 1]; /* empty: not known, or not told to us */
};

static inline void redis_run_id_read(const struct redis_value *reply, struct redis_run_id *ret_id)
{
    static const char name[] = "run_id:";
    struct span text;
    ret_id->text[0] = '\0';
    if (!redis_value_text(reply, &text) || text.len == 0)
        return;
    const char *at = memmem(text.bytes, text.len, name, sizeof name - 1);
    size_t rest = at != NULL ? text.len - (size_t)(at - text.bytes) : 0;
    if (rest < sizeof name - 1 + REDIS_RUN_ID_LEN)
        return;
    memcpy(ret_id->text, at + sizeof name - 1, REDIS_RUN_ID_LEN);
    ret_id->text[REDIS_RUN_ID_LEN] = '\0';
}

static inline bool redis_run_id_differs(const struct redis_run_id *a, const struct redis_run_id *b)
{
    return a->text[0] != '\0' && b->text[0] != '\0' && strcmp(a->text, b->text) != 0;
}

#endif
