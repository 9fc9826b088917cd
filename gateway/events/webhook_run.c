/* A run reads a page after its position, forms a batch of it (webhook_endpoint.h), sends that, and
 * after a 2xx moves its position. The position in memory is ahead of the store's, so that the next
 * page need not wait for the acknowledgement; the store is told beside it, and again until it has
 * it. The page is given back while the request is under way: a repeat reads it anew, so that what
 * waits for an endpoint costs no memory, and what has left meanwhile is told as a gap.
 *
 * Failures: a store that is away is asked again after a second. A consumer that is gone (deleted,
 * or lost with the store's data) is added again, and begins with the oldest event, or where this
 * node knows that it was. A partition
 * whose epoch is another one than the endpoint knows of has lost events, nobody can say which: a
 * gap is sent, alone, before anything of the new epoch; a node knows the epoch from the moment at
 * which it added the consumer, so it tells of the loss also where another node has served before.
 * When another node takes the partition over, a request under way may end and is acknowledged, but
 * is not repeated. */
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/events/webhook_parts.h"
#include "proto/bytes/put.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVENT_FRAME_BYTES = 1024, /* id, time and the like, beside the data of an event */
};

static struct webhooks *webhooks_of(struct webhook_run *run)
{
    return run->webhook->webhooks;
}

static struct timers *timers_of(struct webhook_run *run)
{
    return webhook_sender_timers(webhooks_of(run)->sender);
}

bool webhook_run_is_busy(const struct webhook_run *run)
{
    return run->state != RUN_IDLE || run->is_acking;
}

static bool may_send(struct webhook_run *run)
{
    struct webhooks *webhooks = webhooks_of(run);
    const struct webhook *webhook = run->webhook;
    unsigned served = atomic_load(&webhooks->served);
    return !webhooks->is_stopping && !webhook->is_leaving && !atomic_load(&webhook->is_off) &&
           run->is_added && (served & 1u << run->partition) != 0 &&
           serving_is_mine(webhooks->events->serving, run->partition);
}

/* ---- acknowledgements ---- */

static void write_position(struct webhook_run *run);

static void deliver_acked(struct letter *letter)
{
    struct webhook_run *run = CONTAINER_OF(letter, struct webhook_run, ack_letter);
    struct webhooks *webhooks = webhooks_of(run);
    run->is_acking = false;
    if (run->ack.error != ERR_STORE_UNAVAILABLE) { /* of an epoch that is gone it needs none */
        run->written_epoch = run->ack.epoch;
        run->written = run->ack.seq;
        write_position(run);
    } else if (!webhooks->is_stopping) {
        timer_set(timers_of(run), &run->ack_timer, clock_monotonic_ms() + RUN_STORE_AGAIN_MS);
    }
    if (run->ack.error == ERR_NOT_FOUND && !webhooks->is_stopping && !run->webhook->is_leaving) {
        run->is_added = false;
        webhooks->on_gone(run->webhook);
    }
    webhooks_end_work(webhooks);
    webhooks->on_idle(run->webhook);
}

static void on_acked(struct store_request *request)
{
    struct store_ack *ack = CONTAINER_OF(request, struct store_ack, request);
    struct webhook_run *run = CONTAINER_OF(ack, struct webhook_run, ack);
    webhooks_post(webhooks_of(run), &run->ack_letter, deliver_acked);
}

static void write_position(struct webhook_run *run)
{
    const struct node *node = webhooks_node(webhooks_of(run));
    bool is_written = epoch_equal(run->epoch, run->written_epoch) && run->position <= run->written;
    bool is_closed = atomic_load(&webhooks_of(run)->events->is_stopped);
    if (run->is_acking || run->webhook->is_leaving || epoch_is_none(run->epoch) || is_written ||
        is_closed)
        return;
    timer_cancel(timers_of(run), &run->ack_timer);
    run->ack = (struct store_ack){
        .request = {.on_done = on_acked,
                    .lane = store_partition_lane(run->partition, node->n_workers)},
        .user_id = store_partition_user(run->partition),
        .device = webhook_key(run->webhook),
        .epoch = run->epoch,
        .seq = run->position,
        .written = run->position,
    };
    run->is_acking = true;
    webhooks_begin_work(webhooks_of(run));
    store_ack(node->store, &run->ack);
}

static void on_ack_timer(struct timer *timer)
{
    write_position(CONTAINER_OF(timer, struct webhook_run, ack_timer));
}

