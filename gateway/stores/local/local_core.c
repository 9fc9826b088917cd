/* A turn: carry out, commit, report, answer.
 *
 * All requests of a batch are carried out on the index first, reads included: a read finds what it
 * needs among the committed records or in the group. Then the group is committed. Only after that
 * anything is reported: on_inbox_event for each note in the order of the numbers, then
 * on_done for each request.
 *
 * When a commit fails, nothing of the group counts, and what the disk holds is not known for
 * certain. So the backing opens its records anew and the index is built from them, which takes the
 * numbers back; every request that wrote, and every one that may have read what was written, is
 * answered ERR_STORE_UNAVAILABLE. Appends and acknowledgements are then refused at once; pages are
 * read as long as there is an index. Once a second it is tried whether something can be written
 * again. */
#include "gateway/stores/local/local_core.h"

#include "gateway/base/clock.h"
#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"
#include "gateway/stores/local/local_request.h"
#include "gateway/stores/local/pending_alerts.h"
#include "gateway/stores/local/presences.h"

#include <stdio.h>

/* A group ends here, so that the first request of a large batch is not answered with the last. */
enum { GROUP_MAX_RECORDS = 8192, GROUP_MAX_BYTES = 16 << 20 };

enum err local_core_init(struct local_core *core, const struct store_config *config,
                         struct store_clock clock, struct backing *backing,
                         struct local_index index)
{
    *core = (struct local_core){
        .state =
            {
                .backing = backing,
                .inbox_max = config->inbox_max,
                .inbox_max_bytes = config->inbox_max_bytes,
                .idempotency_window_ms = (int64_t)config->idempotency_window_s * 1000,
                .idempotency_max =
                    config->idempotency_max == 0 ? STORE_IDEMPOTENCY_MAX : config->idempotency_max,
                .events_max = config->events_max,
                .events_max_bytes = config->events_max_bytes,
                .event_ttl_ms = (int64_t)config->event_ttl_s * 1000,
                .alerts_max = config->alerts_max,
                .clock = clock,
                .index = index,
                .is_up = true,
                .is_full = true, /* until the first turn has asked the backing */
                .is_readable = true,
            },
        .events = config->events,
        .owner = config->owner,
        .is_reported_usable = true,
    };
    core->state.swept_ms = local_now_ms(&core->state);
    enum err error = expiring_table_new(STORE_MAX_TICKETS, &core->state.tickets);
    if (error != ERR_OK)
        goto undo_index;
    error = ERR_SYSTEM;
    if (pthread_mutex_init(&core->why_lock, NULL) != 0)
        goto undo_tickets;
    return ERR_OK;

undo_tickets:
    expiring_table_free(core->state.tickets);
undo_index:
    backing->ops->close(backing, &index);
    local_index_free(&index);
    return error;
}

void local_core_fini(struct local_core *core)
{
    struct local_state *state = &core->state;
    state->backing->ops->close(state->backing, &state->index);
    local_index_free(&state->index);
    expiring_table_free(state->tickets);
    group_fini(&state->group);
    pthread_mutex_destroy(&core->why_lock);
}

/* ---- up and down ---- */

static void report_usable(struct local_core *core, bool is_usable, const char *why)
{
    pthread_mutex_lock(&core->why_lock);
    snprintf(core->why, sizeof core->why, "%s", is_usable ? "" : why);
    pthread_mutex_unlock(&core->why_lock);
    core->is_ceiling_reported = false;
    if (is_usable == core->is_reported_usable)
        return;
    core->is_reported_usable = is_usable;
    if (is_usable)
        log_event(LOG_INFO, "the store can be written again",
                  LOG_TEXT("store", core->state.backing->ops->kind));
    else
        log_event(LOG_ERROR, "the store cannot be written; trying again each second",
                  LOG_TEXT("store", core->state.backing->ops->kind), LOG_TEXT("why", why));
    if (core->events.on_state != NULL)
        core->events.on_state(core->owner, is_usable);
}

