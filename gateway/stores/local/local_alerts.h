/* Alerts that pushes ask for. For the local_*.c files. */
#ifndef HERALD_STORE_LOCAL_ALERTS_H
#define HERALD_STORE_LOCAL_ALERTS_H

#include "gateway/stores/local/local_state.h"
#include "gateway/stores/local/pending_alerts.h"

/* What an alert of this user's needs, so that local_add_alert cannot fail; the caller may free it
 * instead. ERR_FULL: too many are pending, or the partition is three quarters full;
 * ERR_STORE_UNAVAILABLE. */
MUST_CHECK enum err local_prepare_alert(struct local_state *state, struct span user_id,
                                        struct alert **ret_alert);

/* It is pending from now on, for the notification of the target's answer. Takes it over. */
void local_add_alert(struct local_state *state, struct alert *alert,
                     const struct store_target *target, uint32_t after_s);

/* The same for a repeat, if the alert is not there. One that would be due already was there, and
 * has ended. */
MUST_CHECK enum err local_repeat_alert(struct local_state *state, const struct store_target *target,
                                       uint32_t after_s);

/* The part of store_serve that is about alerts. */
MUST_CHECK enum err local_show_alerts(struct local_state *state, struct store_serve *serve,
                                      int64_t now_ms);

#endif
