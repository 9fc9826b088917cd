/* Counts a request that was refused on the subscriber port, by the status of its answer. Any
 * thread. */
#ifndef HERALD_REFUSED_H
#define HERALD_REFUSED_H

#include "gateway/base/metrics.h"

void refused_count(unsigned status);

#endif
