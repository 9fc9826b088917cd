/* How unlike two short texts are, for the advice in an error about an unknown name. Pure. */
#ifndef HERALD_PROTO_TEXT_DISTANCE_H
#define HERALD_PROTO_TEXT_DISTANCE_H

#include "proto/bytes/span.h"

enum { TEXT_DISTANCE_MAX_BYTES = 64 };

/* The number of bytes to insert, delete or replace to turn a into b (Levenshtein distance).
 * SIZE_MAX: one of them is longer than TEXT_DISTANCE_MAX_BYTES. */
size_t text_distance(struct span a, struct span b);

#endif
