/* What the service manager (base/service_manager.h) is told of this node, and when: it serves,
 * reads its options again, drains; its connections and users; why the store is away; and that its
 * workers turn, by the judgement of /livez. systemd shows the line in `systemctl status`.
 *
 * READY is said when both ports are served, also while Redis has not answered yet: systemd would
 * end a process that waits for it, and the process is what comes back with Redis. /readyz is the
 * answer for balancers.
 *
 * Threads: one at a time (main). */
#ifndef HERALD_SERVICE_REPORT_H
#define HERALD_SERVICE_REPORT_H

#include "gateway/base/service_manager.h"
#include "gateway/gateway.h"

enum { SERVICE_REPORT_WHY_MAX_BYTES = 256 };

/* Its members are for service_report.c. */
struct service_report {
    struct service_manager *manager;
    struct node *node;
    char reload_problem[SERVICE_REPORT_WHY_MAX_BYTES]; /* "": the options were taken */
    bool is_stopping;
    bool is_urgent;
    int64_t looked_ms;                  /* monotonic: the status was made last */
    int64_t said_ms;                    /* and said last */
    enum node_readiness said_readiness; /* another one is said at the next look */
};

/* Both stay the caller's, and must outlive the report. */
void service_report_init(struct service_report *report, struct service_manager *manager,
                         struct node *node);

/* Both ports are served. */
void service_report_ready(struct service_report *report);

/* SIGHUP: before the files are read, and after. `problem` says why the options stay as they were;
 * "": they were taken. */
void service_report_reloading(struct service_report *report);
void service_report_reloaded(struct service_report *report, const char *problem);

/* The process drains and then ends. From now on service_report_turn also asks for the time that it
 * takes, 10 s ahead while the workers turn, so that a unit's TimeoutStopSec need not know
 * --drain-time. */
void service_report_stopping(struct service_report *report);

/* A second signal: nobody is waited for any more. */
void service_report_urgent(struct service_report *report);

/* Call it again and again, while the gateway runs. Returns in how many ms it must be called again,
 * at most `at_most_ms`. */
int service_report_turn(struct service_report *report, int at_most_ms);

/* The status as it is now, for service_manager_take_over. */
void service_report_describe(struct service_report *report, char out[SERVICE_STATUS_MAX_BYTES]);

#endif
