/* Each request goes out as EVALSHA and comes back to its on_..._reply, which either reads the
 * answer, or sends the script's text when Redis has lost it (it did nothing then, so a repeat is
 * safe), or answers an error. An append does so for each of its targets and is done with the last
 * of them. */
#include "gateway/store/redis_ops.h"

#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MESSAGE_DATA_MAX_BYTES = 16 << 10, /* more does not travel in the message */
    NUMBER_CAP = 24,
};

static const int64_t exact_max = INT64_C(1) << 53; /* Lua's numbers are doubles */

struct number {
    char digits[NUMBER_CAP];
};

static struct span write_number(struct number *number, uint64_t value)
{
    int len = snprintf(number->digits, sizeof number->digits, "%" PRIu64, value);
    return (struct span){number->digits, (size_t)len};
}

static struct span epoch_text(const struct epoch *epoch)
{
    return (struct span){epoch->text, epoch_is_none(*epoch) ? 0 : EPOCH_LEN};
}

/* --- errors --- */

static void set_error(struct store_request *request, enum redis_op op, enum err error)
{
    metrics_count(METRIC_STORE_ERRORS);
    if (op == REDIS_OP_PAGE)
        ((struct store_page *)request)->error = error;
    else if (op == REDIS_OP_ACK)
        ((struct store_ack *)request)->error = error;
    else if (op == REDIS_OP_PEEK)
        ((struct store_peek *)request)->error = error;
    else
        for (size_t i = 0; i < ((struct store_append *)request)->n_targets; i++)
            ((struct store_append *)request)->targets[i].error = error;
}

void redis_ops_refuse(struct redis_commands *commands, struct store_request *request,
                      enum err error)
{
    set_error(request, (enum redis_op)request->op, error);
    redis_commands_refuse(commands, request);
}

/* The caller knows no error of ours but these. */
static enum err as_store_error(enum err error)
{
    return error == ERR_OK || error == ERR_NO_MEMORY ? error : ERR_STORE_UNAVAILABLE;
}

static enum err bad_answer(struct redis_commands *commands, const struct redis_value *reply)
{
    if (redis_value_is(reply, REDIS_ERROR))
        redis_common_refused(commands->common, reply->bytes);
    else if (reply != NULL)
        redis_common_refused(commands->common, "a script's answer is malformed");
    return ERR_STORE_UNAVAILABLE;
}

static bool has_lost_script(const struct redis_value *reply)
{
    return redis_value_is(reply, REDIS_ERROR) && redis_value_starts(reply, "NOSCRIPT");
}

/* --- reading answers: numbers are checked to be whole, positive and exact --- */

