#include "gateway/stores/redis/redis_event_log.h"

#include "gateway/stores/redis/redis_page_args.h"

/* --- appends --- */

enum err redis_event_append_send(struct redis_commands *commands, struct store_request *request,
                                 const struct redis_call *call)
{
    enum { KEYS = 3 };
    const struct store_event_append *append = (const struct store_event_append *)(void *)request;
    const uint64_t is_bounded = append->is_bounded ? 1 : 0;
    struct redis_event_script script;
    struct span args[KEYS + 1 + STORE_EVENTS_AT_ONCE];
    enum err error = redis_event_script_init(&script, commands->common, request, &is_bounded, 1);
    if (error != ERR_OK)
        return error;
    args[0] = script.keys.inbox;
    args[1] = script.keys.meta;
    args[2] = script.keys.channel;
    args[KEYS] = script.packed;
    for (size_t i = 0; i < append->n; i++)
        args[KEYS + 1 + i] = append->events[i];
    return redis_commands_eval(commands, call, SCRIPT_EVENT_APPEND, args, KEYS + 1 + append->n,
                               KEYS);
}

enum err redis_event_append_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_event_append *append = (struct store_event_append *)(void *)request;
    uint64_t first, time_ms, overflowed, expired;
    if (!redis_answer_number(reply, 0, &first) || !redis_answer_epoch(reply, 1, &append->epoch) ||
        !redis_answer_number(reply, 2, &time_ms) || !redis_answer_number(reply, 3, &overflowed) ||
        !redis_answer_number(reply, 4, &expired) || epoch_is_none(append->epoch))
        return ERR_STORE_UNAVAILABLE;
    append->first_seq = first;
    append->time_ms = (int64_t)time_ms;
    redis_event_count_left(overflowed, expired);
    return first > 0 ? ERR_OK : ERR_FULL;
}

/* --- pages --- */

enum err redis_event_page_send(struct redis_commands *commands, const struct store_page *page,
                               const char *more, const struct redis_call *call)
{
    struct redis_keys keys;
    struct redis_page_args args;
    enum err error = epoch_random(&args.fresh);
    if (error != ERR_OK)
        return error;
    redis_event_keys(commands->common, page->user_id, &keys);
    char wishes[4];
    size_t n_wishes = 0;
    if (page->must_begin)
        wishes[n_wishes++] = 'b';
    if (page->wants_gaps)
        wishes[n_wishes++] = 'g';
    if (more[0] == 'r')
        wishes[n_wishes++] = 'r';
    struct span words[3 + REDIS_PAGE_ARGS] = {keys.inbox, keys.meta, keys.channel};
    redis_page_args_write(page, (struct span){wishes, n_wishes}, &args, words + 3);
    return redis_commands_eval(commands, call, SCRIPT_EVENT_PAGE, words,
                               sizeof words / sizeof words[0], 3);
}

void redis_event_page_take(const struct redis_value *reply, struct store_page *page)
{
    uint64_t expired, has_device;
    if (!redis_answer_number(reply, 15, &expired) || !redis_answer_number(reply, 16, &has_device))
        return;
    redis_event_count_left(0, expired);
    page->has_device = has_device != 0;
}

/* --- acknowledgements --- */

enum err redis_event_ack_send(struct redis_commands *commands, const struct store_ack *ack,
                              const struct redis_call *call)
{
    struct redis_keys keys;
    struct redis_number seq;
    redis_event_keys(commands->common, ack->user_id, &keys);
    struct span args[] = {keys.inbox,
                          keys.meta,
                          keys.channel,
                          redis_epoch_text(&ack->epoch),
                          redis_number_write(&seq, ack->seq),
                          ack->device};
    return redis_commands_eval(commands, call, SCRIPT_EVENT_ACK, args, 6, 3);
}

enum err redis_event_ack_read(const struct redis_value *reply)
{
    static const enum err errors[] = {ERR_OK, ERR_STALE_EPOCH, ERR_NOT_FOUND};
    int64_t answer;
    if (!redis_value_integer(reply, &answer) || answer < 0 || answer > 2)
        return ERR_STORE_UNAVAILABLE;
    return errors[answer];
}
