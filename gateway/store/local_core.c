/* A turn: carry out, commit, tell, answer.
 *
 * All requests of a batch are carried out on the index first, reads included: a read finds what it
 * needs among the committed records or in the group. Then the group is committed. Only after that
 * anybody hears of anything: on_notification for each note in the order of the numbers, then
 * on_done for each request.
 *
 * When a commit fails, nothing of the group counts, and what the disk holds is not known for
 * certain. So the backing opens its records anew and the index is built from them, which takes the
 * numbers back; every request that wrote, and every one that may have read what was written, is
 * answered ERR_STORE_UNAVAILABLE. Appends and acknowledgements are then refused at once; pages are
 * read as long as there is an index. Once a second it is tried whether something can be written
 * again. */
#include "gateway/store/local_core.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/store/local_apply.h"

#include <stdio.h>

/* A group ends here, so that the first request of a large batch is not answered with the last. */
enum { GROUP_MAX_RECORDS = 8192, GROUP_MAX_BYTES = 16 << 20 };

/* In store_request.op, beside the kind: it was carried out when the group had changes already. */
enum { OP_KIND = 0xff, OP_SAW_GROUP = 0x100 };

enum err local_core_init(struct local_core *core, const struct store_config *config,
                         struct store_clock clock, struct backing *backing,
                         struct inbox_table *table)
{
    *core = (struct local_core){
        .backing = backing,
        .inbox_max = config->inbox_max,
        .inbox_max_bytes = config->inbox_max_bytes,
        .events = config->events,
        .owner = config->owner,
        .clock = clock,
        .table = table,
        .is_up = true,
        .is_readable = true,
    };
    core->swept_ms = local_core_now_ms(core);
    if (pthread_mutex_init(&core->why_lock, NULL) != 0) {
        backing->ops->close(backing, table);
        inbox_table_free(table);
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

void local_core_fini(struct local_core *core)
{
    core->backing->ops->close(core->backing, core->table);
    inbox_table_free(core->table);
    group_fini(&core->group);
    pthread_mutex_destroy(&core->why_lock);
}

/* ---- up and down ---- */

void local_core_set_up(struct local_core *core, bool is_up, const char *why)
{
    pthread_mutex_lock(&core->why_lock);
    snprintf(core->why, sizeof core->why, "%s", is_up ? "" : why);
    pthread_mutex_unlock(&core->why_lock);
    if (is_up == core->is_up)
        return;
    core->is_up = is_up;
    if (is_up)
        log_event(LOG_INFO, "the store can be written again",
                  LOG_TEXT("store", core->backing->ops->kind));
    else
        log_event(LOG_ERROR, "the store cannot be written; trying again each second",
                  LOG_TEXT("store", core->backing->ops->kind), LOG_TEXT("why", why));
    if (core->events.on_state != NULL)
        core->events.on_state(core->owner, is_up);
}

static void rebuild(struct local_core *core, char *why)
{
    inbox_table_clear(core->table);
    core->is_readable = core->backing->ops->rebuild(core->backing, core->table, why) == ERR_OK;
    if (!core->is_readable)
        inbox_table_clear(core->table);
}

static void fail_group(struct local_core *core, const char *why_commit)
{
    char why_rebuild[STORE_WHY_MAX_BYTES] = "";
    metrics_count(METRIC_STORE_ERRORS);
    core->tried_ms = local_core_now_ms(core);
    rebuild(core, why_rebuild);
    local_core_set_up(core, false, core->is_readable ? why_commit : why_rebuild);
}

static void retry_if_due(struct local_core *core)
{
    int64_t now_ms = local_core_now_ms(core);
    int64_t passed_ms = now_ms - core->tried_ms;
    if (core->is_up || core->is_held_down || (passed_ms >= 0 && passed_ms < STORE_RETRY_MS))
        return;
    char why[STORE_WHY_MAX_BYTES] = "";
    core->tried_ms = now_ms;
    if (!core->is_readable)
        rebuild(core, why);
    bool is_up = core->is_readable && core->backing->ops->probe(core->backing, why) == ERR_OK;
    local_core_set_up(core, is_up, why);
}

bool local_core_needs_time(const struct local_core *core)
{
    return !core->is_up || inbox_table_count(core->table) > 0;
}

void local_core_describe(struct local_core *core, char *out, size_t cap)
{
    pthread_mutex_lock(&core->why_lock);
    snprintf(out, cap, "%s", core->why);
    pthread_mutex_unlock(&core->why_lock);
}

/* ---- one turn ---- */

static void apply(struct local_core *core, struct store_request *request)
{
    int kind = request->op & OP_KIND;
    request->op = kind;
    if (kind == LOCAL_APPEND)
        local_apply_append(core, (struct store_append *)(void *)request);
    else if (kind == LOCAL_PAGE)
        local_apply_page(core, (struct store_page *)(void *)request);
    else if (kind == LOCAL_ACK)
        local_apply_ack(core, (struct store_ack *)(void *)request);
    else
        local_apply_peek(core, (struct store_peek *)(void *)request);
    if (!group_is_empty(&core->group))
        request->op |= OP_SAW_GROUP;
}

/* A storm of returning users reads its pages in several turns. */
enum { TURN_MAX_READ_BYTES = 16 * 1024 * 1024 };

static bool is_large(const struct group *group)
{
    return group->n_puts + group->n_dels > GROUP_MAX_RECORDS || group->bytes > GROUP_MAX_BYTES;
}

static void fail_append(struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++)
        if (append->targets[i].error == ERR_OK)
            append->targets[i].error = ERR_STORE_UNAVAILABLE;
}

static void take_answer_back(struct store_request *request)
{
    if (!(request->op & OP_SAW_GROUP))
        return;
    switch (request->op & OP_KIND) {
    case LOCAL_APPEND:
        fail_append((struct store_append *)(void *)request);
        break;
    case LOCAL_PAGE:
        local_page_fail((struct store_page *)(void *)request, ERR_STORE_UNAVAILABLE);
        break;
    case LOCAL_ACK:
        ((struct store_ack *)(void *)request)->error = ERR_STORE_UNAVAILABLE;
        break;
    default:
        ((struct store_peek *)(void *)request)->error = ERR_STORE_UNAVAILABLE;
    }
}

static void tell_of_group(struct local_core *core)
{
    struct group *group = &core->group;
    for (size_t i = 0; i < group->n_users; i++)
        group->users[i].inbox->is_dirty = false;
    metrics_count(METRIC_STORE_COMMITS);
    metrics_add(METRIC_STORE_APPENDED, group->n_puts);
    metrics_add(METRIC_INBOX_EXPIRED, group->n_expired);
    metrics_add(METRIC_INBOX_OVERFLOW, group->n_overflow);
    metrics_add(METRIC_STORE_RESYNCS, group->n_resyncs);
    if (core->events.on_notification == NULL)
        return;
    for (size_t i = 0; i < group->n_puts; i++)
        core->events.on_notification(core->owner, group->puts[i].user_id, group->puts[i].note);
}

static bool commit(struct local_core *core)
{
    char why[STORE_WHY_MAX_BYTES] = "";
    if (group_is_empty(&core->group))
        return true;
    if (core->backing->ops->commit(core->backing, &core->group, why) == ERR_OK) {
        tell_of_group(core);
        return true;
    }
    group_reset(&core->group); /* its users are about to be freed */
    fail_group(core, why);
    return false;
}

/* What a page holds in memory until it is answered. */
static uint64_t bytes_read(const struct store_request *request)
{
    if ((request->op & OP_KIND) != LOCAL_PAGE)
        return 0;
    const struct store_page *page = (const struct store_page *)(const void *)request;
    uint64_t bytes = 0;
    for (size_t i = 0; i < page->n_notes; i++)
        bytes += page->notes[i]->payload->len;
    return bytes;
}

struct store_request *local_core_turn(struct local_core *core, struct store_request *requests)
{
    retry_if_due(core);
    struct store_request *rest = requests;
    uint64_t read_bytes = 0;
    while (rest != NULL && !is_large(&core->group) && read_bytes < TURN_MAX_READ_BYTES) {
        apply(core, rest);
        read_bytes += bytes_read(rest);
        rest = rest->next;
    }
    local_apply_sweep(core);
    bool is_committed = commit(core);
    if (core->backing->ops->end_turn != NULL)
        core->backing->ops->end_turn(core->backing);
    while (requests != rest) {
        struct store_request *request = requests;
        requests = request->next; /* on_done may free the request */
        if (!is_committed)
            take_answer_back(request);
        request->on_done(request);
    }
    group_reset(&core->group);
    return rest;
}
