#include "gateway/stores/redis/redis_event.h"

#include "gateway/base/metrics.h"

#include <assert.h>

void redis_event_keys(const struct redis_common *common, struct span user, struct redis_keys *keys)
{
    redis_keys_write(keys, common->prefix, user);
    redis_keys_write_channel(keys, common->channels);
}

void redis_event_count_left(uint64_t overflowed, uint64_t expired)
{
    if (overflowed > 0)
        metrics_add(METRIC_EVENTS_OVERFLOW, overflowed);
    if (expired > 0)
        metrics_add(METRIC_EVENTS_EXPIRED, expired);
}

static struct span put_key(const struct redis_keys *keys, struct span name, struct span more,
                           struct redis_event_key *key)
{
    char *at = put_span(put_span(put_span(key->bytes, keys->user), name), more);
    key->text = (struct span){key->bytes, (size_t)(at - key->bytes)};
    return key->text;
}

void redis_event_keys_more(const struct redis_keys *keys, struct redis_event_keys *more)
{
    put_key(keys, SPAN_LITERAL(":on"), SPAN_NONE, &more->on);
    put_key(keys, SPAN_LITERAL(":users"), SPAN_NONE, &more->users);
    put_key(keys, SPAN_LITERAL(":offline"), SPAN_NONE, &more->offline);
    put_key(keys, SPAN_LITERAL(":leases"), SPAN_NONE, &more->leases);
    put_key(keys, SPAN_LITERAL(":serve"), SPAN_NONE, &more->serve);
    put_key(keys, SPAN_LITERAL(":alerts"), SPAN_NONE, &more->alerts);
}

struct span redis_event_key_of_node(const struct redis_keys *keys, struct span node,
                                    struct redis_event_key *key)
{
    if (node.len > STORE_NODE_NAME_MAX_BYTES)
        node.len = STORE_NODE_NAME_MAX_BYTES;
    return put_key(keys, SPAN_LITERAL(":on:"), node, key);
}

enum err redis_event_script_init(struct redis_event_script *script,
                                 const struct redis_common *common,
                                 const struct store_request *request, const uint64_t *numbers,
                                 size_t n)
{
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    assert(n <= REDIS_EVENT_NUMBERS_MAX);
    if (error != ERR_OK)
        return error;
    redis_event_keys(common, redis_event_user(request), &script->keys);
    redis_event_keys_more(&script->keys, &script->more);
    char *at = redis_pack_number(script->bytes, (uint64_t)common->event_ttl_s * 1000);
    at = redis_pack_number(at, common->events_max);
    at = redis_pack_number(at, common->events_max_bytes);
    for (size_t i = 0; i < n; i++)
        at = redis_pack_number(at, numbers[i]);
    at = redis_pack_epoch(at, &fresh);
    script->packed = (struct span){script->bytes, (size_t)(at - script->bytes)};
    return ERR_OK;
}