void local_core_set_up(struct local_core *core, bool is_up, const char *why)
{
    core->state.is_up = is_up;
    core->state.is_full = false;
    report_usable(core, is_up, why);
}

/* After the requests of a turn: the first that found no room. */
static void report_if_full(struct local_core *core)
{
    if (!core->state.is_up || !core->state.is_full || !core->is_reported_usable)
        return;
    core->tried_ms = local_now_ms(&core->state);
    report_usable(core, false, core->state.why_full);
}

/* At its own ceiling the store is up: what is pushed out or acknowledged makes room for the next.
 */
static void report_if_at_ceiling(struct local_core *core)
{
    static const char why[] = "the store has reached --store-max-bytes: what leaves the inboxes "
                              "makes room, or raise it";
    static struct log_limit limit = LOG_LIMIT(60 * 1000);
    bool is_at_ceiling = core->state.is_at_ceiling;
    if (!core->is_reported_usable || is_at_ceiling == core->is_ceiling_reported)
        return;
    pthread_mutex_lock(&core->why_lock);
    snprintf(core->why, sizeof core->why, "%s", is_at_ceiling ? why : "");
    pthread_mutex_unlock(&core->why_lock);
    core->is_ceiling_reported = is_at_ceiling;
    if (is_at_ceiling)
        log_limited(&limit, span_of("any"), LOG_WARN, "pushes are refused",
                    LOG_TEXT("store", core->state.backing->ops->kind), LOG_TEXT("why", why));
}

static void rebuild_index(struct local_core *core, char *why)
{
    struct local_state *state = &core->state;
    local_index_clear(&state->index);
    state->is_readable = state->backing->ops->rebuild(state->backing, &state->index, why) == ERR_OK;
    if (!state->is_readable)
        local_index_clear(&state->index);
}

static void fail_group(struct local_core *core, const char *why_commit)
{
    char why_rebuild[STORE_WHY_MAX_BYTES] = "";
    metrics_count(METRIC_STORE_ERRORS);
    core->tried_ms = local_now_ms(&core->state);
    rebuild_index(core, why_rebuild);
    local_core_set_up(core, false, core->state.is_readable ? why_commit : why_rebuild);
}

static void check_backing(struct local_core *core)
{
    struct backing *backing = core->state.backing;
    char why[STORE_WHY_MAX_BYTES] = "";
    if (backing->ops->check != NULL && backing->ops->check(backing, why) != ERR_OK)
        local_core_set_up(core, false, why);
}

static void retry_backing(struct local_core *core)
{
    struct local_state *state = &core->state;
    char why[STORE_WHY_MAX_BYTES] = "";
    if (!state->is_readable)
        rebuild_index(core, why);
    enum err error = ERR_STORE_UNAVAILABLE;
    if (state->is_readable)
        error = state->backing->ops->probe(state->backing, why);
    state->is_up = error == ERR_OK || error == ERR_FULL;
    state->is_full = error == ERR_FULL;
    report_usable(core, error == ERR_OK, why);
}

/* Full is not down: what frees room is committed meanwhile. */
static void look_at_backing(struct local_core *core)
{
    int64_t now_ms = local_now_ms(&core->state);
    int64_t passed_ms = now_ms - core->tried_ms;
    if (core->is_held_down || core->state.tenure != LOCAL_HERE ||
        (passed_ms >= 0 && passed_ms < STORE_RETRY_MS))
        return;
    core->tried_ms = now_ms;
    if (core->state.is_up)
        check_backing(core);
    if (!core->state.is_up || core->state.is_full)
        retry_backing(core);
}

bool local_core_needs_time(const struct local_core *core)
{
    if (core->has_forgotten)
        return false;
    return !core->state.is_up || core->state.is_full || core->state.backing->ops->check != NULL ||
           inbox_table_count(core->state.index.users) > 0 ||
           idempotency_table_count(core->state.index.keys) > 0 ||
           expiring_table_count(core->state.index.blocks) > 0 ||
           expiring_table_count(core->state.tickets) > 0 ||
           !partitions_are_empty(core->state.index.events);
}

