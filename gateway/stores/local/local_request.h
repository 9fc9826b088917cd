/* A request of any kind: carried out by the function of its kind, and its answer taken back when
 * the group it belonged to was not committed. For local_core.c. */
#ifndef HERALD_STORE_LOCAL_REQUEST_H
#define HERALD_STORE_LOCAL_REQUEST_H

#include "gateway/stores/local/local_state.h"

/* In store_request.op, beside the enum store_op: it was carried out when the group had changes
 * already. */
enum { OP_KIND = 0xff, OP_SAW_GROUP = 0x100 };

static inline int local_request_op(const struct store_request *request)
{
    return request->op & OP_KIND;
}

void local_apply_request(struct local_state *state, struct store_request *request);

/* Of a request that saw the group, which was not committed. */
void local_take_answer_back(struct store_request *request);

/* A part of it was in this group; it is carried out again. */
void local_settle_unfinished(struct store_request *request, bool is_committed);

#endif
