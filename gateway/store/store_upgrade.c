#include "gateway/store/store_upgrade.h"

#include "gateway/store/store_backend.h"

#include <stdio.h>

bool store_can_be_handed_over(const struct store *store, char *why, size_t why_cap)
{
    if (store->ops->is_shared || store->ops->upgrade != NULL)
        return true;
    snprintf(why, why_cap, "the %s store cannot be handed over", store->ops->kind);
    return false;
}

int store_lock_fd(const struct store *store)
{
    return store->ops->upgrade == NULL ? -1 : store->ops->upgrade->lock_fd(store);
}

void store_let_go(struct store *store)
{
    if (store->ops->upgrade != NULL)
        store->ops->upgrade->let_go(store);
}

void store_take_over(struct store *store)
{
    if (store->ops->upgrade != NULL)
        store->ops->upgrade->take_over(store);
}

void store_each_ticket(struct store *store, store_ticket_visit_fn *visit, void *owner)
{
    if (store->ops->upgrade != NULL)
        store->ops->upgrade->each_ticket(store, visit, owner);
}

enum err store_adopt_tickets(struct store *store, const struct store_ticket *tickets,
                             size_t n_tickets)
{
    return store->ops->upgrade == NULL
               ? ERR_OK
               : store->ops->upgrade->adopt_tickets(store, tickets, n_tickets);
}
