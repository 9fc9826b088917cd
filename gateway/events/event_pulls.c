/* A reader's way: it loads a page of every partition behind its cursor, or behind its consumer's
 * position. Where the consumer is missing it is made. What the cursor acknowledges is then written.
 * The pages are merged, and loaded again where they were read out, until the answer is complete.
 *
 * An empty answer waits. It keeps its positions alone, and loads the partitions that have news, as
 * the log says, which it may also have said while the reader was loading.
 *
 * Each step runs in the turn of the reader's worker; what the store answers comes as a letter. */
#include "gateway/events/event_pulls.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/events/event_acks.h"
#include "gateway/events/event_log.h"
#include "gateway/events/event_making.h"
#include "gateway/events/event_reader.h"
#include "gateway/events/event_resets.h"
#include "gateway/node/worker.h"

#include <stdlib.h>

enum { DISPLACED_MS = 1000, READ_MS = 5000 };

/* The readers of one worker. */
struct pull_home {
    struct event_pulls *pulls;
    unsigned index;
    struct list list; /* struct pull; its thread's */
    atomic_uint n;    /* how many these are */
    atomic_uint news; /* partitions, since the letter was delivered last */
    atomic_bool is_posted;
    struct letter letter;
};

struct event_pulls {
    struct events *events;
    struct event_listener listener;
    atomic_bool is_listening;
    atomic_uint_fast64_t last_number;
    struct pull_home homes[]; /* by worker */
};

/* What a reader needs while it reads. */
struct pull_work {
    struct event_reader reader;
    struct event_making making;
    struct acks_call acks;
};

struct pull {
    struct list link;
    struct letter letter;
    struct timer timer; /* set while it waits */
    struct pull_home *home;
    struct gateway_events *asked;
    uint64_t number;
    int64_t deadline_ms; /* monotonic */
    bool is_waiting;
    bool is_displaced;     /* it waits for its end: another call of its consumer waits for events */
    bool must_end;         /* it does not wait */
    bool may_make;         /* the consumer, where it is missing */
    int64_t read_until_ms; /* monotonic: what `types` passes over is not read for longer */
    unsigned news;         /* partitions, since they were loaded last */
    unsigned behind;       /* partitions in which the cursor acknowledges something */
    struct event_position positions[STORE_PARTITIONS];
    struct pull_work *work; /* NULL: it waits */
};

static struct worker *worker_of(const struct pull *pull)
{
    return pull->home->pulls->events->node->workers[pull->home->index];
}

static struct event_pulls *pulls_of(const struct pull *pull)
{
    return pull->home->pulls;
}

static struct waits *waits_of(const struct pull *pull)
{
    return &pull->home->pulls->events->node->waits;
}

/* ---- the answer ---- */

static void count_waiting(const struct pull *pull, int delta)
{
    atomic_fetch_add(&waits_of(pull)->n_readers, (unsigned)delta);
    metrics_gauge_add(METRIC_EVENT_WAITS, delta);
}

static void end_waiting(struct pull *pull)
{
    if (!pull->is_waiting)
        return;
    pull->is_waiting = false;
    worker_cancel_timer(worker_of(pull), &pull->timer);
    count_waiting(pull, -1);
}

static void free_work(struct pull *pull)
{
    if (pull->work == NULL)
        return;
    event_reader_fini(&pull->work->reader);
    free(pull->work);
    pull->work = NULL;
}

static enum err write_cursor(const struct pull *pull)
{
    struct event_cursor cursor = {.consumer_len = pull->asked->consumer.len};
    memcpy(cursor.consumer, pull->asked->consumer.bytes, cursor.consumer_len);
    memcpy(cursor.positions, pull->positions, sizeof cursor.positions);
    return event_cursor_write(&cursor, pull->asked->cursor);
}

/* Ends the reader. */
static void answer_pull(struct pull *pull, enum err error)
{
    struct gateway_events *asked = pull->asked;
    end_waiting(pull);
    if (pull->work != NULL)
        event_reader_get_positions(&pull->work->reader, pull->positions);
    asked->error = error == ERR_OK ? write_cursor(pull) : error;
    if (asked->error != ERR_OK)
        buf_clear(&asked->events);
    free_work(pull);
    list_remove(&pull->link);
    atomic_fetch_sub(&pull->home->n, 1);
    free(pull);
    asked->on_done(asked);
}

