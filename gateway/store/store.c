#include "gateway/store/store.h"

#include "gateway/base/clock.h"
#include "gateway/store/store_backend.h"
#include "proto/bytes/utf8.h"

#include <stdlib.h>

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

void store_withdraw(struct store *store, struct store_withdraw *withdraw)
{
    store->ops->withdraw(store, withdraw);
}

void store_block(struct store *store, struct store_block *block)
{
    store->ops->block(store, block);
}

void store_ticket_give(struct store *store, struct store_ticket_give *give)
{
    store->ops->ticket_give(store, give);
}

void store_ticket_take(struct store *store, struct store_ticket_take *take)
{
    store->ops->ticket_take(store, take);
}

void store_page_clear(struct store_page *page)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
    free(page->gaps);
    free(page->withdrawn);
    page->notes = NULL;
    page->n_notes = 0;
    page->gaps = NULL;
    page->n_gaps = 0;
    page->withdrawn = NULL;
    page->n_withdrawn = 0;
}

void store_leave(struct store *store, unsigned lane, struct span user_id)
{
    store->ops->leave(store, lane, user_id);
}

const char *store_kind(const struct store *store)
{
    return store->ops->kind;
}

int64_t store_now_ms(const struct store *store)
{
    return store->ops->now_ms(store);
}

bool store_is_shared(const struct store *store)
{
    return store->ops->is_shared;
}

/* What a server or a file system says may be any bytes. */
void store_describe(struct store *store, char *out, size_t cap)
{
    store->ops->describe(store, out, cap);
    bool is_text = utf8_is_valid(span_of(out));
    for (char *at = out; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == '\x7f' || (!is_text && (unsigned char)*at > '~'))
            *at = '?';
}

void store_broadcast(struct store *store, struct store_broadcast *broadcast)
{
    broadcast->error = ERR_OK;
    broadcast->online = 0;
    broadcast->nodes = 0;
    store->ops->broadcast(store, broadcast);
}

void store_answer(struct store_question *question, uint64_t count)
{
    question->count = count;
    question->on_answer(question);
}

enum err store_tell_broadcast(const struct store_events *events, void *owner,
                              struct payload *payload, struct store_question *question)
{
    if (events->on_broadcast == NULL) {
        store_answer(question, 0);
        return ERR_OK;
    }
    struct notification *note =
        notification_new(payload, (struct epoch){{0}}, 0, clock_wall_ms(), 0);
    if (note == NULL)
        return ERR_NO_MEMORY;
    events->on_broadcast(owner, note, question);
    notification_unref(note);
    return ERR_OK;
}
