/* A due alert waits in its partition's list until acknowledgements on their way have been written,
 * and then becomes four questions to the store, one after the other: what has become of the number
 * (look), its data if it is pending (page), whether the user is online anywhere, and the end of the
 * alert with its event. An alert that no longer needs an event is ended after the first.
 *
 * Whatever fails, the work is given up, and the alert comes again with the next answer of
 * store_serve, a second or two later. A page that does not show a number that was pending has been
 * overtaken by an acknowledgement, an end of its time or a withdrawal: the number is looked up
 * again.
 *
 * The store hands over the oldest STORE_SERVE_ALERTS. When most of them have ended it is asked for
 * more at once. Those that have failed are the oldest from then on, and are passed over until the
 * store has handed over the last one that is due: so the others are not kept back by users whose
 * part of the store is away. If all have failed, the next ones come with the next look. */
#include "gateway/events/alerts.h"

#include "gateway/base/metrics.h"
#include "gateway/events/serving.h"
#include "gateway/node/worker.h"
#include "proto/note/event_alert.h"

#include <stdlib.h>

struct alert_work {
    struct letter letter;
    struct list link; /* in its partition's waiting, the earliest first, or under_way */
    struct alert_list *of;
    struct store_alert alert;
    int64_t look_at_ms; /* monotonic */
    bool has_looked_again;
    bool has_failed;
    bool is_online; /* out of the store's answer */
    enum alert_cause cause;
    struct notification *note; /* pending, with the data; NULL: it is not there */
    struct span user_id;
    struct buf event;
    union {
        struct store_look look;
        struct store_page page;
        struct store_online online;
        struct store_alert_end end;
    } asked; /* what is under way */
};

/* Of one partition; its worker's thread. */
struct alert_list {
    struct alerts *alerts;
    unsigned partition;
    struct timer timer; /* the earliest of those that wait */
    struct list waiting;
    struct list under_way;
    unsigned n_waiting;
    unsigned n_under_way;
    bool may_be_more;   /* the last answer was as long as one may be, and no more was asked for */
    bool must_skip;     /* the last answer was as long: those that fail are passed over */
    unsigned n_ended;   /* works since the last answer */
    uint32_t n_skipped; /* that have failed since the store began with the oldest */
    uint64_t n_pending; /* in the store, as in the gauge */
};

struct alerts {
    struct events *events;
    struct serving_listener listener;
    atomic_bool is_stopped;
    struct alert_list lists[STORE_PARTITIONS];
};

static struct node *node_of(const struct alert_work *work)
{
    return work->of->alerts->events->node;
}

static struct worker *worker_of(const struct alert_list *list)
{
    const struct node *node = list->alerts->events->node;
    return node->workers[store_partition_lane(list->partition, node->n_workers)];
}

static unsigned home_of(const struct alert_work *work)
{
    return client_map_home(node_of(work)->map, work->user_id);
}

/* ---- the end of a work ---- */

static void start_due(struct alert_list *list);

static void free_work(struct alert_work *work)
{
    list_remove(&work->link);
    if (work->note != NULL)
        notification_unref(work->note);
    buf_fini(&work->event);
    free(work);
}

static void ask_for_more(struct alert_list *list)
{
    const struct alerts *alerts = list->alerts;
    bool is_low = list->n_waiting + list->n_under_way <= ALERTS_AT_ONCE;
    if (!list->may_be_more || list->n_ended == 0 || !is_low || alerts->events->serving == NULL)
        return;
    list->may_be_more = false;
    serving_ask(alerts->events->serving, list->partition);
}

static void skip_alerts(struct alert_list *list, uint32_t n)
{
    struct serving *serving = list->alerts->events->serving;
    list->n_skipped = n;
    if (serving != NULL)
        serving_skip_alerts(serving, list->partition, n);
}

static void on_work_over(struct letter *letter)
{
    struct alert_work *work = CONTAINER_OF(letter, struct alert_work, letter);
    struct alert_list *list = work->of;
    list->n_under_way--;
    if (!work->has_failed)
        list->n_ended++;
    else if (list->must_skip)
        skip_alerts(list, list->n_skipped + 1);
    free_work(work);
    if (atomic_load(&list->alerts->is_stopped))
        return;
    start_due(list);
    ask_for_more(list);
}