/* true: the node stops, and the reader is answered. */
static bool end_if_stopped(struct pull *pull)
{
    if (!atomic_load(&pulls_of(pull)->events->is_stopped))
        return false;
    answer_pull(pull, ERR_STORE_UNAVAILABLE);
    return true;
}

/* ---- reading ---- */

static void on_loaded(struct event_reader *reader);

static bool make_work(struct pull *pull)
{
    struct pull_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return false;
    struct span consumer = pull->asked->consumer;
    struct event_reader *reader = &work->reader;
    reader->events = pulls_of(pull)->events;
    reader->home = worker_of(pull);
    reader->on_loaded = on_loaded;
    reader->key = consumer_key_of(STORE_PULL, consumer);
    reader->types = pull->asked->types;
    reader->limit = pull->asked->limit;
    reader->out = &pull->asked->events;
    event_resets_get(reader->events->resets, consumer, &reader->known);
    memcpy(reader->positions, pull->positions, sizeof reader->positions);
    pull->read_until_ms = clock_monotonic_ms() + READ_MS;
    work->acks.key = reader->key;
    pull->work = work;
    return true;
}

static struct pull *pull_of(struct event_reader *reader)
{
    struct gateway_events *asked = CONTAINER_OF(reader->out, struct gateway_events, events);
    return asked->own;
}

static void load_news(struct pull *pull)
{
    unsigned partitions = pull->news;
    pull->news = 0;
    event_reader_load(&pull->work->reader, partitions, false);
}

/* Leaves the reader with its positions alone, until there is news or its time is over. */
static void begin_waiting(struct pull *pull)
{
    memcpy(pull->positions, pull->work->reader.positions, sizeof pull->positions);
    free_work(pull);
    pull->is_waiting = true;
    count_waiting(pull, 1);
    worker_set_timer(worker_of(pull), &pull->timer, pull->deadline_ms);
}

/* Of a consumer one call waits for events. The one before is answered later: two clients of one
 * name would displace each other without end, as fast as they can. */
static void displace_others(const struct pull *pull)
{
    int64_t end_ms = clock_monotonic_ms() + DISPLACED_MS;
    LIST_FOR_EACH_SAFE(link, &pull->home->list)
    {
        struct pull *other = CONTAINER_OF(link, struct pull, link);
        if (other == pull || !other->is_waiting || other->is_displaced ||
            !span_equal(other->asked->consumer, pull->asked->consumer))
            continue;
        other->is_displaced = true;
        if (end_ms < other->deadline_ms)
            worker_set_timer(worker_of(other), &other->timer, end_ms);
    }
}

/* Everything that there is was read. */
static void end_reading(struct pull *pull)
{
    bool has_time = clock_monotonic_ms() < pull->deadline_ms;
    if (pull->work->reader.n_written > 0 || pull->must_end || !has_time ||
        atomic_load(&waits_of(pull)->have_ended)) {
        answer_pull(pull, ERR_OK);
    } else if (pull->news != 0) {
        load_news(pull);
    } else {
        displace_others(pull);
        if (waits_have_room(waits_of(pull))) {
            begin_waiting(pull);
            return;
        }
        metrics_count(METRIC_WAITS_REFUSED);
        answer_pull(pull, ERR_OK);
    }
}

static void merge_pages(struct pull *pull)
{
    struct event_reader *reader = &pull->work->reader;
    unsigned partitions = 0;
    enum err error = event_reader_merge(reader, &partitions);
    bool is_over = pull->must_end || clock_monotonic_ms() >= pull->read_until_ms;
    if (error == ERR_FULL && reader->n_written > 0)
        error = ERR_OK; /* the next event is large, and begins the next answer */
    else if (error == ERR_OK && partitions == 0) {
        end_reading(pull);
        return;
    } else if (error == ERR_OK && !is_over) {
        event_reader_load(reader, partitions, false);
        return;
    }
    answer_pull(pull, error);
}

/* ---- acknowledging ---- */

