/* A request that is one script goes out as EVALSHA and comes back to on_op_reply, which either
 * reads the answer, or answers an error, or leaves it to the repeats (redis_repeats.h) where Redis
 * says that it did nothing. A page may go on from there: what waits is fetched by a
 * command, and if it has changed meanwhile, or nothing can be written, the page is asked once more.
 * An append is several scripts and has a file of its own. */
#include "gateway/stores/redis/redis_ops.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_blocks.h"
#include "gateway/stores/redis/redis_entries.h"
#include "gateway/stores/redis/redis_event_consumers.h"
#include "gateway/stores/redis/redis_event_log.h"
#include "gateway/stores/redis/redis_event_presence.h"
#include "gateway/stores/redis/redis_event_serve.h"
#include "gateway/stores/redis/redis_look.h"
#include "gateway/stores/redis/redis_nodes.h"
#include "gateway/stores/redis/redis_page.h"
#include "gateway/stores/redis/redis_positions.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_replicas.h"
#include "gateway/stores/redis/redis_slots.h"

#include <stddef.h>

enum { WITHDRAW_UNHEARD = 6 }; /* where withdraw.lua says that it could not publish */

/* All but appends and sends: which function sends it, which reads the answer, what the request is,
 * where `error` is, and which of its texts the slot comes from (of REDIS_OP_NODES none does). */
#define OPERATIONS(X)                                                                              \
    X(STORE_OP_PAGE, redis_page_send, redis_page_read, store_page, user_id)                        \
    X(REDIS_OP_PAGE_ENTRIES, redis_entries_send, redis_entries_read, store_page, user_id)          \
    X(REDIS_OP_PAGE_WHOLE, redis_page_send_whole, redis_page_read, store_page, user_id)            \
    X(REDIS_OP_PAGE_READ_ONLY, redis_page_send_read_only, redis_page_read, store_page, user_id)    \
    X(REDIS_OP_NODES, redis_nodes_send, redis_nodes_read, store_nodes, error)                      \
    X(REDIS_OP_BROADCAST, NULL, NULL, store_broadcast, error)                                      \
    X(REDIS_OP_ASK, NULL, NULL, store_ask, user_id)                                                \
    X(STORE_OP_ACK, redis_ack_send, redis_ack_read, store_ack, user_id)                            \
    X(STORE_OP_ONLINE, NULL, NULL, store_online, error)                                            \
    X(STORE_OP_PEEK, redis_peek_send, redis_peek_read, store_peek, user_id)                        \
    X(STORE_OP_LOOK, redis_look_send, redis_look_read, store_look, user_id)                        \
    X(STORE_OP_WITHDRAW, redis_withdraw_send, redis_withdraw_read, store_withdraw, user_id)        \
    X(STORE_OP_BLOCK, redis_block_send, redis_block_read, store_block, user_id)                    \
    X(STORE_OP_TICKET_GIVE, redis_ticket_give_send, redis_ticket_give_read, store_ticket_give,     \
      ticket)                                                                                      \
    X(STORE_OP_TICKET_TAKE, redis_ticket_take_send, redis_ticket_take_read, store_ticket_take,     \
      ticket)                                                                                      \
    X(STORE_OP_EVENT_APPEND, redis_event_append_send, redis_event_append_read, store_event_append, \
      partition)                                                                                   \
    X(STORE_OP_CONSUMERS, redis_consumers_send, redis_consumers_read, store_consumers, partition)  \
    X(STORE_OP_PRESENCE, redis_presence_send, redis_presence_read, store_presence, partition)      \
    X(STORE_OP_PRESENT, redis_present_send, redis_present_read, store_present, partition)          \
    X(STORE_OP_SERVE, redis_serve_send, redis_serve_read, store_serve, partition)                  \
    X(STORE_OP_ALERT_END, redis_alert_end_send, redis_alert_end_read, store_alert_end, partition)

static const struct {
    enum err (*send)(struct redis_commands *commands, struct store_request *request,
                     const struct redis_call *call);
    enum err (*read)(const struct redis_value *reply, struct store_request *request);
    size_t error; /* where the request has it */
    size_t key;   /* and the text */
} operations[] = {
#define OPERATION(op, send, read, request, key)                                                    \
    [op] = {send, read, offsetof(struct request, error), offsetof(struct request, key)},
    OPERATIONS(OPERATION)
#undef OPERATION
};

