#include "gateway/service_report.h"

#include "gateway/base/clock.h"
#include "gateway/node/node.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    LOOK_MS = 1000,        /* between two looks at the node */
    SAY_MS = 5000,         /* between two statuses of which only the numbers differ */
    EXTEND_MS = 10 * 1000, /* how long a stop may take from the last look on */
};

static const char *plural_of(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static size_t describe_numbers(const struct service_report *report, char *out, size_t cap)
{
    struct gateway_stats stats;
    gateway_stats(report->node, &stats);
    if (report->is_urgent)
        return (size_t)snprintf(out, cap, "a second signal: stopping at once");
    if (report->is_stopping || stats.is_draining)
        return (size_t)snprintf(out, cap, "draining, %" PRIu64 " connection%s left",
                                stats.connections, plural_of(stats.connections));
    return (size_t)snprintf(out, cap, "serving; %" PRIu64 " connection%s, %" PRIu64 " user%s",
                            stats.connections, plural_of(stats.connections), stats.users,
                            plural_of(stats.users));
}

/* NULL: nothing is wrong with the store. */
static const char *describe_store(const struct service_report *report)
{
    switch (node_readiness(report->node)) {
    case NODE_PARTLY:
        return "a part of the store is away";
    case NODE_DEGRADED:
    case NODE_NO_STORE:
        return store_is_shared(report->node->store) ? "the store is away"
                                                    : "the store takes no writes";
    case NODE_READY:
    case NODE_NO_WEBHOOKS:
    case NODE_DRAINING:
        break;
    }
    return NULL;
}

void service_report_describe(struct service_report *report, char out[SERVICE_STATUS_MAX_BYTES])
{
    enum { CAP = SERVICE_STATUS_MAX_BYTES };
    size_t len = describe_numbers(report, out, CAP);
    const char *store = describe_store(report);
    if (store != NULL) {
        char why[STORE_PROBLEM_MAX_BYTES];
        gateway_store_problem(report->node, why);
        len += (size_t)snprintf(out + len, CAP - len, "; %s: %s", store,
                                why[0] != '\0' ? why : "it has not answered yet");
    }
    if (report->reload_problem[0] != '\0' && len < CAP)
        snprintf(out + len, CAP - len, "; the last SIGHUP changed no option: %s",
                 report->reload_problem);
}

static void note_said(struct service_report *report)
{
    report->said_ms = clock_monotonic_ms();
    report->said_readiness = node_readiness(report->node);
}

/* The status that is about to be said with a state. */
static void take_status(struct service_report *report, char status[SERVICE_STATUS_MAX_BYTES])
{
    service_report_describe(report, status);
    report->looked_ms = clock_monotonic_ms();
    note_said(report);
}

void service_report_init(struct service_report *report, struct service_manager *manager,
                         struct node *node)
{
    *report = (struct service_report){.manager = manager, .node = node};
}

void service_report_ready(struct service_report *report)
{
    char status[SERVICE_STATUS_MAX_BYTES];
    take_status(report, status);
    service_manager_ready(report->manager, status);
}

void service_report_reloading(struct service_report *report)
{
    service_manager_reloading(report->manager, "reading the options and files again");
}

void service_report_reloaded(struct service_report *report, const char *problem)
{
    snprintf(report->reload_problem, sizeof report->reload_problem, "%s", problem);
    service_report_ready(report);
}

void service_report_stopping(struct service_report *report)
{
    char status[SERVICE_STATUS_MAX_BYTES];
    report->is_stopping = true;
    take_status(report, status);
    service_manager_stopping(report->manager, status);
    service_manager_extend(report->manager, EXTEND_MS);
}

void service_report_urgent(struct service_report *report)
{
    char status[SERVICE_STATUS_MAX_BYTES];
    report->is_urgent = true;
    service_report_describe(report, status);
    service_manager_status(report->manager, status);
}

static void say_status(struct service_report *report, int64_t now_ms)
{
    char status[SERVICE_STATUS_MAX_BYTES];
    report->looked_ms = now_ms;
    if (report->is_stopping && node_is_live(report->node))
        service_manager_extend(report->manager, EXTEND_MS);
    if (!report->is_stopping && node_readiness(report->node) == report->said_readiness &&
        now_ms - report->said_ms < SAY_MS)
        return;
    service_report_describe(report, status);
    if (service_manager_status(report->manager, status))
        note_said(report);
}

int service_report_turn(struct service_report *report, int at_most_ms)
{
    if (!service_manager_is_told(report->manager))
        return at_most_ms;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - report->looked_ms >= LOOK_MS)
        say_status(report, now_ms);
    int64_t left_ms = report->looked_ms + LOOK_MS - now_ms;
    return service_manager_turn(report->manager, node_is_live(report->node),
                                left_ms < at_most_ms ? (int)left_ms : at_most_ms);
}
