#include "gateway/store/store_upgrade.h"

#include "gateway/store/store_backend.h"

#include <stdio.h>

bool store_can_be_handed_over(const struct store *store, char *why, size_t why_cap)
{
    const struct store_upgrade_ops *upgrade = store->ops->upgrade;
    if (store->ops->is_shared || (upgrade != NULL && upgrade->is_here(store)))
        return true;
    if (upgrade == NULL)
        snprintf(why, why_cap, "the %s store cannot be handed over", store->ops->kind);
    else
        snprintf(why, why_cap, "the process before this one has not let the store go yet");
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
