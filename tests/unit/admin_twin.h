/* The admin API as it is, on a gateway that the test plays (tests/twin). For one test file each;
 * criterion runs every test in a process of its own. */
#ifndef HERALD_TESTS_ADMIN_TWIN_H
#define HERALD_TESTS_ADMIN_TWIN_H

#include "admin/admin.h"
#include "admin/routes/routes.h"
#include "tests/twin/gateway_twin.h"
#include "tests/unit/admin_client.h"

static struct admin *twin_admin;

static inline void twin_start(void)
{
    char why[256];
    char listen[80];
    snprintf(client_path, sizeof client_path, "/tmp/herald-admin-twin.%ld", (long)getpid());
    snprintf(listen, sizeof listen, "unix:%s", client_path);
    static char no_file[] = "";
    static char mode[] = "0660";
    const struct options options = {.admin_listen = listen,
                                    .socket_mode = mode,
                                    .socket_group = no_file,
                                    .admin_keys = no_file,
                                    .admin_tls_cert = no_file,
                                    .admin_tls_key = no_file,
                                    .max_body = 1 << 20,
                                    .max_data = 65536,
                                    .default_ttl = 604800000};
    twin_begin();
    cr_assert_eq(admin_start(&options, &admin_routes, NULL, &twin_admin, why, sizeof why), ERR_OK,
                 "%s", why);
}

static inline void twin_stop(void)
{
    admin_stop(twin_admin);
    twin_end();
}

#endif