static void on_acked_letter(struct letter *letter)
{
    struct pull *pull = CONTAINER_OF(letter, struct pull, letter);
    const struct acks_call *acks = &pull->work->acks;
    if (end_if_stopped(pull))
        return;
    if (acks->error != ERR_OK) {
        answer_pull(pull, acks->error);
        return;
    }
    event_resets_acked(pulls_of(pull)->events->resets, pull->asked->consumer, acks->stale, 0);
    merge_pages(pull);
}

static void on_acked(struct acks_call *acks)
{
    struct pull_work *work = CONTAINER_OF(acks, struct pull_work, acks);
    struct pull *pull = pull_of(&work->reader);
    worker_post(worker_of(pull), &pull->letter, on_acked_letter);
}

static void acknowledge_cursor(struct pull *pull)
{
    struct pull_work *work = pull->work;
    unsigned behind = pull->behind;
    event_resets_set(pulls_of(pull)->events->resets, pull->asked->consumer, &work->reader.known);
    pull->behind = 0;
    if (behind == 0) {
        merge_pages(pull);
        return;
    }
    work->acks.on_done = on_acked;
    memcpy(work->acks.positions, pull->asked->ack.positions, sizeof work->acks.positions);
    acks_ask(pulls_of(pull)->events, &work->acks, behind);
}

/* ---- making the consumer ---- */

static void on_made(struct event_making *making)
{
    struct pull_work *work = CONTAINER_OF(making, struct pull_work, making);
    struct pull *pull = pull_of(&work->reader);
    if (end_if_stopped(pull))
        return;
    if (making->error == ERR_OK) {
        pull->may_make = false;
        event_reader_load(&work->reader, making->missing, true);
        return;
    }
    memcpy(pull->asked->detail, making->detail, sizeof making->detail);
    answer_pull(pull, making->error);
}

static void make_consumer(struct pull *pull, unsigned missing)
{
    struct event_making *making = &pull->work->making;
    making->on_done = on_made;
    making->events = pulls_of(pull)->events;
    making->home = worker_of(pull);
    making->key = pull->work->reader.key;
    making->from_now = pull->asked->from_now;
    event_making_begin(making, missing);
}

/* A consumer that is deleted while its reader waits is not made again: nothing is read of it. */
static void on_loaded(struct event_reader *reader)
{
    struct pull *pull = pull_of(reader);
    pull->behind |= pull->asked->has_ack ? reader->behind : 0;
    if (end_if_stopped(pull))
        return;
    if (reader->error != ERR_OK) {
        answer_pull(pull, reader->error);
    } else if (reader->missing != 0 && pull->may_make) {
        make_consumer(pull, reader->missing);
    } else if (event_reader_has_lost(reader)) {
        answer_pull(pull, ERR_OK); /* the next call makes it, and is told */
    } else {
        pull->may_make = false;
        acknowledge_cursor(pull);
    }
}

/* ---- waiting ---- */

static void on_wait_due(struct timer *timer)
{
    answer_pull(CONTAINER_OF(timer, struct pull, timer), ERR_OK);
}

static void read_news(struct pull *pull)
{
    end_waiting(pull);
    if (end_if_stopped(pull))
        return;
    if (make_work(pull))
        load_news(pull);
    else
        answer_pull(pull, ERR_NO_MEMORY);
}

static void on_news_letter(struct letter *letter)
{
    struct pull_home *home = CONTAINER_OF(letter, struct pull_home, letter);
    atomic_store(&home->is_posted, false);
    unsigned news = atomic_exchange(&home->news, 0);
    LIST_FOR_EACH_SAFE(link, &home->list)
    {
        struct pull *pull = CONTAINER_OF(link, struct pull, link);
        pull->news |= news;
        if (pull->is_waiting && !pull->is_displaced && pull->news != 0)
            read_news(pull);
    }
}

static void on_events(struct event_listener *listener, unsigned partition)
{
    struct event_pulls *pulls = CONTAINER_OF(listener, struct event_pulls, listener);
    const struct node *node = pulls->events->node;
    for (unsigned i = 0; i < node->n_workers; i++) {
        struct pull_home *home = &pulls->homes[i];
        if (atomic_load(&home->n) == 0)
            continue;
        atomic_fetch_or(&home->news, 1u << partition);
        if (!atomic_exchange(&home->is_posted, true))
            worker_post(node->workers[i], &home->letter, on_news_letter);
    }
}

