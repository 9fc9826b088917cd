/* The two sides of an upgrade as the program goes through them: the part of main.c that knows both
 * the gateway and the admin API there. On the main thread. */
#ifndef HERALD_MAIN_UPGRADE_H
#define HERALD_MAIN_UPGRADE_H

#include "admin/admin.h"
#include "gateway/base/options.h"
#include "gateway/gateway.h"
#include "gateway/service_report.h"

struct upgrade_give;
struct upgrade_take;

/* Its members are for main_upgrade.c. */
struct main_upgrade {
    struct node *node;
    struct admin *admin;
    char **argv;
    struct service_manager *manager;
    struct service_report *report;
    struct buf place;          /* of the store */
    struct upgrade_give *give; /* this process hands over; NULL: it does not */
    struct upgrade_take
        *take; /* it has taken over, and the process before has not let go yet; NULL */
};

/* ---- the running process ---- */

/* It serves. `take`: that it came to that by an upgrade; from here on it is the upgrade's. */
void main_upgrade_init(struct main_upgrade *upgrade, struct node *node, struct admin *admin,
                       char **argv, struct service_manager *manager, struct service_report *report,
                       struct upgrade_take *take);
void main_upgrade_fini(struct main_upgrade *upgrade);

/* SIGUSR2. */
void main_upgrade_ask(struct main_upgrade *upgrade);

/* Call it each time around. In how many ms it must be called again, at most `at_most_ms`; -1: the
 * new process has taken over, and this one is to end. */
int main_upgrade_turn(struct main_upgrade *upgrade, int at_most_ms);

/* This process stops, or drains: no upgrade goes on. */
void main_upgrade_cancel(struct main_upgrade *upgrade);

/* ---- the new process ---- */

/* Starts the gateway and the admin API with everything that the running process has. On an error
 * *why is what is said there and here; the caller leaves with _exit then. ERR_INVALID_FIELD: an
 * option. */
MUST_CHECK enum err main_upgrade_take(struct upgrade_take *take, const struct options *options,
                                      struct service_manager *manager,
                                      struct service_report *report, struct node **ret_node,
                                      struct admin **ret_admin, char *why, size_t why_cap);

#endif
