/* What each route of the admin API does, by the file that defines it (CONTRACT section 3). */
#ifndef HERALD_ADMIN_ROUTE_ACTIONS_H
#define HERALD_ADMIN_ROUTE_ACTIONS_H

#include "admin/route.h"

/* routes_push.c */
extern const struct route_action push_action;
extern const struct route_action broadcast_action;
/* routes_ndjson.c */
extern const struct route_action ndjson_push_action;
/* routes_inbox.c */
extern const struct route_action inbox_action;
extern const struct route_action purge_action;
extern const struct route_action message_action;
extern const struct route_action cancel_action;
/* routes_users.c */
extern const struct route_action kick_body_action;
extern const struct route_action kick_path_action;
extern const struct route_action user_action;
/* routes_clients.c */
extern const struct route_action clients_action;
/* routes_online_list.c */
extern const struct route_action online_list_action;
/* routes_online.c */
extern const struct route_action online_action;
/* routes_tickets.c */
extern const struct route_action ticket_action;
/* routes_drain.c */
extern const struct route_action drain_action;
/* routes_ops.c */
extern const struct route_action nodes_action;
extern const struct route_action stats_action;
extern const struct route_action metrics_action;
extern const struct route_action livez_action;
extern const struct route_action readyz_action;
/* routes_events.c */
extern const struct route_action events_action;
extern const struct route_action event_ack_action;
extern const struct route_action event_consumers_action;
extern const struct route_action event_forget_action;
/* routes_webhooks.c */
extern const struct route_action webhooks_action;
extern const struct route_action webhook_test_action;
/* routes_upgrade.c */
extern const struct route_action upgrade_action;

#endif
