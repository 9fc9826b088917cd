#include "gateway/store/store.h"

#include "gateway/store/store_backend.h"

#include <stdio.h>
#include <stdlib.h>

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum err store_open(const struct store_config *config, struct store **ret_store, char *why,
                    size_t why_cap)
{
    const char *url = config->url;
    if (strcmp(url, "memory:") == 0)
        return store_memory_open(config, ret_store, why, why_cap);
    if (has_prefix(url, "file:") && url[strlen("file:")] != '\0')
        return store_file_open(config, url + strlen("file:"), ret_store, why, why_cap);
    if (has_prefix(url, "redis://") || has_prefix(url, "redis+unix://"))
        return store_redis_open(config, ret_store, why, why_cap);
    snprintf(why, why_cap,
             "--store must be memory:, file:PATH or redis://[USER:PASSWORD@]HOST:PORT[/DB]");
    return ERR_INVALID_FIELD;
}

void store_close(struct store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

void store_append(struct store *store, struct store_append *append)
{
    store->ops->append(store, append);
}

void store_page(struct store *store, struct store_page *page)
{
    store->ops->page(store, page);
}

void store_ack(struct store *store, struct store_ack *ack)
{
    store->ops->ack(store, ack);
}

void store_peek(struct store *store, struct store_peek *peek)
{
    store->ops->peek(store, peek);
}

void store_look(struct store *store, struct store_look *look)
{
    store->ops->look(store, look);
}

void store_block(struct store *store, struct store_block *block)
{
    store->ops->block(store, block);
}

void store_ticket(struct store *store, struct store_ticket *ticket)
{
    store->ops->ticket(store, ticket);
}

void store_page_clear(struct store_page *page)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
    free(page->gaps);
    page->notes = NULL;
    page->n_notes = 0;
    page->gaps = NULL;
    page->n_gaps = 0;
}

void store_leave(struct store *store, unsigned lane, struct span user_id)
{
    store->ops->leave(store, lane, user_id);
}

const char *store_kind(const struct store *store)
{
    return store->ops->kind;
}

void store_describe(struct store *store, char *out, size_t cap)
{
    store->ops->describe(store, out, cap);
}
