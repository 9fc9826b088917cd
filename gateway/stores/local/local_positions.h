/* Devices that are not seen any more. For local_sweep.c. */
#ifndef HERALD_STORE_LOCAL_POSITIONS_H
#define HERALD_STORE_LOCAL_POSITIONS_H

#include "gateway/stores/local/local_state.h"

/* Has one given no sign of life for 30 days? They are kept to the day, and a day more makes sure
 * that it is never less than promised. */
bool local_has_stale_devices(const struct inbox *inbox, uint16_t today);

/* Forgets those. Room in the group is reserved for all entries. */
void local_forget_devices(struct local_state *state, struct inbox *inbox, uint16_t today);

#endif
