/* What came of a push for one user, as JSON (CONTRACT section 3). Pure. */
#ifndef HERALD_ADMIN_PUSH_RESULT_H
#define HERALD_ADMIN_PUSH_RESULT_H

#include "admin/json_out.h"
#include "gateway/gateway.h"

/* The members of one result, without braces. The target has no error. */
void push_result_write(struct json_out *out, const struct gateway_push *push,
                       const struct gateway_target *target);

/* {"results":[...]}, one for each target, whatever its error. `refusal` is the detail where the
 * store kept nothing: what gateway_store_refusal says, or empty. */
void push_result_write_list(struct json_out *out, const struct gateway_push *push,
                            const char *refusal);

/* 202: kept. 200: nothing more is to come. */
unsigned push_result_status(const struct gateway_push *push);

#endif