void local_core_describe(struct local_core *core, char *out, size_t cap)
{
    pthread_mutex_lock(&core->why_lock);
    snprintf(out, cap, "%s", core->why);
    pthread_mutex_unlock(&core->why_lock);
}

/* ---- how groups grow ---- */

/* Commits that are shorter cost less than the sleep; nobody waits longer, however slow the disk. */
enum { GATHER_MIN_COMMIT_US = 100, GATHER_MAX_US = 1000 };

int64_t local_core_gather_us(size_t n_appends, int64_t commit_us)
{
    if (n_appends < 2 || commit_us < GATHER_MIN_COMMIT_US)
        return 0;
    return commit_us / 2 < GATHER_MAX_US ? commit_us / 2 : GATHER_MAX_US;
}

/* ---- one turn ---- */

/* A storm of returning users reads its pages in several turns. */
enum { TURN_MAX_READ_BYTES = 16 * 1024 * 1024 };

static bool is_large(const struct local_state *state)
{
    const struct group *group = &state->group;
    return local_changes_left(state) == 0 || group->n_puts + group->n_dels > GROUP_MAX_RECORDS ||
           group->bytes + group->event_bytes > GROUP_MAX_BYTES;
}

static void count_group(const struct group *group)
{
    metrics_count(METRIC_STORE_COMMITS);
    metrics_add(METRIC_STORE_APPENDED, group->n_puts - group->counts.n_events);
    metrics_add(METRIC_INBOX_EXPIRED, group->counts.n_expired);
    metrics_add(METRIC_INBOX_OVERFLOW, group->counts.n_overflow);
    metrics_add(METRIC_INBOX_CANCELLED, group->counts.n_cancelled);
    metrics_add(METRIC_INBOX_COLLAPSED, group->counts.n_collapsed);
    metrics_add(METRIC_STORE_RESYNCS, group->counts.n_resyncs);
    metrics_add(METRIC_DEVICES_FORGOTTEN, group->counts.n_forgotten);
    metrics_add(METRIC_KEYS_FORGOTTEN, group->counts.n_keys_forgotten);
    metrics_add(METRIC_EVENTS_EXPIRED, group->counts.n_events_expired);
    metrics_add(METRIC_EVENTS_OVERFLOW, group->counts.n_events_overflow);
}

/* Workers are woken once for what is reported and answered to them: for each letter by itself they
 * would wake, find one, and sleep again. What waits for the others waits for at most this many. The
 * reports of a group that is smaller leave with its answers; those of a larger one before them,
 * because subscribers come before publishers. */
enum { REPORTS_A_WAKE_UP = 32 };

static void make_wake_ups(struct local_core *core)
{
    core->n_held = 0;
    mailbox_release();
    mailbox_hold();
}

static void count_report(struct local_core *core)
{
    if (++core->n_held == REPORTS_A_WAKE_UP)
        make_wake_ups(core);
}

static void report_event(struct local_core *core, struct span user_id, struct inbox_event event)
{
    core->events.on_inbox_event(core->owner, user_id, event);
    count_report(core);
}

static void report_group(struct local_core *core)
{
    struct group *group = &core->state.group;
    for (size_t i = 0; i < group->n_users; i++)
        group->users[i].inbox->is_dirty = false;
    for (size_t i = 0; i < group->n_partitions; i++)
        group->partitions[i]->is_dirty = false;
    for (size_t i = 0; i < group->n_presents; i++)
        group->presents[i].present->is_dirty = false;
    for (size_t i = 0; i < group->n_alerts; i++)
        group->alerts[i].alert->is_dirty = false;
    local_blocks_committed(&core->state);
    count_group(group);
    if (core->events.on_inbox_event == NULL)
        return;
    size_t n_reported = 0;
    for (size_t i = 0; i <= group->n_puts; i++) {
        for (; n_reported < group->n_withdrawals && group->withdrawals[n_reported].n_puts == i;
             n_reported++)
            report_event(core, group->withdrawals[n_reported].user_id,
                         inbox_event_of_withdrawal(group->withdrawals[n_reported].withdrawal));
        if (i < group->n_puts)
            report_event(core, group->puts[i].user_id, inbox_event_of_note(group->puts[i].note));
    }
    if (group->n_puts + group->n_withdrawals >= REPORTS_A_WAKE_UP)
        make_wake_ups(core);
}