static bool take_number(const struct redis_value *reply, size_t at, uint64_t *ret_number)
{
    int64_t number;
    if (!redis_value_integer(redis_value_item(reply, at), &number) || number < 0 ||
        number > exact_max)
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

static bool take_epoch(const struct redis_value *reply, size_t at, struct epoch *ret_epoch)
{
    struct span text;
    return redis_value_text(redis_value_item(reply, at), &text) &&
           redis_epoch_read(text, ret_epoch);
}

static void count_left(uint64_t expired, uint64_t pushed_out, uint64_t is_lost)
{
    if (expired > 0)
        metrics_add(METRIC_INBOX_EXPIRED, expired);
    if (pushed_out > 0)
        metrics_add(METRIC_INBOX_OVERFLOW, pushed_out);
    if (is_lost > 0)
        metrics_count(METRIC_STORE_RESYNCS);
}

/* --- append --- */

static enum err read_push(const struct redis_value *reply, struct store_append *append,
                          struct store_target *target)
{
    uint64_t seq, time, expires, nodes, expired, pushed_out, is_lost;
    struct epoch epoch;
    if (!take_number(reply, 0, &seq) || !take_epoch(reply, 1, &epoch) ||
        !take_number(reply, 2, &time) || !take_number(reply, 3, &expires) ||
        !take_number(reply, 4, &nodes) || !take_number(reply, 5, &expired) ||
        !take_number(reply, 6, &pushed_out) || !take_number(reply, 7, &is_lost) || seq == 0 ||
        epoch_is_none(epoch))
        return ERR_STORE_UNAVAILABLE;
    count_left(expired, pushed_out, is_lost);
    metrics_count(METRIC_STORE_APPENDED);
    target->seq = seq;
    target->epoch = epoch;
    target->nodes = (unsigned)nodes;
    append->time_ms = (int64_t)time;
    append->expires_ms = (int64_t)expires;
    return ERR_OK;
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_push(struct redis_commands *commands, struct store_append *append,
                          size_t index, bool with_text)
{
    const struct redis_common *common = commands->common;
    struct store_target *target = &append->targets[index];
    struct redis_keys keys;
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    if (error != ERR_OK)
        return error;
    redis_keys_write(&keys, common->prefix, target->user_id);
    struct number ttl, head, count, bytes, inside;
    struct span args[] = {
        keys.inbox,
        keys.meta,
        keys.channel,
        payload_data(append->payload),
        write_number(&ttl, (uint64_t)append->ttl_s * 1000),
        write_number(&head, target->known_head),
        epoch_text(&target->known_epoch),
        epoch_text(&fresh),
        write_number(&count, common->inbox_max),
        write_number(&bytes, common->inbox_max_bytes),
        write_number(&inside, MESSAGE_DATA_MAX_BYTES),
    };
    return redis_commands_eval(commands, SCRIPT_PUSH, with_text, args, sizeof args / sizeof args[0],
                               3, on_push_reply, append, index);
}

/* One more target has its answer; true: it was the last. */
static bool target_done(struct store_append *append, size_t index, enum err error)
{
    append->targets[index].error = error;
    if (error != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
    return --append->request.op == 0;
}

static void on_push_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_commands *commands = owner;
    struct store_append *append = arg;
    enum err error = ERR_STORE_UNAVAILABLE;
    if (has_lost_script(reply)) {
        error = as_store_error(send_push(commands, append, index, true));
        if (error == ERR_OK)
            return;
    } else if (reply != NULL) {
        error = read_push(reply, append, &append->targets[index]);
        if (error != ERR_OK)
            error = bad_answer(commands, reply);
    }
    if (target_done(append, index, error))
        append->request.on_done(&append->request);
}

static void run_append(struct redis_commands *commands, struct store_append *append)
{
    append->time_ms = 0;
    append->expires_ms = 0;
    append->request.op = (int)append->n_targets + 1; /* one for ourselves, until all are sent */
    for (size_t i = 0; i < append->n_targets; i++) {
        enum err error = send_push(commands, append, i, false);
        if (error != ERR_OK)
            target_done(append, i, as_store_error(error));
    }
    if (--append->request.op == 0)
        redis_commands_refuse(commands, &append->request);
}

/* --- page --- */

static void free_notes(struct store_page *page)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
    page->notes = NULL;
    page->n_notes = 0;
}

static enum err read_notes(const struct redis_value *entries, struct store_page *page)
{
    if (!redis_value_is(entries, REDIS_ARRAY) || entries->n % 2 != 0)
        return ERR_STORE_UNAVAILABLE;
    if (entries->n == 0)
        return ERR_OK;
    page->notes = calloc(entries->n / 2, sizeof(struct notification *));
    if (page->notes == NULL)
        return ERR_NO_MEMORY;
    uint64_t previous = 0;
    for (size_t i = 0; i < entries->n; i += 2) {
        uint64_t seq;
        struct span entry;
        if (!take_number(entries, i, &seq) || seq <= previous || seq > page->last ||
            !redis_value_text(redis_value_item(entries, i + 1), &entry))
            return ERR_STORE_UNAVAILABLE;
        enum err error =
            redis_entry_read(page->epoch, (int64_t)seq, entry, &page->notes[page->n_notes]);
        if (error != ERR_OK)
            return error;
        page->n_notes++;
        previous = seq;
    }
    return ERR_OK;
}

static enum err read_page(const struct redis_value *reply, struct store_page *page)
{
    uint64_t expired, is_lost;
    if (!take_epoch(reply, 0, &page->epoch) || !take_number(reply, 1, &page->head) ||
        !take_number(reply, 2, &page->acked) || !take_number(reply, 3, &page->last) ||
        !take_number(reply, 4, &expired) || !take_number(reply, 5, &is_lost) ||
        (epoch_is_none(page->epoch) && page->head > 0))
        return ERR_STORE_UNAVAILABLE;
    count_left(expired, 0, is_lost);
    enum err error = read_notes(redis_value_item(reply, 6), page);
    if (error != ERR_OK)
        free_notes(page);
    return error;
}

static void on_page_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_page(struct redis_commands *commands, struct store_page *page, bool with_text)
{
    struct redis_keys keys;
    struct epoch fresh;
    enum err error = epoch_random(&fresh);
    if (error != ERR_OK)
        return error;
    redis_keys_write(&keys, commands->common->prefix, page->user_id);
    struct number after, count, bytes, head;
    struct span args[] = {
        keys.inbox,
        keys.meta,
        page->from_acked ? SPAN_LITERAL("") : write_number(&after, page->after),
        write_number(&count, page->max_count > 0 ? page->max_count : 1),
        write_number(&bytes, page->max_bytes),
        write_number(&head, page->known_head),
        epoch_text(&page->known_epoch),
        epoch_text(&fresh),
    };
    return redis_commands_eval(commands, SCRIPT_PAGE, with_text, args, sizeof args / sizeof args[0],
                               2, on_page_reply, page, 0);
}

static void on_page_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct store_page *page = arg;
    page->error = ERR_STORE_UNAVAILABLE;
    if (has_lost_script(reply)) {
        page->error = as_store_error(send_page(commands, page, true));
        if (page->error == ERR_OK)
            return;
    } else if (reply != NULL) {
        page->error = read_page(reply, page);
        if (page->error == ERR_STORE_UNAVAILABLE)
            page->error = bad_answer(commands, reply);
    }
    if (page->error != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
    page->request.on_done(&page->request);
}

static void run_page(struct redis_commands *commands, struct store_page *page)
{
    page->notes = NULL;
    page->n_notes = 0;
    enum err error = send_page(commands, page, false);
    if (error != ERR_OK)
        redis_ops_refuse(commands, &page->request, as_store_error(error));
}

/* --- ack --- */

static void on_ack_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_ack(struct redis_commands *commands, struct store_ack *ack, bool with_text)
{
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, ack->user_id);
    struct number seq;
    struct span args[] = {keys.inbox, keys.meta, epoch_text(&ack->epoch),
                          write_number(&seq, ack->seq)};
    return redis_commands_eval(commands, SCRIPT_ACK, with_text, args, 4, 2, on_ack_reply, ack, 0);
}