/* Any thread. */
static void finish_work(struct alert_work *work, bool has_failed)
{
    work->has_failed = has_failed;
    worker_post(worker_of(work->of), &work->letter, on_work_over);
}

/* Any thread: false, if the store may not be asked any more; then the work is over. */
static bool may_ask(struct alert_work *work)
{
    if (!atomic_load(&work->of->alerts->is_stopped))
        return true;
    finish_work(work, true);
    return false;
}

/* ---- the end of the alert, with its event or without ---- */

static void on_ended(struct store_request *request)
{
    static const enum metric fired[ALERT_CAUSES] = {
        [ALERT_WAITING] = METRIC_ALERTS_WAITING,
        [ALERT_OVERFLOW] = METRIC_ALERTS_OVERFLOW,
        [ALERT_UNKNOWN] = METRIC_ALERTS_UNKNOWN,
    };
    struct alert_work *work = CONTAINER_OF(request, struct alert_work, asked.end.request);
    bool has_event = work->event.len > 0;
    bool is_ended = work->asked.end.error == ERR_OK;
    if (is_ended)
        metrics_count(has_event ? fired[work->cause] : METRIC_ALERTS_DROPPED);
    finish_work(work, !is_ended);
}

static void end_alert(struct alert_work *work)
{
    struct node *node = node_of(work);
    if (!may_ask(work))
        return;
    work->asked.end = (struct store_alert_end){
        .request = {.on_done = on_ended,
                    .lane = store_partition_lane(work->of->partition, node->n_workers)},
        .partition = work->of->partition,
        .alert = work->alert,
        .event = buf_span(&work->event),
    };
    store_alert_end(node->store, &work->asked.end);
}

static void end_with_event(struct alert_work *work)
{
    const struct store_alert *alert = &work->alert;
    struct span data = {0};
    if (work->note != NULL)
        data = payload_data(work->note->payload);
    const struct event_alert event = {.user_id = work->user_id,
                                      .epoch = alert->epoch,
                                      .seq = alert->seq,
                                      .pushed_ms = alert->pushed_ms,
                                      .is_online = work->is_online,
                                      .cause = work->cause,
                                      .data = data};
    buf_init(&work->event, data.len + EVENT_ALERT_MAX_BYTES);
    if (event_write_alert(&work->event, &event) == ERR_OK)
        end_alert(work);
    else
        finish_work(work, true);
}

/* ---- is the user online? ---- */

static void on_online_asked(struct store_request *request)
{
    struct alert_work *work = CONTAINER_OF(request, struct alert_work, asked.online.request);
    if (work->asked.online.error == ERR_OK)
        end_with_event(work);
    else
        finish_work(work, true);
}

static void ask_online(struct alert_work *work)
{
    struct node *node = node_of(work);
    work->is_online = client_map_count(node->map, work->user_id) > 0;
    if (work->is_online || !store_is_shared(node->store)) {
        end_with_event(work);
        return;
    }
    if (!may_ask(work))
        return;
    work->asked.online = (struct store_online){
        .request = {.on_done = on_online_asked, .lane = home_of(work)},
        .n_users = 1,
        .users = &work->user_id,
        .is_online = &work->is_online,
    };
    store_online(node->store, &work->asked.online);
}

/* ---- what has become of the notification ---- */

static void look_up(struct alert_work *work);

static void on_page(struct store_request *request)
{
    struct alert_work *work = CONTAINER_OF(request, struct alert_work, asked.page.request);
    struct store_page *page = &work->asked.page;
    enum err error = page->error;
    if (error == ERR_OK && page->n_notes > 0 && page->notes[0]->seq == work->alert.seq &&
        epoch_equal(page->epoch, work->alert.epoch))
        work->note = notification_ref(page->notes[0]);
    store_page_clear(page);
    if (error != ERR_OK) {
        finish_work(work, true);
    } else if (work->note == NULL && !work->has_looked_again) {
        work->has_looked_again = true;
        look_up(work);
    } else {
        ask_online(work);
    }
}

