/* The name of a node, as logs, answers and Redis's list of clients show it: 1 to 64 letters,
 * digits, dots, underscores and hyphens. Pure but for node_name_choose. */
#ifndef HERALD_BASE_NODE_NAME_H
#define HERALD_BASE_NODE_NAME_H

#include <stdbool.h>

enum { NODE_NAME_MAX_BYTES = 64 };

bool node_name_is_valid(const char *name);

/* A name from any text: its first 64 bytes, with a hyphen in place of each that a name may not
 * have; "local" if there are none. */
void node_name_from(const char *text, char out[NODE_NAME_MAX_BYTES + 1]);

/* `option` (--node-name), or if that is empty a name from the host's. */
void node_name_choose(const char *option, char out[NODE_NAME_MAX_BYTES + 1]);

#endif
