#include "gateway/stores/redis/redis_blocks.h"

#include "gateway/stores/redis/redis_answer.h"

/* --- blocks --- */

enum err redis_block_send(struct redis_commands *commands, struct store_request *request,
                          bool with_text, redis_reply_fn on_reply)
{
    struct store_block *block = (struct store_block *)request;
    struct redis_keys keys;
    struct redis_number for_ms;
    redis_keys_write(&keys, commands->common->prefix, block->user_id);
    redis_keys_write_block(&keys);
    struct span args[] = {
        keys.block,
        redis_number_write(&for_ms, (uint64_t)block->for_s * 1000),
    };
    return redis_commands_eval(commands, SCRIPT_BLOCK, with_text, args, 2, 1, on_reply, request, 0);
}

enum err redis_block_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_block *block = (struct store_block *)request;
    int64_t until_ms;
    if (!redis_value_integer(reply, &until_ms) || until_ms < 0)
        return ERR_STORE_UNAVAILABLE;
    block->until_ms = until_ms;
    return ERR_OK;
}

/* --- tickets --- */

enum err redis_ticket_send(struct redis_commands *commands, struct store_request *request,
                           bool with_text, redis_reply_fn on_reply)
{
    (void)with_text; /* no script */
    struct store_ticket *ticket = (struct store_ticket *)request;
    char bytes[REDIS_TICKET_KEY_MAX_BYTES];
    struct redis_number ttl_ms;
    struct span key = redis_ticket_key(bytes, commands->common->prefix, ticket->ticket);
    struct span take[] = {SPAN_LITERAL("GETDEL"), key};
    struct span give_out[] = {
        SPAN_LITERAL("SET"),
        key,
        ticket->user_id,
        SPAN_LITERAL("PX"),
        redis_number_write(&ttl_ms, (uint64_t)ticket->ttl_s * 1000),
        SPAN_LITERAL("NX"),
    };
    if (ticket->is_take)
        return redis_commands_send(commands, take, 2, on_reply, request);
    return redis_commands_send(commands, give_out, sizeof give_out / sizeof give_out[0], on_reply,
                               request);
}

enum err redis_ticket_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_ticket *ticket = (struct store_ticket *)request;
    struct span user_id;
    if (redis_value_is(reply, REDIS_NIL))
        return ticket->is_take ? ERR_NOT_FOUND : ERR_CONFLICT;
    if (!ticket->is_take)
        return redis_value_is(reply, REDIS_STATUS) ? ERR_OK : ERR_STORE_UNAVAILABLE;
    if (!redis_value_is(reply, REDIS_TEXT) || !redis_value_text(reply, &user_id) ||
        user_id.len == 0 || user_id.len > sizeof ticket->taken_user)
        return ERR_STORE_UNAVAILABLE;
    memcpy(ticket->taken_user, user_id.bytes, user_id.len);
    ticket->taken_user_len = user_id.len;
    return ERR_OK;
}