/* Reads the one notification; nothing is changed by it. */
static void read_data(struct alert_work *work)
{
    if (!may_ask(work))
        return;
    work->asked.page = (struct store_page){
        .request = {.on_done = on_page, .lane = home_of(work)},
        .user_id = work->user_id,
        .after_epoch = work->alert.epoch,
        .after = work->alert.seq - 1,
        .max_count = 1,
        .max_bytes = 1,
    };
    store_page(node_of(work)->store, &work->asked.page);
}

/* Is it gone without having reached anybody, as far as is known? Its ttl ends after the alert is
 * due: what has expired since still waited then, unless a session had it, whose acknowledgement may
 * have been on its way. */
static bool is_lost(const struct store_found *found, enum alert_cause *ret_cause)
{
    if (found->fate != FATE_GONE)
        return false;
    switch (found->cause) {
    case GAP_OVERFLOW:
        *ret_cause = ALERT_OVERFLOW;
        return true;
    case GAP_NONE:
    case GAP_UNKNOWN:
    case GAP_RESET:
        *ret_cause = ALERT_UNKNOWN;
        return true;
    case GAP_EXPIRED:
        *ret_cause = ALERT_WAITING;
        return !found->is_written;
    case GAP_CANCELLED:
    case GAP_COLLAPSED:
    case GAP_ACKNOWLEDGED:
        break;
    }
    return false;
}

static void on_looked(struct store_request *request)
{
    struct alert_work *work = CONTAINER_OF(request, struct alert_work, asked.look.request);
    struct store_found found = work->asked.look.found;
    if (work->asked.look.error == ERR_NOT_FOUND) /* the store has lost it */
        found = (struct store_found){.fate = FATE_GONE, .cause = GAP_UNKNOWN};
    else if (work->asked.look.error != ERR_OK) {
        finish_work(work, true);
        return;
    }
    work->cause = ALERT_WAITING;
    if (found.fate == FATE_PENDING)
        read_data(work);
    else if (is_lost(&found, &work->cause))
        ask_online(work);
    else
        end_alert(work);
}

static void look_up(struct alert_work *work)
{
    if (!may_ask(work))
        return;
    work->asked.look = (struct store_look){
        .request = {.on_done = on_looked, .lane = home_of(work)},
        .user_id = work->user_id,
        .epoch = work->alert.epoch,
        .seq = work->alert.seq,
    };
    store_look(node_of(work)->store, &work->asked.look);
}

/* ---- what waits ---- */

static struct alert_work *first_waiting(const struct alert_list *list)
{
    return CONTAINER_OF(list->waiting.next, struct alert_work, link);
}

static void start_due(struct alert_list *list)
{
    while (list->n_waiting > 0 && list->n_under_way < ALERTS_AT_ONCE) {
        struct alert_work *work = first_waiting(list);
        if (work->look_at_ms > worker_now_ms(worker_of(list))) {
            worker_set_timer(worker_of(list), &list->timer, work->look_at_ms);
            return;
        }
        list_remove(&work->link);
        list_append(&list->under_way, &work->link);
        list->n_waiting--;
        list->n_under_way++;
        look_up(work);
    }
}

static void on_look_due(struct timer *timer)
{
    struct alert_list *list = CONTAINER_OF(timer, struct alert_list, timer);
    if (!atomic_load(&list->alerts->is_stopped))
        start_due(list);
}

static bool is_same(const struct store_alert *a, const struct store_alert *b)
{
    return a->seq == b->seq && epoch_equal(a->epoch, b->epoch) &&
           span_equal((struct span){a->user_id, a->user_id_len},
                      (struct span){b->user_id, b->user_id_len});
}

static bool is_in(const struct list *works, const struct store_alert *alert)
{
    LIST_FOR_EACH(link, works)
    if (is_same(&CONTAINER_OF(link, struct alert_work, link)->alert, alert))
        return true;
    return false;
}

/* By the store's clock; never later than the grace from now, whatever the clocks say. */
static int64_t look_at(const struct alert_list *list, const struct store_alert *alert)
{
    const struct store *store = list->alerts->events->node->store;
    int64_t grace_ms = store_is_shared(store) ? ALERT_GRACE_SHARED_MS : ALERT_GRACE_LOCAL_MS;
    int64_t left_ms =
        alert->due_ms + grace_ms - store_now_of(store, store_partition_user(list->partition));
    left_ms = left_ms < 0 ? 0 : left_ms > grace_ms ? grace_ms : left_ms;
    return worker_now_ms(worker_of(list)) + left_ms;
}

