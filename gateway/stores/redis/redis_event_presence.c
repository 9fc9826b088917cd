#include "gateway/stores/redis/redis_event_presence.h"

#include "proto/bytes/put.h"

#include <stdlib.h>

/* --- changes --- */

/* What event_presence.lua unpacks before the texts of a change: "c1BI4d". */
enum { CHANGE_HEAD_BYTES = 1 + 1 + 4 + REDIS_PACKED_BYTES };

static struct span text_of(const struct store_presence_change *change)
{
    return change->is_here ? change->event : span_of(offline_cause_text(change->cause));
}

static char *pack_change(char *at, const struct store_presence_change *change)
{
    struct span text = text_of(change);
    *at++ = change->is_here ? 'h' : 'l';
    *at++ = (char)(unsigned char)change->user_id.len;
    at = redis_pack_time(at, (uint32_t)text.len);
    int64_t time_ms = change->is_here ? change->came_ms : change->last_seen_ms;
    at = redis_pack_number(at, time_ms > 0 ? (uint64_t)time_ms : 0);
    return put_span(put_span(at, change->user_id), text);
}

/* NULL: out of memory. The caller frees it. */
static char *pack_changes(const struct store_presence *presence, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < presence->n_changes; i++)
        len += CHANGE_HEAD_BYTES + presence->changes[i].user_id.len +
               text_of(&presence->changes[i]).len;
    char *packed = malloc(len + 1);
    if (packed == NULL)
        return NULL;
    char *at = packed;
    for (size_t i = 0; i < presence->n_changes; i++)
        at = pack_change(at, &presence->changes[i]);
    *ret_len = len;
    return packed;
}

enum err redis_presence_send(struct redis_commands *commands, struct store_request *request,
                             const struct redis_call *call)
{
    const struct store_presence *presence = (const struct store_presence *)(void *)request;
    const uint64_t numbers[] = {STORE_PRESENCE_LATE_MS, STORE_PRESENCE_LEASE_MS,
                                presence->offline_after_ms};
    struct redis_event_script script;
    struct redis_event_key on_node;
    size_t len;
    enum err error = redis_event_script_init(&script, commands->common, request, numbers,
                                             sizeof numbers / sizeof numbers[0]);
    if (error != ERR_OK)
        return error;
    char *changes = pack_changes(presence, &len);
    if (changes == NULL)
        return ERR_NO_MEMORY;
    struct span args[] = {
        script.keys.inbox,
        script.keys.meta,
        script.keys.channel,
        script.more.on.text,
        script.more.users.text,
        script.more.offline.text,
        script.more.leases.text,
        redis_event_key_of_node(&script.keys, presence->node, &on_node),
        script.packed,
        presence->node,
        presence->is_leaving ? SPAN_LITERAL("l") : SPAN_LITERAL(""),
        presence->keeps_offline ? SPAN_LITERAL("k") : SPAN_LITERAL(""),
        {changes, len},
    };
    error = redis_commands_eval(commands, call, SCRIPT_EVENT_PRESENCE, args,
                                sizeof args / sizeof args[0], 8);
    free(changes);
    return error;
}

enum err redis_presence_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_presence *presence = (struct store_presence *)(void *)request;
    uint64_t is_new, overflowed, expired;
    if (!redis_answer_number(reply, 0, &is_new) || !redis_answer_number(reply, 1, &overflowed) ||
        !redis_answer_number(reply, 2, &expired))
        return ERR_STORE_UNAVAILABLE;
    presence->is_new = is_new != 0;
    redis_event_count_left(overflowed, expired);
    return ERR_OK;
}

_Static_assert(STORE_PARTITIONS <= 16, "a bit of presence_told for each");

void redis_presence_answered(struct redis_commands *commands, struct store_request *request)
{
    struct store_presence *presence = (struct store_presence *)(void *)request;
    uint16_t bit = (uint16_t)(1u << presence->partition);
    presence->is_new = presence->is_new || (commands->presence_told & bit) == 0;
    commands->presence_told |= bit;
}

/* --- who is on record --- */

enum err redis_present_send(struct redis_commands *commands, struct store_request *request,
                            const struct redis_call *call)
{
    const struct store_present *present = (const struct store_present *)(void *)request;
    struct redis_keys keys;
    struct redis_event_keys more;
    struct redis_event_key on_node;
    struct redis_number limit;
    char after[1 + USER_ID_MAX_BYTES] = "(";
    struct span from = SPAN_LITERAL("-");
    if (present->after.len > USER_ID_MAX_BYTES)
        return ERR_STORE_UNAVAILABLE;
    redis_event_keys(commands->common, redis_event_user(request), &keys);
    redis_event_keys_more(&keys, &more);
    if (present->after.len > 0)
        from = (struct span){after, (size_t)(put_span(after + 1, present->after) - after)};
    struct span args[] = {
        SPAN_LITERAL("ZRANGE"),
        present->node.len > 0 ? redis_event_key_of_node(&keys, present->node, &on_node)
                              : more.users.text,
        from,
        SPAN_LITERAL("+"),
        SPAN_LITERAL("BYLEX"),
        SPAN_LITERAL("LIMIT"),
        SPAN_LITERAL("0"),
        redis_number_write(&limit, present->limit),
    };
    return redis_commands_send(commands, call, args, sizeof args / sizeof args[0]);
}

enum err redis_present_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_present *present = (struct store_present *)(void *)request;
    struct span user;
    size_t len = 0;
    if (!redis_value_is(reply, REDIS_ARRAY) || reply->n > present->limit)
        return ERR_STORE_UNAVAILABLE;
    for (size_t i = 0; i < reply->n; i++) {
        if (!redis_value_text(redis_value_item(reply, i), &user))
            return ERR_STORE_UNAVAILABLE;
        len += user.len;
    }
    struct span *users = malloc(reply->n * sizeof *users + len + 1);
    if (users == NULL)
        return ERR_NO_MEMORY;
    char *at = (char *)(users + reply->n);
    for (size_t i = 0; i < reply->n; i++) {
        (void)redis_value_text(redis_value_item(reply, i), &user);
        users[i] = (struct span){at, user.len};
        at = put_span(at, user);
    }
    free(present->users);
    present->users = users;
    present->n = reply->n;
    return ERR_OK;
}
