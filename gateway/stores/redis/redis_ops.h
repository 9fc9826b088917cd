/* The requests of the store as scripts, one per user and request (a ticket: one command), on the
 * lane's thread. on_done never runs inside these calls. */
#ifndef HERALD_STORE_REDIS_OPS_H
#define HERALD_STORE_REDIS_OPS_H

#include "gateway/stores/redis/redis_commands.h"

/* What store_request.op says while a request waits for its lane. Afterwards an append counts there
 * how many of its targets are still to be answered. */
enum redis_op {
    REDIS_OP_APPEND,
    REDIS_OP_BROADCAST, /* no script: redis_broadcast.h carries it out */
    REDIS_OP_PAGE,
    REDIS_OP_PAGE_LOOK, /* the same again, where Redis refuses writes: only read */
    REDIS_OP_ACK,
    REDIS_OP_PEEK,
    REDIS_OP_LOOK,
    REDIS_OP_WITHDRAW,
    REDIS_OP_BLOCK,
    REDIS_OP_TICKET_GIVE,
    REDIS_OP_TICKET_TAKE,
};

/* Carries it out; the page of an HTTP connection comes here once its subscription stands. */
void redis_ops_run(struct redis_commands *commands, struct store_request *request);

/* Answers it with an error, at the end of the turn. */
void redis_ops_refuse(struct redis_commands *commands, struct store_request *request,
                      enum err error);

#endif
