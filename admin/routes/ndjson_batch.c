/* A line of one user is parsed in the piece of the body in which it came. Its data and its collapse
 * key are copied by the gateway inside the call, so only the userId and the idempotency key are
 * copied here, into the room at the end of the batch. The line with a list of users is copied as a
 * whole, with its targets behind it, because its answer names every user.
 *
 * A batch counts the lines that are not answered; whoever answers the last one hands the batch back
 * to its owner. */
#include "admin/routes/ndjson_batch.h"

#include "gateway/base/list.h"

#include <stdlib.h>

/* The most that one line copies, and what is set aside for each: most userIds are short, and a
 * batch whose room is used up is pushed with fewer lines. */
enum {
    LINE_TEXT_MAX_BYTES = USER_ID_MAX_BYTES + IDEMPOTENCY_KEY_MAX_BYTES + COLLAPSE_KEY_MAX_BYTES,
    LINE_TEXT_BYTES = 64
};

/* One line with a list of users. */
struct line_list {
    struct gateway_push push;
    struct ndjson_batch *batch;
    struct ndjson_result *result;
    struct push_request parsed;
    struct gateway_target targets[];
};

static size_t text_cap(unsigned cap)
{
    return LINE_TEXT_MAX_BYTES + (size_t)(cap - 1) * LINE_TEXT_BYTES;
}

size_t ndjson_batch_size(unsigned cap)
{
    return sizeof(struct ndjson_batch) + cap * sizeof(struct ndjson_batch_line) + text_cap(cap);
}

void ndjson_batch_clear(struct ndjson_batch *batch)
{
    batch->n = 0;
    batch->bytes = 0;
    batch->text_len = 0;
    batch->first = NULL;
    batch->last = &batch->first;
}

struct ndjson_batch *ndjson_batch_new(unsigned cap, void *owner,
                                      void (*on_done)(struct ndjson_batch *batch))
{
    struct ndjson_batch *batch = malloc(ndjson_batch_size(cap));
    if (batch == NULL)
        return NULL;
    batch->next = NULL;
    batch->owner = owner;
    batch->on_done = on_done;
    batch->cap = cap;
    batch->text = (char *)(batch->lines + cap);
    ndjson_batch_clear(batch);
    return batch;
}

bool ndjson_batch_has_room(const struct ndjson_batch *batch)
{
    return batch->n < batch->cap && text_cap(batch->cap) - batch->text_len >= LINE_TEXT_MAX_BYTES;
}

size_t ndjson_batch_list_bytes(const struct push_request *parsed, struct span line)
{
    if (!parsed->is_list)
        return 0;
    return sizeof(struct line_list) +
           parsed->n_users * (sizeof(struct gateway_target) + sizeof(struct span)) + line.len;
}

/* ---- the answers ---- */

static void count_answer(struct ndjson_batch *batch)
{
    if (atomic_fetch_sub_explicit(&batch->n_left, 1, memory_order_acq_rel) == 1)
        batch->on_done(batch);
}

static void on_line_done(struct gateway_push *push)
{
    struct ndjson_batch_line *line = CONTAINER_OF(push, struct ndjson_batch_line, push);
    struct ndjson_batch *batch = line->batch;
    ndjson_result_take(line->result, push);
    count_answer(batch);
}

static void on_list_done(struct gateway_push *push)
{
    struct line_list *list = CONTAINER_OF(push, struct line_list, push);
    struct ndjson_batch *batch = list->batch;
    ndjson_result_take_list(list->result, push);
    count_answer(batch);
}

void ndjson_batch_free_list(struct gateway_push *push)
{
    struct line_list *list = CONTAINER_OF(push, struct line_list, push);
    push_request_fini(&list->parsed);
    free(list);
}

/* ---- the lines ---- */

static struct span copy_text(struct ndjson_batch *batch, struct span text)
{
    char *to = batch->text + batch->text_len;
    if (text.len == 0)
        return (struct span){0};
    memcpy(to, text.bytes, text.len);
    batch->text_len += text.len;
    return (struct span){to, text.len};
}

static void fill_push(struct gateway_push *push, const struct push_request *parsed)
{
    push->data = parsed->data;
    push->ttl_s = parsed->ttl_s;
    push->alert_after_s = parsed->alert_after_s;
    push->is_to_connection = parsed->is_to_connection;
    push->connection = parsed->connection;
    push->wait_ms = 0;
    push->collapse_key = parsed->collapse_key;
    push->idempotency_key = parsed->idempotency_key;
    push->n_targets = parsed->n_users;
}

static struct gateway_push *add_single(struct ndjson_batch *batch, struct push_request *parsed,
                                       struct ndjson_result *result)
{
    struct ndjson_batch_line *line = &batch->lines[batch->n];
    struct gateway_push *push = &line->push;
    line->batch = batch;
    line->result = result;
    line->target = (struct gateway_target){.user_id = copy_text(batch, parsed->user)};
    fill_push(push, parsed);
    push->on_done = on_line_done;
    push->idempotency_key = copy_text(batch, parsed->idempotency_key);
    if (parsed->memory != NULL) /* it was decoded there */
        push->collapse_key = copy_text(batch, parsed->collapse_key);
    push->targets = &line->target;
    push_request_fini(parsed);
    return push;
}

/* Where a text of the line is in its copy; what was decoded stays where it is. */
static struct span moved_text(struct span text, struct span line, const char *copy)
{
    if (text.len == 0 || text.bytes < line.bytes || text.bytes >= line.bytes + line.len)
        return text;
    return (struct span){copy + (text.bytes - line.bytes), text.len};
}

static struct gateway_push *add_list(struct ndjson_batch *batch, struct span line,
                                     struct push_request *parsed, struct ndjson_result *result)
{
    size_t n = parsed->n_users;
    struct line_list *list = malloc(sizeof *list + n * sizeof(struct gateway_target) + line.len);
    if (list == NULL)
        return NULL;
    char *copy = (char *)(list->targets + n);
    memcpy(copy, line.bytes, line.len);
    list->batch = batch;
    list->result = result;
    list->parsed = *parsed;
    fill_push(&list->push, parsed);
    list->push.on_done = on_list_done;
    list->push.idempotency_key = moved_text(parsed->idempotency_key, line, copy);
    list->push.targets = list->targets;
    for (size_t i = 0; i < n; i++)
        list->targets[i] =
            (struct gateway_target){.user_id = moved_text(parsed->users[i], line, copy)};
    return &list->push;
}

enum err ndjson_batch_add(struct ndjson_batch *batch, struct span line, struct push_request *parsed,
                          struct ndjson_result *result)
{
    struct gateway_push *push =
        parsed->is_list ? add_list(batch, line, parsed, result) : add_single(batch, parsed, result);
    if (push == NULL) {
        push_request_fini(parsed);
        return ERR_NO_MEMORY;
    }
    push->next = NULL;
    *batch->last = push;
    batch->last = &push->next;
    batch->n++;
    batch->bytes += line.len;
    return ERR_OK;
}

void ndjson_batch_push(struct ndjson_batch *batch, struct node *node)
{
    atomic_init(&batch->n_left, batch->n);
    gateway_push_many(node, batch->first);
}
