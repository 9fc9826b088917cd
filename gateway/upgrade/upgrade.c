#include "gateway/upgrade/upgrade.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct upgrade {
    pthread_mutex_t lock;
    struct upgrade_status status;
    bool is_claimed; /* and not taken up yet */
};

enum err upgrade_new(struct upgrade **ret_upgrade)
{
    struct upgrade *upgrade = calloc(1, sizeof *upgrade);
    if (upgrade == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&upgrade->lock, NULL);
    *ret_upgrade = upgrade;
    return ERR_OK;
}

void upgrade_free(struct upgrade *upgrade)
{
    if (upgrade == NULL)
        return;
    pthread_mutex_destroy(&upgrade->lock);
    free(upgrade);
}

static void set_status(struct upgrade *upgrade, const struct upgrade_status *status)
{
    pthread_mutex_lock(&upgrade->lock);
    upgrade->status = *status;
    upgrade->status.at_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&upgrade->lock);
}

bool upgrade_is_under_way(const struct upgrade_status *status)
{
    return status->state == UPGRADE_STARTING || status->state == UPGRADE_SETTLING ||
           status->state == UPGRADE_HANDING_OVER;
}

bool upgrade_claim(struct upgrade *upgrade)
{
    pthread_mutex_lock(&upgrade->lock);
    bool is_free = !upgrade_is_under_way(&upgrade->status);
    if (is_free) {
        upgrade->status =
            (struct upgrade_status){.state = UPGRADE_STARTING, .at_ms = clock_monotonic_ms()};
        upgrade->is_claimed = true;
    }
    pthread_mutex_unlock(&upgrade->lock);
    return is_free;
}

bool upgrade_take_claim(struct upgrade *upgrade)
{
    pthread_mutex_lock(&upgrade->lock);
    bool is_claimed = upgrade->is_claimed;
    upgrade->is_claimed = false;
    pthread_mutex_unlock(&upgrade->lock);
    return is_claimed;
}

void upgrade_set_state(struct upgrade *upgrade, enum upgrade_state state)
{
    set_status(upgrade, &(struct upgrade_status){.state = state});
}

void upgrade_give_up(struct upgrade *upgrade, const char *why)
{
    char event[UPGRADE_REASON_MAX_BYTES + 32];
    struct upgrade_status now;
    upgrade_read_status(upgrade, &now);
    bool was_frozen = now.state == UPGRADE_HANDING_OVER;
    struct upgrade_status status = {.state = was_frozen ? UPGRADE_THAWED : UPGRADE_GIVEN_UP};
    snprintf(status.reason, sizeof status.reason, "%s", why);
    snprintf(event, sizeof event, "upgrade given up: %s", why);
    metrics_count(was_frozen ? METRIC_UPGRADES_THAWED : METRIC_UPGRADES_REFUSED);
    set_status(upgrade, &status);
    log_fields(LOG_ERROR, event, NULL, 0); /* whoever reads that, asks then */
}

void upgrade_end(struct upgrade *upgrade, const char *version, uint32_t n_sessions,
                 int64_t pause_ms)
{
    struct upgrade_status status = {
        .state = UPGRADE_ENDED, .n_sessions = n_sessions, .pause_ms = pause_ms};
    snprintf(status.version, sizeof status.version, "%s", version);
    metrics_count(METRIC_UPGRADES_DONE);
    set_status(upgrade, &status);
}

void upgrade_read_status(struct upgrade *upgrade, struct upgrade_status *ret_status)
{
    pthread_mutex_lock(&upgrade->lock);
    *ret_status = upgrade->status;
    pthread_mutex_unlock(&upgrade->lock);
}

const char *upgrade_state_name(enum upgrade_state state)
{
    static const char *const names[] = {"none",    "starting", "settling", "handing-over",
                                        "refused", "thawed",   "done"};
    return names[state];
}
