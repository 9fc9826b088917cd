#include "admin/admin_worker.h"

#include "admin/service.h"

#include <stdlib.h>

enum err admin_worker_new(struct worker *worker, struct service *service,
                          struct admin_worker **ret_home)
{
    struct admin_worker *home = calloc(1, sizeof *home);
    if (home == NULL)
        return ERR_NO_MEMORY;
    home->worker = worker;
    home->service = service_ref(service);
    home->view.index = worker->index;
    home->id_state = worker_random(worker);
    list_init(&home->requests);
    budget_purse_init(&home->purse, &service->budget);
    *ret_home = home;
    return ERR_OK;
}

static void free_admin_worker(struct admin_worker *home)
{
    budget_purse_fini(&home->purse);
    access_view_fini(home->service->access, &home->view);
    service_unref(home->service);
    free(home->spare);
    buf_fini(&home->spare_body);
    buf_fini(&home->spare_out);
    free(home);
}

void admin_worker_close(struct admin_worker *home)
{
    home->is_closed = true;
    if (home->n_allocated == 0)
        free_admin_worker(home);
}

void admin_worker_released(struct admin_worker *home)
{
    home->n_allocated--;
    if (home->is_closed && home->n_allocated == 0)
        free_admin_worker(home);
}