void event_pulls_end_waits(struct event_pulls *pulls, const struct worker *worker)
{
    LIST_FOR_EACH_SAFE(link, &pulls->homes[worker->index].list)
    {
        struct pull *pull = CONTAINER_OF(link, struct pull, link);
        pull->must_end = true;
        if (pull->is_waiting)
            answer_pull(pull, ERR_OK);
    }
}

/* ---- beginning, and giving up ---- */

static void on_begin_letter(struct letter *letter)
{
    struct pull *pull = CONTAINER_OF(letter, struct pull, letter);
    struct event_pulls *pulls = pulls_of(pull);
    list_append(&pull->home->list, &pull->link);
    timer_init(&pull->timer, on_wait_due);
    displace_others(pull);
    if (end_if_stopped(pull))
        return;
    if (pull->asked->wait_ms > 0 && !atomic_exchange(&pulls->is_listening, true))
        event_log_listen(pulls->events->log, &pulls->listener);
    if (make_work(pull))
        event_reader_load(&pull->work->reader, PARTITIONS_ALL, true);
    else
        answer_pull(pull, ERR_NO_MEMORY);
}

static unsigned home_of(const struct node *node, struct span consumer)
{
    return (unsigned)(hash_bytes(consumer) % node->n_workers);
}

void gateway_events(struct node *node, struct gateway_events *asked)
{
    struct pull *pull = NULL;
    buf_init(&asked->events, EVENTS_ANSWER_MAX_BYTES);
    asked->detail[0] = '\0';
    asked->error = node->events == NULL ? ERR_CONFLICT : ERR_NO_MEMORY;
    if (node->events != NULL)
        pull = calloc(1, sizeof *pull);
    if (pull == NULL) {
        asked->on_done(asked);
        return;
    }
    struct event_pulls *pulls = node->events->pulls;
    pull->home = &pulls->homes[home_of(node, asked->consumer)];
    pull->asked = asked;
    pull->may_make = true;
    pull->deadline_ms = clock_monotonic_ms() + asked->wait_ms;
    pull->number = atomic_fetch_add(&pulls->last_number, 1) + 1;
    if (asked->has_ack)
        memcpy(pull->positions, asked->ack.positions, sizeof pull->positions);
    asked->own = pull;
    asked->number = pull->number;
    atomic_fetch_add(&pull->home->n, 1); /* from here on it hears of news */
    worker_post(worker_of(pull), &pull->letter, on_begin_letter);
}

void gateway_events_clear(struct gateway_events *asked)
{
    buf_fini(&asked->events);
}

struct giving_up {
    struct letter letter;
    struct pull_home *home;
    uint64_t number;
};

static void on_give_up_letter(struct letter *letter)
{
    struct giving_up *giving_up = CONTAINER_OF(letter, struct giving_up, letter);
    LIST_FOR_EACH_SAFE(link, &giving_up->home->list)
    {
        struct pull *pull = CONTAINER_OF(link, struct pull, link);
        if (pull->number != giving_up->number)
            continue;
        pull->must_end = true;
        if (pull->is_waiting)
            answer_pull(pull, ERR_OK);
        break;
    }
    free(giving_up);
}

void gateway_events_give_up(struct node *node, struct gateway_events *asked)
{
    struct giving_up *giving_up = malloc(sizeof *giving_up);
    if (giving_up == NULL)
        return; /* it ends with its time */
    unsigned home = home_of(node, asked->consumer);
    *giving_up =
        (struct giving_up){.home = &node->events->pulls->homes[home], .number = asked->number};
    worker_post(node->workers[home], &giving_up->letter, on_give_up_letter);
}

struct event_pulls *event_pulls_new(struct events *events)
{
    unsigned n = events->node->n_workers;
    struct event_pulls *pulls = calloc(1, sizeof *pulls + n * sizeof pulls->homes[0]);
    if (pulls == NULL)
        return NULL;
    pulls->events = events;
    pulls->listener.on_events = on_events;
    for (unsigned i = 0; i < n; i++) {
        pulls->homes[i].pulls = pulls;
        pulls->homes[i].index = i;
        list_init(&pulls->homes[i].list);
    }
    return pulls;
}

void event_pulls_free(struct event_pulls *pulls)
{
    free(pulls);
}