#define ONE(op, send, read, request, key) +1
_Static_assert(2 OPERATIONS(ONE) == REDIS_OPS, "a row for each, but for append and send");
#undef ONE

static void set_op_error(struct store_request *request, enum err error)
{
    memcpy((char *)request + operations[request->op].error, &error, sizeof error);
    if (error == ERR_STORE_UNAVAILABLE || error == ERR_NO_MEMORY)
        metrics_count(METRIC_STORE_ERRORS);
}

void redis_ops_refuse(struct redis_commands *commands, struct store_request *request,
                      enum err error)
{
    if (request->op == STORE_OP_APPEND || request->op == STORE_OP_SEND) {
        struct store_append *append = (struct store_append *)request;
        for (size_t i = 0; i < append->n_targets; i++)
            append->targets[i].error = error;
        metrics_count(METRIC_STORE_ERRORS);
    } else {
        set_op_error(request, error);
    }
    redis_commands_refuse(commands, request);
}

/* A page whose script was refused its first write, so that nothing has changed, may be read
 * without. */
static bool can_read_only(const struct store_request *request, const struct redis_value *reply)
{
    return (request->op == STORE_OP_PAGE || request->op == REDIS_OP_PAGE_WHOLE) &&
           redis_value_is(reply, REDIS_ERROR) &&
           redis_trouble_at(redis_trouble_find(reply->bytes))->is_refusal;
}

static void on_op_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_op(struct redis_commands *commands, struct store_request *request)
{
    struct redis_call call = {.on_reply = on_op_reply, .arg = request};
    return operations[request->op].send(commands, request, &call);
}

/* --- as what is repeated --- */

static uint16_t slot_of_op(const struct redis_common *common, void *arg, size_t index)
{
    (void)index;
    const struct store_request *request = arg;
    char nodes[REDIS_NODES_KEY_MAX_BYTES];
    if (request->op == REDIS_OP_NODES)
        return redis_slot_of(redis_nodes_key(nodes, common->prefix));
    if (redis_is_of_events(request))
        return redis_slot_of_user(redis_event_user(request));
    struct span key;
    memcpy(&key, (const char *)request + operations[request->op].key, sizeof key);
    bool is_ticket = request->op == STORE_OP_TICKET_GIVE || request->op == STORE_OP_TICKET_TAKE;
    if (!is_ticket)
        return redis_slot_of_user(key);
    char text[REDIS_TICKET_KEY_MAX_BYTES];
    return redis_slot_of(redis_ticket_key(text, common->prefix, key));
}

static enum err send_op_again(struct redis_commands *commands, void *arg, size_t index,
                              const struct redis_call *call)
{
    (void)index;
    struct store_request *request = arg;
    return operations[request->op].send(commands, request, call);
}

static void answer_op(void *arg, size_t index, enum err error)
{
    (void)index;
    struct store_request *request = arg;
    set_op_error(request, error);
    request->on_done(request);
}

static const struct redis_repeat_kind op_kind = {slot_of_op, send_op_again, on_op_reply, answer_op,
                                                 REDIS_REPEAT_MS};

/* --- answers --- */

/* A page that has been answered, and for which more is to be asked: request->op says what. */
static bool page_goes_on(struct store_request *request, const struct redis_value *reply,
                         enum err error)
{
    if (request->op == STORE_OP_PAGE && error == ERR_OK && redis_page_must_fetch(reply, request))
        request->op = REDIS_OP_PAGE_ENTRIES;
    else if (request->op == REDIS_OP_PAGE_ENTRIES && error == ERR_CONFLICT)
        request->op = REDIS_OP_PAGE_WHOLE;
    else
        return false;
    return true;
}

