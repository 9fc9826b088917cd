#include "gateway/stores/redis/redis_blocks.h"

#include "gateway/stores/redis/redis_answer.h"

/* --- blocks --- */

enum err redis_block_send(struct redis_commands *commands, struct store_request *request,
                          const struct redis_call *call)
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
    return redis_commands_eval(commands, call, SCRIPT_BLOCK, args, 2, 1);
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

enum err redis_ticket_give_send(struct redis_commands *commands, struct store_request *request,
                                const struct redis_call *call)
{
    struct store_ticket_give *give = (struct store_ticket_give *)request;
    char key[REDIS_TICKET_KEY_MAX_BYTES];
    struct redis_number ttl_ms;
    struct span args[] = {
        SPAN_LITERAL("SET"),
        redis_ticket_key(key, commands->common->prefix, give->ticket),
        give->user_id,
        SPAN_LITERAL("PX"),
        redis_number_write(&ttl_ms, (uint64_t)give->ttl_s * 1000),
        SPAN_LITERAL("NX"),
    };
    return redis_commands_send(commands, call, args, sizeof args / sizeof args[0]);
}

enum err redis_ticket_give_read(const struct redis_value *reply, struct store_request *request)
{
    (void)request;
    if (redis_value_is(reply, REDIS_NIL))
        return ERR_CONFLICT;
    return redis_value_is(reply, REDIS_STATUS) ? ERR_OK : ERR_STORE_UNAVAILABLE;
}

enum err redis_ticket_take_send(struct redis_commands *commands, struct store_request *request,
                                const struct redis_call *call)
{
    struct store_ticket_take *take = (struct store_ticket_take *)request;
    char key[REDIS_TICKET_KEY_MAX_BYTES];
    struct span args[] = {
        SPAN_LITERAL("GETDEL"),
        redis_ticket_key(key, commands->common->prefix, take->ticket),
    };
    return redis_commands_send(commands, call, args, 2);
}

enum err redis_ticket_take_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_ticket_take *take = (struct store_ticket_take *)request;
    struct span user_id;
    if (redis_value_is(reply, REDIS_NIL))
        return ERR_NOT_FOUND;
    if (!redis_value_is(reply, REDIS_TEXT) || !redis_value_text(reply, &user_id) ||
        user_id.len == 0 || user_id.len > sizeof take->user_id)
        return ERR_STORE_UNAVAILABLE;
    memcpy(take->user_id, user_id.bytes, user_id.len);
    take->user_id_len = user_id.len;
    return ERR_OK;
}
