#include "admin/routes/routes.h"

#include "admin/routes/actions.h"

static const struct route routes[] = {
    {"POST", "/push", GUARD_JSON, ROLE_PUSH, &push_action},
    {"POST", "/push", GUARD_NDJSON, ROLE_PUSH, &ndjson_push_action},
    {"POST", "/broadcast", GUARD_JSON, ROLE_PUSH, &broadcast_action},
    {"POST", "/deleteClient", GUARD_JSON, ROLE_ADMIN, &kick_body_action},
    {"DELETE", "/users/*/connections", GUARD_OTHER, ROLE_ADMIN, &kick_path_action},
    {"GET", "/users/*/inbox", GUARD_OTHER, ROLE_READ, &inbox_action},
    {"DELETE", "/users/*/inbox", GUARD_OTHER, ROLE_ADMIN, &purge_action},
    {"GET", "/users/*/messages/*", GUARD_OTHER, ROLE_READ, &message_action},
    {"DELETE", "/users/*/messages/*", GUARD_OTHER, ROLE_ADMIN, &cancel_action},
    {"GET", "/users/*", GUARD_OTHER, ROLE_READ, &user_action},
    {"GET", "/online", GUARD_OTHER, ROLE_READ, &online_list_action},
    {"POST", "/online", GUARD_JSON, ROLE_READ, &online_action},
    {"GET", "/events", GUARD_OTHER, ROLE_EVENTS, &events_action},
    {"POST", "/events/ack", GUARD_JSON, ROLE_EVENTS, &event_ack_action},
    {"GET", "/events/consumers", GUARD_OTHER, ROLE_EVENTS, &event_consumers_action},
    {"DELETE", "/events/consumers/*", GUARD_OTHER, ROLE_EVENTS, &event_forget_action},
    {"POST", "/tickets", GUARD_JSON, ROLE_PUSH, &ticket_action},
    {"POST", "/drain", GUARD_JSON, ROLE_ADMIN, &drain_action},
    {"POST", "/upgrade", GUARD_JSON, ROLE_ADMIN, &upgrade_action},
    {"GET", "/clients", GUARD_OTHER, ROLE_READ, &clients_action},
    {"GET", "/nodes", GUARD_OTHER, ROLE_READ, &nodes_action},
    {"GET", "/webhooks", GUARD_OTHER, ROLE_READ, &webhooks_action},
    {"POST", "/webhooks/*/test", GUARD_JSON, ROLE_ADMIN, &webhook_test_action},
    {"GET", "/stats", GUARD_OTHER, ROLE_READ, &stats_action},
    {"GET", "/metrics", GUARD_OTHER, ROLE_READ, &metrics_action},
    {"GET", "/livez", GUARD_OTHER, 0, &livez_action},
    {"GET", "/readyz", GUARD_OTHER, 0, &readyz_action},
};

const struct route_table admin_routes = {routes, sizeof routes / sizeof routes[0]};
