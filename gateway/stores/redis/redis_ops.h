/* The requests of the store as scripts, one per user and request (a ticket: one command; a page:
 * mostly a script and a command; appends: redis_push.h), on the lane's thread. on_done never runs
 * inside these calls. */
#ifndef HERALD_STORE_REDIS_OPS_H
#define HERALD_STORE_REDIS_OPS_H

#include "gateway/store/store_backend.h"
#include "gateway/stores/redis/redis_commands.h"

/* What store_request.op says while a request waits for its lane, beside enum store_op. Afterwards
 * an append counts there how many of its targets are still to be answered. */
enum redis_op {
    REDIS_OP_PAGE_ENTRIES = STORE_OPS, /* what waits on a page, after page_fast.lua */
    REDIS_OP_PAGE_WHOLE,               /* a page once more, by a script alone */
    REDIS_OP_PAGE_READ_ONLY,           /* a page once more, where Redis refuses writes */
    REDIS_OP_NODES,                    /* redis_nodes.h */
    REDIS_OP_BROADCAST,                /* no script: redis_broadcast.h carries it out */
    REDIS_OP_ASK,                      /* no script: redis_user_ask.h carries it out */
    REDIS_OPS,
};

/* Carries out what is no append (redis_push.h) and no broadcast; the page of an HTTP connection
 * comes here once its subscription stands. */
void redis_ops_run(struct redis_commands *commands, struct store_request *request);

/* Answers it with an error, at the end of the turn. */
void redis_ops_refuse(struct redis_commands *commands, struct store_request *request,
                      enum err error);

#endif
