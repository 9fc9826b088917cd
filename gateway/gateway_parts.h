/* What the sources of the gateway's start and stop share, for them alone. */
#ifndef HERALD_GATEWAY_PARTS_H
#define HERALD_GATEWAY_PARTS_H

#include "gateway/node/worker.h"

/* What each command means, by enum worker_command_kind. */
extern const worker_command_fn gateway_commands[COMMANDS];

#endif