static void move_position(struct webhook_run *run, uint64_t seq)
{
    run->position = seq;
    write_position(run);
}

/* ---- answers ---- */

static void note_answer(struct webhook_run *run, enum webhook_result result)
{
    struct webhook *webhook = run->webhook;
    const struct webhook_answer *answer = &run->request.answer;
    atomic_fetch_add_explicit(&webhook->results[result], 1, memory_order_relaxed);
    webhook->last_status = answer->status;
    webhook->last_ms = clock_wall_ms();
    snprintf(webhook->last_error, sizeof webhook->last_error, "%s", answer->error);
    log_event(result == WEBHOOK_OK ? LOG_DEBUG : LOG_INFO, "webhook answered",
              LOG_TEXT("webhook", webhook->config->line.name), LOG_TEXT("id", run->request.id),
              LOG_TEXT("result", webhook_result_text(result)), LOG_INT("status", answer->status),
              LOG_TEXT("why", answer->error), LOG_INT("took_ms", answer->took_ms));
}

static void note_passed_over(struct webhook_run *run)
{
    char id[EVENT_ID_MAX_BYTES];
    event_id_write(run->partition, run->epoch, run->first, id);
    metrics_count(METRIC_WEBHOOK_PASSED_OVER);
    log_event(LOG_WARN, "an event was passed over: the endpoint has refused it for an hour",
              LOG_TEXT("webhook", run->webhook->config->line.name), LOG_TEXT("event", id),
              LOG_INT("status", run->request.answer.status));
}

static void note_off(struct webhook_run *run)
{
    if (atomic_exchange(&run->webhook->is_off, true))
        return;
    log_event(LOG_WARN, "webhook switched off until the file is read again: it has answered 410",
              LOG_TEXT("webhook", run->webhook->config->line.name));
}

static void take_answer(struct webhook_run *run)
{
    uint64_t through = 0;
    enum webhook_result result = webhook_result_of(run->request.answer.status);
    note_answer(run, result);
    enum webhook_verdict verdict =
        webhook_feed_answer(&run->feed, result, run->request.answer.retry_after_ms,
                            clock_monotonic_ms(), webhooks_random(webhooks_of(run)), &through);
    if (verdict == FEED_PASS_OVER)
        note_passed_over(run);
    if (verdict == FEED_OFF)
        note_off(run);
    if (verdict == FEED_ACKNOWLEDGE || verdict == FEED_PASS_OVER) {
        run->told_epoch = run->epoch;
        run->reset_ms = 0;
        move_position(run, through);
    }
    if (run->position < run->head)
        run->has_events = true;
}

static void on_answered(struct webhook_request *request)
{
    struct webhook_run *run = CONTAINER_OF(request, struct webhook_run, request);
    bool was_cut = run->is_cut && request->answer.status == 0;
    run->state = RUN_IDLE;
    run->is_cut = false;
    buf_clear(&run->body);
    webhook_config_unref(run->config);
    run->config = NULL;
    if (was_cut)
        run->has_events = true;
    else
        take_answer(run);
    webhook_run_go(run);
    webhooks_end_work(webhooks_of(run));
    webhooks_of(run)->on_idle(run->webhook);
}

void webhook_run_cut(struct webhook_run *run)
{
    if (run->state != RUN_SENDING)
        return;
    run->is_cut = true;
    webhook_sender_cut(webhooks_of(run)->sender, &run->request);
}

/* ---- requests ---- */

static bool is_for(const struct webhook_config *config, const struct event_item *item)
{
    enum event_type type;
    if (item->is_gap || config->line.types == (1u << EVENT_TYPES) - 1)
        return true;
    return event_type_of(payload_data(item->note->payload), &type) &&
           (config->line.types & EVENT_BIT(type)) != 0;
}

/* Keeps those of the page that the endpoint is to have, and what they are numbered. */
static void filter_items(struct webhook_run *run, uint64_t *seqs)
{
    struct event_page *page = &run->page;
    size_t n = 0;
    for (size_t i = 0; i < page->n; i++) {
        if (is_for(run->webhook->config, &page->items[i])) {
            page->items[n] = page->items[i];
            seqs[n++] = page->items[i].seq;
        } else {
            notification_unref(page->items[i].note);
        }
    }
    page->n = n;
}

