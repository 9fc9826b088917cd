/* The table of the admin API's routes. gateway/main.c hands it to admin_start. */
#ifndef HERALD_ADMIN_ROUTES_H
#define HERALD_ADMIN_ROUTES_H

#include "admin/route.h"

extern const struct route_table admin_routes;

#endif