static bool commit_group(struct local_core *core)
{
    char why[STORE_WHY_MAX_BYTES] = "";
    struct backing *backing = core->state.backing;
    if (group_is_empty(&core->state.group) && !(backing->wants_commit && core->state.is_up))
        return true;
    int64_t began_us = clock_monotonic_us();
    enum err error = backing->ops->commit(backing, &core->state.group, why);
    core->commit_us = clock_monotonic_us() - began_us;
    if (error == ERR_OK) {
        report_group(core);
        return true;
    }
    group_reset(&core->state.group); /* its users are about to be freed */
    fail_group(core, why);
    return false;
}

/* What a page holds in memory until it is answered. */
static uint64_t bytes_read(const struct store_request *request)
{
    if (local_request_op(request) != STORE_OP_PAGE)
        return 0;
    const struct store_page *page = (const struct store_page *)(const void *)request;
    uint64_t bytes = 0;
    for (size_t i = 0; i < page->n_notes; i++)
        bytes += page->notes[i]->payload->len;
    return bytes;
}

static void send_targets(struct local_core *core, struct store_append *append)
{
    struct notification *note =
        notification_new_live(append->payload, local_now_ms(&core->state), append->connection);
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        target->error = note == NULL ? ERR_NO_MEMORY : ERR_OK;
        target->nodes = 0;
        if (note != NULL && core->events.on_inbox_event != NULL)
            report_event(core, target->user_id, inbox_event_of_note(note));
    }
    notification_unref(note);
}

/* Commits, reports, and answers the requests before `end`. */
static void answer_requests(struct local_core *core, struct store_request *first,
                            struct store_request *end)
{
    core->n_held = 0;
    core->n_appends = 0;
    core->commit_us = 0;
    mailbox_hold();
    bool is_committed = commit_group(core);
    if (core->state.is_unfinished)
        local_settle_unfinished(end, is_committed);
    if (core->state.is_readable && core->state.backing->ops->end_turn != NULL)
        core->state.backing->ops->end_turn(core->state.backing);
    while (first != end) {
        struct store_request *request = first;
        first = request->next; /* on_done may free the request */
        if (!is_committed)
            local_take_answer_back(request);
        core->n_appends += local_request_op(request) == STORE_OP_APPEND;
        if (local_request_op(request) == STORE_OP_SEND)
            send_targets(core, (struct store_append *)(void *)request);
        request->on_done(request);
        count_report(core);
    }
    mailbox_release();
}

struct store_request *local_core_turn(struct local_core *core, struct store_request *requests)
{
    look_at_backing(core);
    if (core->state.tenure == LOCAL_AWAITED)
        requests = local_deferred_sort(&core->deferred, requests, local_now_ms(&core->state));
    core->state.is_unfinished = false;
    struct store_request *rest = requests;
    uint64_t read_bytes = 0;
    while (rest != NULL && !is_large(&core->state) && read_bytes < TURN_MAX_READ_BYTES) {
        local_apply_request(&core->state, rest);
        if (core->state.is_unfinished)
            break;
        read_bytes += bytes_read(rest);
        rest = rest->next;
    }
    bool is_unfinished = core->state.is_unfinished;
    local_apply_sweep(&core->state);
    core->state.is_unfinished = is_unfinished;
    report_if_full(core);
    report_if_at_ceiling(core);
    answer_requests(core, requests, rest);
    group_reset(&core->state.group);
    return rest;
}
