#include "gateway/stores/redis/redis_event_serve.h"

#include "gateway/net/reactor.h"
#include "proto/bytes/decimal.h"

#include <stdlib.h>

/* --- alerts as texts --- */

struct span redis_alert_write(const struct store_alert *alert, char out[REDIS_ALERT_MAX_BYTES])
{
    char *at = put_span(out, redis_epoch_text(&alert->epoch));
    *at++ = ':';
    at = put_number(at, alert->seq);
    *at++ = ':';
    at = put_number(at, (uint64_t)alert->pushed_ms);
    *at++ = ':';
    at = put_span(at, (struct span){alert->user_id, alert->user_id_len});
    return (struct span){out, (size_t)(at - out)};
}

static bool read_alert(struct span text, struct span due, struct store_alert *ret_alert)
{
    struct store_alert alert = {.due_ms = 0};
    int64_t seq;
    uint64_t due_ms;
    if (text.len <= EPOCH_LEN || text.bytes[EPOCH_LEN] != ':' ||
        !redis_epoch_read((struct span){text.bytes, EPOCH_LEN}, &alert.epoch))
        return false;
    struct span rest = {text.bytes + EPOCH_LEN + 1, text.len - EPOCH_LEN - 1};
    if (!redis_take_number(&rest, &seq) || !redis_take_number(&rest, &alert.pushed_ms) ||
        !decimal_read(due, INT64_MAX, &due_ms) || rest.len == 0 || rest.len > USER_ID_MAX_BYTES)
        return false;
    alert.seq = (uint64_t)seq;
    alert.due_ms = (int64_t)due_ms;
    memcpy(alert.user_id, rest.bytes, rest.len);
    alert.user_id_len = (uint8_t)rest.len;
    *ret_alert = alert;
    return true;
}

/* --- serving --- */

/* Who was away until now has not heard of what the others did. */
static bool may_judge(const struct redis_commands *commands, const struct store_serve *serve)
{
    return serve->may_judge &&
           reactor_now_ms(commands->reactor) - commands->ready_ms >= STORE_PRESENCE_LEASE_MS;
}

static struct span write_wishes(const struct redis_commands *commands,
                                const struct store_serve *serve, char out[3])
{
    size_t n = 0;
    if (serve->wants_lease)
        out[n++] = 'w';
    if (may_judge(commands, serve))
        out[n++] = 'j';
    if (serve->keeps_offline)
        out[n++] = 'k';
    return (struct span){out, n};
}

enum err redis_serve_send(struct redis_commands *commands, struct store_request *request,
                          const struct redis_call *call)
{
    const struct store_serve *serve = (const struct store_serve *)(void *)request;
    const uint64_t numbers[] = {serve->offline_after_ms, STORE_PRESENCE_LEASE_MS,
                                STORE_SERVE_LEASE_MS,    STORE_PRESENCE_LATE_MS,
                                STORE_SERVE_USERS,       STORE_SERVE_ALERTS,
                                serve->skip_alerts};
    struct redis_event_script script;
    char wishes[3];
    enum err error = redis_event_script_init(&script, commands->common, request, numbers,
                                             sizeof numbers / sizeof numbers[0]);
    if (error != ERR_OK)
        return error;
    struct span args[] = {
        script.keys.inbox,
        script.keys.meta,
        script.keys.channel,
        script.more.on.text,
        script.more.users.text,
        script.more.offline.text,
        script.more.leases.text,
        script.more.serve.text,
        script.more.alerts.text,
        script.packed,
        serve->node,
        write_wishes(commands, serve, wishes),
    };
    return redis_commands_eval(commands, call, SCRIPT_EVENT_SERVE, args,
                               sizeof args / sizeof args[0], 9);
}

/* What event_serve.lua answers. */
enum { MINE, NODES, MORE, PENDING, NEXT, OVERFLOWED, EXPIRED, UNHEARD, ALERTS };
_Static_assert((int)UNHEARD == (int)REDIS_SERVE_UNHEARD, "in the header");

static bool take_state(const struct redis_value *reply, struct store_serve *serve)
{
    uint64_t is_mine, nodes, has_more, next, overflowed, expired;
    if (!redis_answer_number(reply, MINE, &is_mine) || !redis_answer_number(reply, NODES, &nodes) ||
        !redis_answer_number(reply, MORE, &has_more) ||
        !redis_answer_number(reply, PENDING, &serve->n_pending_alerts) ||
        !redis_answer_number(reply, NEXT, &next) ||
        !redis_answer_number(reply, OVERFLOWED, &overflowed) ||
        !redis_answer_number(reply, EXPIRED, &expired))
        return false;
    serve->is_mine = is_mine != 0;
    serve->n_nodes = (unsigned)nodes;
    serve->has_more = has_more != 0;
    serve->next_alert_ms = (int64_t)next;
    redis_event_count_left(overflowed, expired);
    return true;
}

enum err redis_serve_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_serve *serve = (struct store_serve *)(void *)request;
    struct span alert, due;
    if (!take_state(reply, serve) || reply->n > ALERTS + 2 * STORE_SERVE_ALERTS)
        return ERR_STORE_UNAVAILABLE;
    if (reply->n == ALERTS)
        return ERR_OK;
    free(serve->alerts);
    serve->alerts = calloc((reply->n - ALERTS) / 2 + 1, sizeof *serve->alerts);
    if (serve->alerts == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = ALERTS; i + 1 < reply->n; i += 2)
        if (redis_value_text(redis_value_item(reply, i), &alert) &&
            redis_value_text(redis_value_item(reply, i + 1), &due) &&
            read_alert(alert, due, &serve->alerts[serve->n_alerts]))
            serve->n_alerts++;
    return ERR_OK;
}

/* --- the end of an alert --- */

enum err redis_alert_end_send(struct redis_commands *commands, struct store_request *request,
                              const struct redis_call *call)
{
    const struct store_alert_end *end = (const struct store_alert_end *)(void *)request;
    struct redis_event_script script;
    char alert[REDIS_ALERT_MAX_BYTES];
    enum err error = redis_event_script_init(&script, commands->common, request, NULL, 0);
    if (error != ERR_OK)
        return error;
    struct span args[] = {
        script.keys.inbox,   script.keys.meta,
        script.keys.channel, script.more.alerts.text,
        script.packed,       redis_alert_write(&end->alert, alert),
        end->event,
    };
    return redis_commands_eval(commands, call, SCRIPT_EVENT_ALERT_END, args,
                               sizeof args / sizeof args[0], 4);
}

enum err redis_alert_end_read(const struct redis_value *reply, struct store_request *request)
{
    (void)request;
    uint64_t overflowed, expired;
    if (!redis_answer_number(reply, 0, &overflowed) || !redis_answer_number(reply, 1, &expired))
        return ERR_STORE_UNAVAILABLE;
    redis_event_count_left(overflowed, expired);
    return ERR_OK;
}
