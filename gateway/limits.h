/* How many connections this process can hold, and where it may listen. One thread at a time. */
#ifndef HERALD_LIMITS_H
#define HERALD_LIMITS_H

#include "gateway/base/options.h"

/* Raises the soft limit of open files to the hard one. Once, at start. */
void limits_raise_files(void);

/* How many connections RLIMIT_NOFILE leaves room for, after the admin port and the store. */
uint32_t limits_room_for_connections(void);

/* --max-connections, or what RLIMIT_NOFILE leaves after the admin port and the store. Logs when
 * that is little, and when the option asks for more than there is. */
uint32_t limits_max_connections(const struct options *options);

/* Nothing is open by accident (CONTRACT section 1). ERR_INVALID_FIELD: *why says what to do. */
MUST_CHECK enum err limits_check_exposure(const struct options *options, char *why, size_t why_cap);

#endif
