/* A request that is one script goes out as EVALSHA and comes back to on_op_reply, which either
 * reads the answer, or sends the script's text when Redis has lost it (it did nothing then, so a
 * repeat is safe), or answers an error. An append is several scripts and has a file of its own. */
#include "gateway/stores/redis/redis_ops.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_blocks.h"
#include "gateway/stores/redis/redis_look.h"
#include "gateway/stores/redis/redis_page.h"
#include "gateway/stores/redis/redis_positions.h"
#include "gateway/stores/redis/redis_push.h"

#include <stddef.h>

enum { WITHDRAW_UNHEARD = 6 }; /* where withdraw.lua says that it could not publish */

static const struct {
    enum err (*send)(struct redis_commands *commands, struct store_request *request,
                     const struct redis_call *call);
    enum err (*read)(const struct redis_value *reply, struct store_request *request);
    size_t error; /* where the request has it */
} operations[] = {
    [REDIS_OP_BROADCAST] = {NULL, NULL, offsetof(struct store_broadcast, error)},
    [STORE_OP_PAGE] = {redis_page_send, redis_page_read, offsetof(struct store_page, error)},
    [REDIS_OP_PAGE_READ_ONLY] = {redis_page_send_read_only, redis_page_read,
                                 offsetof(struct store_page, error)},
    [STORE_OP_ACK] = {redis_ack_send, redis_ack_read, offsetof(struct store_ack, error)},
    [STORE_OP_PEEK] = {redis_peek_send, redis_peek_read, offsetof(struct store_peek, error)},
    [STORE_OP_LOOK] = {redis_look_send, redis_look_read, offsetof(struct store_look, error)},
    [STORE_OP_WITHDRAW] = {redis_withdraw_send, redis_withdraw_read,
                           offsetof(struct store_withdraw, error)},
    [STORE_OP_BLOCK] = {redis_block_send, redis_block_read, offsetof(struct store_block, error)},
    [STORE_OP_TICKET_GIVE] = {redis_ticket_give_send, redis_ticket_give_read,
                              offsetof(struct store_ticket_give, error)},
    [STORE_OP_TICKET_TAKE] = {redis_ticket_take_send, redis_ticket_take_read,
                              offsetof(struct store_ticket_take, error)},
};

static void set_op_error(struct store_request *request, enum err error)
{
    memcpy((char *)request + operations[request->op].error, &error, sizeof error);
    if (error == ERR_STORE_UNAVAILABLE || error == ERR_NO_MEMORY)
        metrics_count(METRIC_STORE_ERRORS);
}

void redis_ops_refuse(struct redis_commands *commands, struct store_request *request,
                      enum err error)
{
    if (request->op == STORE_OP_APPEND) {
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
    return request->op == STORE_OP_PAGE && redis_value_is(reply, REDIS_ERROR) &&
           redis_trouble_at(redis_trouble_find(reply->bytes))->is_refusal;
}

static void on_op_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_op(struct redis_commands *commands, struct store_request *request,
                        bool with_text)
{
    struct redis_call call = {.on_reply = on_op_reply, .arg = request, .with_text = with_text};
    return operations[request->op].send(commands, request, &call);
}

static void on_op_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct store_request *request = arg;
    enum err error = ERR_STORE_UNAVAILABLE;
    if (redis_answer_has_lost_script(reply)) {
        error = redis_answer_error(send_op(commands, request, true));
        if (error == ERR_OK)
            return;
    } else if (can_read_only(request, reply)) {
        redis_answer_refused(commands, reply);
        request->op = REDIS_OP_PAGE_READ_ONLY;
        error = redis_answer_error(send_op(commands, request, false));
        if (error == ERR_OK)
            return;
    } else if (reply != NULL) {
        error = operations[request->op].read(reply, request);
        if (error == ERR_STORE_UNAVAILABLE)
            redis_answer_refused(commands, reply);
        else if (request->op == STORE_OP_WITHDRAW)
            redis_answer_unheard(commands, redis_value_item(reply, WITHDRAW_UNHEARD));
    }
    set_op_error(request, error);
    request->on_done(request);
}

void redis_ops_run(struct redis_commands *commands, struct store_request *request)
{
    if (request->op == STORE_OP_APPEND) {
        redis_push_run(commands, (struct store_append *)request);
        return;
    }
    enum err error = send_op(commands, request, false);
    if (error != ERR_OK)
        redis_ops_refuse(commands, request, redis_answer_error(error));
}