static enum err write_body(struct webhook_run *run, size_t n)
{
    const struct event_page *page = &run->page;
    size_t most = sizeof "{\"events\":[]}";
    for (size_t i = 0; i < n; i++)
        most += EVENT_FRAME_BYTES +
                (page->items[i].is_gap ? 0 : payload_data(page->items[i].note->payload).len);
    buf_init(&run->body, most);
    enum err error = buf_append_text(&run->body, "{\"events\":[");
    for (size_t i = 0; i < n && error == ERR_OK; i++) {
        if (i > 0)
            error = buf_append_text(&run->body, ",");
        if (error == ERR_OK)
            error = event_item_show(&run->body, run->partition, page->epoch, &page->items[i]);
    }
    return error != ERR_OK ? error : buf_append_text(&run->body, "]}");
}

static void write_id(struct webhook_run *run, uint64_t first, uint64_t last)
{
    snprintf(run->request.id, sizeof run->request.id, "evt_%u_%.*s_%" PRIu64 "_%" PRIu64,
             run->partition, EPOCH_LEN, run->epoch.text, first, last);
}

static enum err send_batch(struct webhook_run *run, size_t n)
{
    enum err error = write_body(run, n);
    if (error != ERR_OK)
        return error;
    run->first = run->page.items[0].seq;
    write_id(run, run->first, run->page.items[n - 1].seq);
    run->config = webhook_config_ref(run->webhook->config);
    webhook_fill_request(webhooks_of(run), run->config, &run->request);
    run->request.on_done = on_answered;
    run->request.body = buf_span(&run->body);
    run->request.answer.body = NULL;
    error = webhook_sender_send(webhooks_of(run)->sender, &run->request);
    if (error != ERR_OK) {
        webhook_config_unref(run->config);
        run->config = NULL;
        return error;
    }
    run->state = RUN_SENDING;
    webhooks_begin_work(webhooks_of(run));
    return ERR_OK;
}

/* ---- pages ---- */

static void ask_later(struct webhook_run *run)
{
    run->has_events = true;
    run->store_again_ms = clock_monotonic_ms() + RUN_STORE_AGAIN_MS;
}

static void take_items(struct webhook_run *run)
{
    struct event_page *page = &run->page;
    uint64_t *seqs = malloc((page->n + 1) * sizeof *seqs);
    if (seqs == NULL) {
        ask_later(run);
        return;
    }
    filter_items(run, seqs);
    size_t n = webhook_feed_cut(&run->feed, seqs, page->n, page->last);
    free(seqs);
    if (n == 0) {
        move_position(run, page->last);
        run->has_events = run->has_events || page->last < page->head;
    } else if (send_batch(run, n) != ERR_OK) {
        buf_clear(&run->body);
        ask_later(run);
    }
}

/* The position is where the new epoch goes on: the gap has its number, as that of a reader that
 * pulls (event_reader.c), and the page is read again behind it. */
static void send_reset(struct webhook_run *run)
{
    struct event_page *page = &run->page;
    struct event_item *gap = calloc(1, sizeof *gap);
    if (gap == NULL) {
        ask_later(run);
        return;
    }
    if (run->reset_ms == 0)
        run->reset_ms = page->n > 0 ? page->items[0].time_ms : page->asked_ms;
    *gap = (struct event_item){
        .is_gap = true,
        .cause = GAP_RESET,
        .from = run->position > 0 ? 1 : 0,
        .seq = run->position,
        .time_ms = run->reset_ms,
    };
    event_page_clear(page);
    page->items = gap;
    page->n = 1;
    size_t n = webhook_feed_cut(&run->feed, &gap->seq, page->n, run->position);
    if (send_batch(run, n) != ERR_OK) {
        buf_clear(&run->body);
        ask_later(run);
    }
}

/* Where the page begins is where the run stands, also after it was another node's. */
static void take_page(struct webhook_run *run)
{
    struct event_page *page = &run->page;
    bool is_new = !epoch_is_none(run->epoch) && !epoch_equal(run->epoch, page->epoch);
    if (is_new)
        webhook_feed_forget(&run->feed);
    if (epoch_is_none(page->epoch))
        return; /* nothing was ever written */
    if (is_new || epoch_is_none(run->epoch)) {
        run->written_epoch = page->epoch;
        run->written = page->position;
    }
    run->epoch = page->epoch;
    run->position = page->start;
    run->head = page->head;
    if (epoch_is_none(run->told_epoch))
        run->told_epoch = page->epoch;
    if (!epoch_equal(run->told_epoch, page->epoch))
        send_reset(run);
    else if (page->last > page->start)
        take_items(run);
}

