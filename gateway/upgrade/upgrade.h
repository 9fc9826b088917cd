/* How the upgrade of this process is: one at a time, and what became of the last one. Of a running
 * process it is the one that it gives its sessions away in; of one that has taken over, how it came
 * to them. Any thread. */
#ifndef HERALD_UPGRADE_H
#define HERALD_UPGRADE_H

#include "proto/error.h"

#include <stdbool.h>
#include <stdint.h>

enum upgrade_state {
    UPGRADE_NONE,
    UPGRADE_STARTING,     /* asked for, or the new process is not ready yet */
    UPGRADE_SETTLING,     /* it is, and admin requests that are under way end */
    UPGRADE_HANDING_OVER, /* nothing is read or written */
    UPGRADE_GIVEN_UP,     /* refused, before anything stood still */
    UPGRADE_THAWED,       /* given up after that */
    UPGRADE_ENDED,        /* done: the new process has everything */
};

enum { UPGRADE_REASON_MAX_BYTES = 1024, UPGRADE_VERSION_MAX_BYTES = 64 };

struct upgrade_status {
    enum upgrade_state state;
    char reason[UPGRADE_REASON_MAX_BYTES];   /* GIVEN_UP, THAWED */
    char version[UPGRADE_VERSION_MAX_BYTES]; /* ENDED: of the process before */
    uint32_t n_sessions;                     /* ENDED */
    int64_t pause_ms;                        /* ENDED: how long nothing was read or written */
    int64_t at_ms;                           /* monotonic: when it came to be so */
};

struct upgrade;

/* ERR_NO_MEMORY. */
MUST_CHECK enum err upgrade_new(struct upgrade **ret_upgrade);
void upgrade_free(struct upgrade *upgrade); /* NULL is fine */

/* Begins one: STARTING. false: one is under way. */
MUST_CHECK bool upgrade_claim(struct upgrade *upgrade);

/* One that was claimed and whose beginning nobody has taken up yet. */
MUST_CHECK bool upgrade_take_claim(struct upgrade *upgrade);

void upgrade_set_state(struct upgrade *upgrade, enum upgrade_state state);
/* Given up, in the way that its state tells; counted, and logged as "upgrade given up: WHY". */
void upgrade_give_up(struct upgrade *upgrade, const char *why);
/* This process has taken over: ENDED; counted. */
void upgrade_end(struct upgrade *upgrade, const char *version, uint32_t n_sessions,
                 int64_t pause_ms);

void upgrade_read_status(struct upgrade *upgrade, struct upgrade_status *ret_status);
bool upgrade_is_under_way(const struct upgrade_status *status);

/* As GET /stats spells it: "handing-over". */
const char *upgrade_state_name(enum upgrade_state state);

#endif
