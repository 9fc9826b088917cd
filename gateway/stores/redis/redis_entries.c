#include "gateway/stores/redis/redis_entries.h"

#include "gateway/stores/redis/redis_answer.h"

#include <assert.h>
#include <stdlib.h>

enum err redis_entries_send(struct redis_commands *commands, struct store_request *request,
                            const struct redis_call *call)
{
    const struct store_page *page = (const struct store_page *)request;
    size_t n = page->head - page->start;
    struct redis_keys keys;
    struct redis_number numbers[REDIS_ENTRIES_MAX];
    struct span args[2 + REDIS_ENTRIES_MAX] = {SPAN_LITERAL("HMGET")};
    assert(n <= REDIS_ENTRIES_MAX);
    redis_keys_write(&keys, commands->common->prefix, page->user_id);
    args[1] = keys.inbox;
    for (size_t i = 0; i < n; i++)
        args[2 + i] = redis_number_write(&numbers[i], page->start + 1 + i);
    return redis_commands_send(commands, call, args, 2 + n);
}

/* ERR_CONFLICT: it is not there, or none that was there. */
static enum err read_entry(const struct redis_value *value, const struct store_page *page,
                           uint64_t seq, struct notification **ret_note)
{
    struct span entry;
    if (!redis_value_text(value, &entry))
        return ERR_CONFLICT;
    enum err error = redis_entry_read(page->epoch, (int64_t)seq, entry, ret_note);
    if (error == ERR_STORE_UNAVAILABLE)
        return ERR_CONFLICT; /* a script shows what it can */
    if (error == ERR_OK && (*ret_note)->time_ms >= page->as_of_ms) {
        notification_unref(*ret_note);
        return ERR_CONFLICT;
    }
    return error;
}

static enum err read_entries(const struct redis_value *reply, struct store_page *page)
{
    size_t n = page->head - page->start;
    if (!redis_value_is(reply, REDIS_ARRAY) || reply->n != n)
        return ERR_CONFLICT;
    page->notes = calloc(n, sizeof(struct notification *));
    if (page->notes == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        enum err error = read_entry(redis_value_item(reply, i), page, page->start + 1 + i,
                                    &page->notes[page->n_notes]);
        if (error != ERR_OK)
            return error;
        page->n_notes++;
    }
    return ERR_OK;
}

enum err redis_entries_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_page *page = (struct store_page *)request;
    enum err error = read_entries(reply, page);
    if (error != ERR_OK)
        store_page_clear(page);
    return error;
}
