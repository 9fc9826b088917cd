/* The results of a push, as JSON (CONTRACT section 3). Pure. */
#ifndef HERALD_ADMIN_PUSH_RESULTS_H
#define HERALD_ADMIN_PUSH_RESULTS_H

#include "admin/json_out.h"
#include "gateway/requests/requests.h"

/* One result as an object. The target has no error. */
void push_results_write_one(struct json_out *out, const struct gateway_push *push,
                            const struct gateway_target *target);

/* {"results":[...]}, one for each target, whatever its error. `refusal` is the detail for targets
 * that the store did not keep: the text of gateway_store_refusal, or empty. */
void push_results_write(struct json_out *out, const struct gateway_push *push, const char *refusal);

/* Why a target was refused that asked for an alert and found no room. NULL: it did not. */
const char *push_results_no_room(const struct gateway_push *push,
                                 const struct gateway_target *target);

#endif
