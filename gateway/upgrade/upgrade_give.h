/* The running process's side of a hand-over: starts its successor, and when that is ready, stops
 * the world and gives everything away. On the main thread, between the program's other business. */
#ifndef HERALD_UPGRADE_GIVE_H
#define HERALD_UPGRADE_GIVE_H

#include "gateway/upgrade/upgrade_old.h"

/* Why this process can start no upgrade at all. true: *why is a sentence. Any thread. */
MUST_CHECK bool upgrade_is_impossible(const struct node *node, char why[UPGRADE_WHY_MAX_BYTES]);

/* START, of an upgrade that was claimed (upgrade.h). NULL: it was given up; the log says why. */
struct upgrade_give *upgrade_give_start(const struct upgrade_old *old);

enum upgrade_step {
    UPGRADE_GOES_ON,
    UPGRADE_STAYS, /* given up; everything is as before */
    UPGRADE_LEFT,  /* the new process has everything that travels. What is left here: sessions that
                    * cannot travel, and requests whose answers are on their way */
};

/* Call it again and again, several times in 100 ms. It returns at once, but for the freeze, which
 * it goes through as a whole; a signal to stop that comes meanwhile gives the upgrade up. */
enum upgrade_step upgrade_give_turn(struct upgrade_give *give);

/* Ends the new process; everything is as before. */
void upgrade_give_cancel(struct upgrade_give *give, const char *why);

/* After STAYS, LEFT or upgrade_give_cancel. After LEFT the link is closed here, which tells the new
 * process that nothing more comes. */
void upgrade_give_free(struct upgrade_give *give); /* NULL is fine */

#endif
