/* The result of a push for one user, as JSON (CONTRACT section 3): what the admin API and the demo
 * page answer. Pure. */
#ifndef HERALD_PUSH_RESULT_H
#define HERALD_PUSH_RESULT_H

#include "gateway/requests/requests.h"

/* The longest result has 219 bytes: delivered at once to a repeat, with every number at its
 * largest. */
enum { PUSH_RESULT_MAX_BYTES = 256 };

/* Writes the members of one result, without braces and without a NUL, at most PUSH_RESULT_MAX_BYTES
 * of them; returns where they end. The target has no error. */
char *push_result_put(char *at, const struct gateway_push *push,
                      const struct gateway_target *target);

/* The HTTP status: 202 if the notification is kept, 200 if nothing more will happen. */
unsigned push_result_status(const struct gateway_push *push);

#endif