/* The alerts come in the order of their times, so the new one is most often the last. */
static void insert_waiting(struct alert_list *list, struct alert_work *work)
{
    struct list *before = list->waiting.prev;
    while (before != &list->waiting &&
           CONTAINER_OF(before, struct alert_work, link)->look_at_ms > work->look_at_ms)
        before = before->prev;
    list_append(before->next, &work->link);
    list->n_waiting++;
}

static void take_alert(struct alert_list *list, const struct store_alert *alert)
{
    if (list->n_waiting + list->n_under_way >= ALERTS_IN_HAND || is_in(&list->waiting, alert) ||
        is_in(&list->under_way, alert))
        return;
    struct alert_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return; /* it comes again */
    work->of = list;
    work->alert = *alert;
    work->user_id = (struct span){work->alert.user_id, work->alert.user_id_len};
    work->look_at_ms = look_at(list, alert);
    list_init(&work->link);
    insert_waiting(list, work);
}

static void show_pending(struct alert_list *list, uint64_t n_pending)
{
    metrics_gauge_add(METRIC_ALERTS_PENDING, (int64_t)n_pending - (int64_t)list->n_pending);
    list->n_pending = n_pending;
}

void alerts_on_due(struct alerts *alerts, unsigned partition, const struct store_alert *due,
                   size_t n, uint64_t n_pending)
{
    struct alert_list *list = &alerts->lists[partition];
    show_pending(list, n_pending);
    list->may_be_more = n == STORE_SERVE_ALERTS;
    list->must_skip = list->may_be_more;
    list->n_ended = 0;
    if (!list->must_skip && list->n_skipped > 0)
        skip_alerts(list, 0);
    for (size_t i = 0; i < n; i++)
        take_alert(list, &due[i]);
    start_due(list);
}

/* What the store is asked already goes on: if the other node is faster, it ends an alert that is
 * not there any more, which changes nothing. */
void alerts_on_lost(struct alerts *alerts, unsigned partition)
{
    struct alert_list *list = &alerts->lists[partition];
    show_pending(list, 0);
    list->may_be_more = false;
    list->must_skip = false;
    list->n_skipped = 0; /* as serving has it */
    list->n_waiting = 0;
    LIST_FOR_EACH_SAFE(link, &list->waiting)
    free_work(CONTAINER_OF(link, struct alert_work, link));
}

static void on_listener_due(struct serving_listener *listener, unsigned partition,
                            const struct store_alert *due, size_t n, uint64_t n_pending)
{
    alerts_on_due(CONTAINER_OF(listener, struct alerts, listener), partition, due, n, n_pending);
}

static void on_listener_lost(struct serving_listener *listener, unsigned partition)
{
    alerts_on_lost(CONTAINER_OF(listener, struct alerts, listener), partition);
}

/* ---- begin and end ---- */

enum err alerts_new(struct events *events, struct alerts **ret_alerts)
{
    struct alerts *alerts = calloc(1, sizeof *alerts);
    if (alerts == NULL)
        return ERR_NO_MEMORY;
    alerts->events = events;
    atomic_init(&alerts->is_stopped, false);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct alert_list *list = &alerts->lists[i];
        list->alerts = alerts;
        list->partition = i;
        list_init(&list->waiting);
        list_init(&list->under_way);
        timer_init(&list->timer, on_look_due);
    }
    alerts->listener.on_due = on_listener_due;
    alerts->listener.on_lost = on_listener_lost;
    if (events->serving != NULL)
        serving_listen(events->serving, &alerts->listener);
    *ret_alerts = alerts;
    return ERR_OK;
}

void alerts_stop(struct alerts *alerts)
{
    if (alerts != NULL)
        atomic_store(&alerts->is_stopped, true);
}

/* What the store had was answered by its close, and has gone with its letter. */
void alerts_free(struct alerts *alerts)
{
    if (alerts == NULL)
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        alerts_on_lost(alerts, i);
    free(alerts);
}