/* Of the same epoch this node knows the position better than the store does; it writes it anew. */
static void forget_position(struct webhook_run *run, struct epoch epoch)
{
    run->written_epoch = (struct epoch){0};
    if (epoch_equal(run->epoch, epoch))
        return;
    run->epoch = (struct epoch){0};
    webhook_feed_forget(&run->feed);
}

/* Of another epoch the next page says where it begins; a request may be under way meanwhile. */
void webhook_run_rejoin(struct webhook_run *run, struct epoch epoch)
{
    if (epoch_equal(run->epoch, epoch)) {
        run->written_epoch = (struct epoch){0};
        write_position(run);
    }
    run->has_events = true;
}

static void deliver_page(struct letter *letter)
{
    struct webhook_run *run = CONTAINER_OF(letter, struct webhook_run, page_letter);
    struct webhooks *webhooks = webhooks_of(run);
    run->state = RUN_IDLE;
    if (run->page.error == ERR_NOT_FOUND) {
        run->is_added = false;
        run->has_events = true;
        forget_position(run, run->page.epoch);
        if (!webhooks->is_stopping && !run->webhook->is_leaving) {
            log_event(LOG_WARN,
                      "the position of a webhook is gone from the store: it is added again",
                      LOG_TEXT("webhook", run->webhook->config->line.name),
                      LOG_INT("partition", run->partition));
            webhooks->on_gone(run->webhook);
        }
    } else if (run->page.error != ERR_OK) {
        ask_later(run);
    } else if (!may_send(run)) {
        run->has_events = true;
    } else {
        take_page(run);
    }
    event_page_clear(&run->page);
    webhook_run_go(run);
    webhooks_end_work(webhooks);
    webhooks->on_idle(run->webhook);
}

static void on_page(struct event_page *page)
{
    struct webhook_run *run = CONTAINER_OF(page, struct webhook_run, page);
    webhooks_post(webhooks_of(run), &run->page_letter, deliver_page);
}

/* A repeat reads the same page as before, because it begins in the same place. */
static void read_page(struct webhook_run *run)
{
    const struct webhook_line *line = &run->webhook->config->line;
    bool takes_all = line->types == (1u << EVENT_TYPES) - 1;
    uint32_t most = line->batch;
    if (!takes_all && most < RUN_PAGE_EVENTS)
        most = RUN_PAGE_EVENTS;
    run->page = (struct event_page){
        .on_done = on_page,
        .partition = run->partition,
        .consumer = webhook_key(run->webhook),
        .after_epoch = run->epoch,
        .after = run->position,
        .max_count = most,
        .max_bytes = RUN_PAGE_MAX_BYTES,
    };
    run->state = RUN_READING;
    run->has_events = false;
    run->store_again_ms = 0;
    webhooks_begin_work(webhooks_of(run));
    event_page_read(webhooks_of(run)->events, &run->page);
}

/* ---- what it waits for ---- */

/* The partition was another node's since: its position is in the store. */
static void look_for_loss(struct webhook_run *run)
{
    unsigned n_lost = atomic_load(&webhooks_of(run)->n_lost[run->partition]);
    if (run->n_lost == n_lost)
        return;
    run->n_lost = n_lost;
    run->epoch = (struct epoch){0};
    run->has_events = true;
    webhook_feed_forget(&run->feed);
}

void webhook_run_go(struct webhook_run *run)
{
    timer_cancel(timers_of(run), &run->timer);
    if (run->state != RUN_IDLE || !may_send(run))
        return;
    look_for_loss(run);
    int64_t due_ms =
        run->feed.next_ms > run->store_again_ms ? run->feed.next_ms : run->store_again_ms;
    if (!run->has_events)
        return;
    if (due_ms > clock_monotonic_ms())
        timer_set(timers_of(run), &run->timer, due_ms);
    else
        read_page(run);
}

static void on_run_timer(struct timer *timer)
{
    webhook_run_go(CONTAINER_OF(timer, struct webhook_run, timer));
}

void webhook_run_init(struct webhook_run *run, struct webhook *webhook, unsigned partition)
{
    run->webhook = webhook;
    run->partition = partition;
    run->has_events = true; /* until a page has said otherwise */
    webhook_feed_init(&run->feed, webhook->config->line.batch);
    timer_init(&run->timer, on_run_timer);
    timer_init(&run->ack_timer, on_ack_timer);
}

void webhook_run_fini(struct webhook_run *run)
{
    timer_cancel(timers_of(run), &run->timer);
    timer_cancel(timers_of(run), &run->ack_timer);
}