/* Where a script says what Redis would not publish; of others there is no such place. */
static size_t place_of_unheard(const struct store_request *request)
{
    switch (request->op) {
    case STORE_OP_WITHDRAW:
        return WITHDRAW_UNHEARD;
    case STORE_OP_EVENT_APPEND:
        return REDIS_EVENT_UNHEARD;
    case STORE_OP_PRESENCE:
        return REDIS_PRESENCE_UNHEARD;
    case STORE_OP_SERVE:
        return REDIS_SERVE_UNHEARD;
    case STORE_OP_ALERT_END:
        return REDIS_ALERT_END_UNHEARD;
    default:
        return SIZE_MAX;
    }
}

/* true: it is to be sent once more, or as what request->op has become; else *ret_error is the
 * answer. */
static bool take_op_reply(struct redis_commands *commands, struct store_request *request,
                          const struct redis_value *reply, enum err *ret_error)
{
    *ret_error = ERR_STORE_UNAVAILABLE;
    if (reply == NULL)
        return false;
    if (can_read_only(request, reply)) {
        redis_answer_refused(commands, reply);
        request->op = REDIS_OP_PAGE_READ_ONLY;
        return true;
    }
    *ret_error = operations[request->op].read(reply, request);
    if (page_goes_on(request, reply, *ret_error))
        return true;
    if (request->op == STORE_OP_PRESENCE && *ret_error == ERR_OK)
        redis_presence_answered(commands, request);
    if (*ret_error == ERR_STORE_UNAVAILABLE && request->op != REDIS_OP_NODES)
        redis_answer_refused(commands, reply);
    else if (redis_value_is(reply, REDIS_ERROR)) /* nothing depends on it */
        redis_primary_refused_one(commands->primary, reply->bytes);
    else
        redis_answer_unheard(commands, redis_value_item(reply, place_of_unheard(request)));
    return false;
}

/* A page is one request, whatever was sent for it. */
static void observe_op(const struct redis_commands *commands, const struct store_request *request)
{
    switch (request->op) {
    case REDIS_OP_PAGE_ENTRIES:
    case REDIS_OP_PAGE_WHOLE:
    case REDIS_OP_PAGE_READ_ONLY:
        redis_answer_observe(commands, request, STORE_OP_PAGE);
        break;
    case REDIS_OP_NODES:
    case REDIS_OP_BROADCAST:
        break;
    default:
        if (!redis_is_of_events(request))
            redis_answer_observe(commands, request, (enum store_op)request->op);
    }
}

static void answer_kept(void *owner, void *arg, size_t index, enum err error)
{
    observe_op(owner, arg);
    answer_op(arg, index, error);
}

/* What its caller was promised to be kept, and would not do again if it were lost. Of store_serve
 * that is nothing: an event that is lost with its record is written again by whoever serves next.
 * Nor is it presence: the link to a primary that lacks it comes up anew, and then the record is put
 * right (store_presence.is_new); a node that waits here would write nothing more meanwhile. */
static bool has_written(const struct store_request *request)
{
    switch (request->op) {
    case STORE_OP_BLOCK:
    case STORE_OP_WITHDRAW:
    case STORE_OP_EVENT_APPEND:
    case STORE_OP_ALERT_END:
        return true;
    case STORE_OP_CONSUMERS:
        return ((const struct store_consumers *)(const void *)request)->action != CONSUMERS_LIST;
    default:
        return false;
    }
}

static void on_op_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct store_request *request = arg;
    enum err error;
    if (redis_repeats_take(commands, &op_kind, request, 0, reply))
        return;
    if (take_op_reply(commands, request, reply, &error)) {
        error = redis_answer_error(send_op(commands, request));
        if (error == ERR_OK)
            return;
    }
    if (error == ERR_OK && has_written(request) && redis_replicas_are_wanted(commands->replicas))
        redis_replicas_hold(commands->replicas, answer_kept, request, 0);
    else
        answer_kept(commands, request, 0, error);
}

void redis_ops_run(struct redis_commands *commands, struct store_request *request)
{
    redis_answer_begin(commands, request);
    enum err error = ERR_OK;
    if (!redis_repeats_hold(commands, &op_kind, request, 0, &error))
        error = send_op(commands, request);
    if (error != ERR_OK)
        redis_ops_refuse(commands, request, redis_answer_error(error));
}
