/* A plain name: letters and digits of ASCII, dots, underscores and hyphens. Keys, devices, readers
 * of events, webhooks and nodes have such names: they stand in URLs, logs and metrics as they are.
 * Pure. */
#ifndef HERALD_PROTO_PLAIN_NAME_H
#define HERALD_PROTO_PLAIN_NAME_H

#include "proto/bytes/span.h"

bool plain_name_may_have(char byte);

/* 1 to max_bytes of them? */
bool plain_name_is_valid(struct span name, size_t max_bytes);

#endif