static enum err read_ack(const struct redis_value *reply)
{
    uint64_t is_stale, expired;
    if (!take_number(reply, 0, &is_stale) || !take_number(reply, 1, &expired))
        return ERR_STORE_UNAVAILABLE;
    count_left(expired, 0, 0);
    return is_stale != 0 ? ERR_STALE_EPOCH : ERR_OK;
}

static void on_ack_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct store_ack *ack = arg;
    ack->error = ERR_STORE_UNAVAILABLE;
    if (has_lost_script(reply)) {
        ack->error = as_store_error(send_ack(commands, ack, true));
        if (ack->error == ERR_OK)
            return;
    } else if (reply != NULL) {
        ack->error = read_ack(reply);
        if (ack->error == ERR_STORE_UNAVAILABLE)
            ack->error = bad_answer(commands, reply);
    }
    if (ack->error == ERR_STORE_UNAVAILABLE)
        metrics_count(METRIC_STORE_ERRORS);
    ack->request.on_done(&ack->request);
}

/* --- peek --- */

static void on_peek_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static enum err send_peek(struct redis_commands *commands, struct store_peek *peek, bool with_text)
{
    struct redis_keys keys;
    redis_keys_write(&keys, commands->common->prefix, peek->user_id);
    struct span args[] = {keys.inbox, keys.meta};
    return redis_commands_eval(commands, SCRIPT_PEEK, with_text, args, 2, 2, on_peek_reply, peek,
                               0);
}

static enum err read_peek(const struct redis_value *reply, struct store_peek *peek)
{
    uint64_t oldest, expired;
    if (!take_epoch(reply, 0, &peek->epoch) || !take_number(reply, 1, &peek->head) ||
        !take_number(reply, 2, &peek->acked) || !take_number(reply, 3, &peek->pending) ||
        !take_number(reply, 4, &oldest) || !take_number(reply, 5, &expired))
        return ERR_STORE_UNAVAILABLE;
    peek->oldest_time_ms = (int64_t)oldest;
    count_left(expired, 0, 0);
    return ERR_OK;
}

static void on_peek_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct store_peek *peek = arg;
    peek->error = ERR_STORE_UNAVAILABLE;
    if (has_lost_script(reply)) {
        peek->error = as_store_error(send_peek(commands, peek, true));
        if (peek->error == ERR_OK)
            return;
    } else if (reply != NULL) {
        peek->error = read_peek(reply, peek);
        if (peek->error != ERR_OK)
            peek->error = bad_answer(commands, reply);
    }
    if (peek->error != ERR_OK)
        metrics_count(METRIC_STORE_ERRORS);
    peek->request.on_done(&peek->request);
}

void redis_ops_run(struct redis_commands *commands, struct store_request *request)
{
    enum err error = ERR_OK;
    switch ((enum redis_op)request->op) {
    case REDIS_OP_APPEND:
        run_append(commands, (struct store_append *)request);
        return;
    case REDIS_OP_PAGE:
        run_page(commands, (struct store_page *)request);
        return;
    case REDIS_OP_ACK:
        error = send_ack(commands, (struct store_ack *)request, false);
        break;
    case REDIS_OP_PEEK:
        error = send_peek(commands, (struct store_peek *)request, false);
        break;
    }
    if (error != ERR_OK)
        redis_ops_refuse(commands, request, as_store_error(error));
}
