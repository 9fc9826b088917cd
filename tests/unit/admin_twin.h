/* The admin API as it is, on two workers and a gateway that the test plays (tests/twin). For one
 * test file each; criterion runs every test in a process of its own. */
#ifndef HERALD_TESTS_ADMIN_TWIN_H
#define HERALD_TESTS_ADMIN_TWIN_H

#include "admin/admin.h"
#include "admin/routes/routes.h"
#include "gateway/node/worker.h"
#include "tests/twin/gateway_twin.h"
#include "tests/unit/admin_client.h"

enum { TWIN_WORKERS = 2 };

static struct admin *twin_admin;
static struct options twin_options;
static struct worker *twin_workers[TWIN_WORKERS];
static struct node twin_node = {
    .options = &twin_options, .workers = twin_workers, .n_workers = TWIN_WORKERS};

static inline void do_nothing_each_second(struct worker *worker)
{
    (void)worker;
}

static inline void twin_start(void)
{
    char why[256];
    static char listen[80];
    snprintf(client_path, sizeof client_path, "/tmp/herald-admin-twin.%ld", (long)getpid());
    snprintf(listen, sizeof listen, "unix:%s", client_path);
    static char no_file[] = "";
    static char mode[] = "0660";
    static char kept[] = "notification.unacknowledged";
    static char *events[] = {kept};
    twin_options = (struct options){.admin_listen = listen,
                                    .socket_mode = mode,
                                    .socket_group = no_file,
                                    .admin_keys = no_file,
                                    .admin_tls_cert = no_file,
                                    .admin_tls_key = no_file,
                                    .admin_idle_timeout = 75000,
                                    .max_body = 1 << 20,
                                    .max_data = 65536,
                                    .default_ttl = 604800000,
                                    .events = {events, 1}};
    twin_begin();
    for (unsigned i = 0; i < TWIN_WORKERS; i++) {
        cr_assert_eq(worker_new(&twin_node, i, do_nothing_each_second, &twin_workers[i]), ERR_OK);
        cr_assert_eq(worker_start(twin_workers[i]), ERR_OK);
    }
    cr_assert_eq(
        admin_start(&twin_options, &admin_routes, &twin_node, &twin_admin, why, sizeof why), ERR_OK,
        "%s", why);
}

/* What the gateway answers after the admin API has stopped still finds the workers. */
static inline void twin_stop(void)
{
    admin_stop(twin_admin, NULL, NULL);
    twin_end();
    for (unsigned i = 0; i < TWIN_WORKERS; i++)
        worker_stop(twin_workers[i]);
    for (unsigned i = 0; i < TWIN_WORKERS; i++) {
        while (mailbox_deliver(worker_mailbox(twin_workers[i])) > 0) {
        }
        worker_free(twin_workers[i]);
    }
}

#endif
