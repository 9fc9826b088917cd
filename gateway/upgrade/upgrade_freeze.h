/* From FREEZE to COMMIT, on the side of the running process: the world stops, everything that
 * travels is given, and either the new process has it or the world goes on. For upgrade_give. */
#ifndef HERALD_UPGRADE_FREEZE_H
#define HERALD_UPGRADE_FREEZE_H

#include "gateway/upgrade/upgrade_old.h"

/* true: the new process has everything. false: give->why says why not; the new process is ended,
 * and the connections, timers and ports go on as before. */
MUST_CHECK bool upgrade_freeze(struct upgrade_give *give);

#endif
