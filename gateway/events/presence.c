/* A user's first session enters, or the last one leaves: the change goes into the table of the
 * user's partition, and the partition's worker is asked to look at it. That sends what the table
 * has as one batch, one request at a time and one a second, and an empty one each 5 s for the
 * lease. A batch that failed is sent again as it is, before anything that came after it: the store
 * passes over what was done already.
 *
 * What a table has no room for is recomputed: who is here from the client map, who is not from the
 * record (presence_compare.c). So it is when the store says that the node is new to it, because the
 * lease was over and its users were ended, or because the store has lost what it had, or may have;
 * and after a failure, which may have hidden that. */
#include "gateway/events/presence.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/events/presence_compare.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAUSE_MS = 1000, RENEW_MS = STORE_PRESENCE_RENEW_MS, WAIT_US = 1000 };

static struct store *store_of(const struct presence_partition *partition)
{
    return partition->presence->events->node->store;
}

/* ---- who comes and who goes: the user's home worker ---- */

static struct presence_partition *partition_of(struct presence *presence, struct span user_id)
{
    return &presence->partitions[store_partition_of(user_id)];
}

static bool hears_changes(const struct presence *presence)
{
    enum presence_state state = presence_state(presence);
    return state == PRESENCE_RUNS || state == PRESENCE_LEAVES;
}

static void on_online(struct client *client)
{
    struct presence *presence = client_worker(client)->node->events->presence;
    struct presence_partition *partition = partition_of(presence, client_user_id(client));
    if (!hears_changes(presence))
        return;
    presence_note_come(partition, client, false);
    presence_poke(partition);
}

static void on_offline(struct client *client, enum offline_cause cause)
{
    const struct worker *worker = client_worker(client);
    struct presence *presence = worker->node->events->presence;
    struct span user_id = client_user_id(client);
    struct presence_partition *partition = partition_of(presence, user_id);
    if (!hears_changes(presence))
        return;
    int64_t now_ms = store_now_of(worker->node->store, store_partition_user(partition->number));
    pthread_mutex_lock(&partition->lock);
    bool is_unsure =
        partition->has_forgotten || presence_is_walking(presence, worker, partition->number);
    presence_note_error(partition,
                        presence_table_left(&partition->table, user_id, now_ms, cause, is_unsure));
    pthread_mutex_unlock(&partition->lock);
    presence_poke(partition);
}

/* ---- a partition: its worker ---- */

static void on_answered(struct store_request *request)
{
    struct presence_partition *partition =
        CONTAINER_OF(request, struct presence_partition, asked.request);
    atomic_store(&partition->is_answered, true);
    presence_poke(partition);
}

static void send_batch(struct presence_partition *partition, int64_t now_ms, bool is_leaving)
{
    struct presence *presence = partition->presence;
    const struct options *options = presence->events->node->options;
    partition->asked = (struct store_presence){
        .request = {.on_done = on_answered,
                    .lane =
                        store_partition_lane(partition->number, presence->events->node->n_workers)},
        .partition = partition->number,
        .node = presence_name(presence),
        .offline_after_ms = (uint32_t)options->offline_after,
        .is_leaving = is_leaving,
        .keeps_offline = events_keep(presence->events, EVENT_OFFLINE),
        .n_changes = partition->batch.n,
        .changes = partition->batch.changes,
    };
    partition->asked_as = presence->n_names;
    partition->asked_ms = now_ms;
    partition->is_asking = true;
    store_presence(store_of(partition), &partition->asked);
}

/* Who has left without being written before may not be on record. */
static void doubt_table(struct presence_partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    presence_table_doubt(&partition->table);
    pthread_mutex_unlock(&partition->lock);
}

/* The store may have lost any of what it has answered. */
static void put_right(struct presence_partition *partition)
{
    presence_write_again(partition);
    doubt_table(partition);
    if (partition->presence->keeps_users)
        presence_list(partition, partition->must_list ? partition->list_cause : OFFLINE_ERROR);
}

static void take_answer(struct presence_partition *partition)
{
    const struct store_presence *asked = &partition->asked;
    partition->is_asking = false;
    if (partition->asked_as != partition->presence->n_names) { /* under the name before */
        presence_batch_clear(&partition->batch);
        return;
    }
    /* What failed may have been done, and its answer may have said that the node is new. */
    bool may_be_new = asked->is_new || partition->has_failed;
    partition->has_failed = asked->error != ERR_OK;
    if (partition->has_failed)
        return;
    metrics_add(METRIC_PRESENCE_WRITTEN, asked->n_changes);
    presence_batch_clear(&partition->batch);
    partition->has_left = asked->is_leaving;
    if (may_be_new && !asked->is_leaving)
        put_right(partition);
}

/* How many wait in the table. If there are none, and some were forgotten: the map and the record
 * are compared. */
static size_t count_waiting(struct presence_partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    size_t n = partition->table.n;
    bool must_compare = n == 0 && partition->has_forgotten;
    if (must_compare)
        partition->has_forgotten = false;
    pthread_mutex_unlock(&partition->lock);
    if (must_compare) {
        presence_write_again(partition);
        presence_list(partition, OFFLINE_ERROR);
    }
    return n;
}

static void fill_batch(struct presence_partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    presence_batch_take(&partition->batch, &partition->table);
    pthread_mutex_unlock(&partition->lock);
}

static int64_t due_ms(const struct presence_partition *partition, bool has_changes)
{
    const struct presence *presence = partition->presence;
    bool is_hurried =
        presence_state(presence) == PRESENCE_LEAVES || atomic_load(&presence->is_flushing);
    if (partition->has_failed)
        return partition->asked_ms + PAUSE_MS;
    if (is_hurried && (has_changes || presence_state(presence) == PRESENCE_LEAVES))
        return 0;
    return partition->asked_ms + (has_changes ? PAUSE_MS : RENEW_MS);
}

/* Nothing is under way. */
static void send_if_due(struct presence_partition *partition, int64_t now_ms)
{
    bool has_changes = count_waiting(partition) > 0 || partition->batch.n > 0;
    bool is_leaving = presence_state(partition->presence) == PRESENCE_LEAVES && !has_changes;
    if (partition->has_left)
        return;
    int64_t at_ms = due_ms(partition, has_changes);
    if (at_ms > now_ms) {
        worker_set_timer(presence_worker(partition), &partition->timer, at_ms);
        return;
    }
    if (partition->batch.n == 0)
        fill_batch(partition);
    send_batch(partition, now_ms, is_leaving);
}

static bool is_at_rest(struct presence_partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    bool is_empty = partition->table.n == 0;
    pthread_mutex_unlock(&partition->lock);
    return is_empty && partition->batch.n == 0 && !partition->is_asking;
}

static void partition_turn(struct letter *letter)
{
    struct presence_partition *partition = CONTAINER_OF(letter, struct presence_partition, letter);
    struct worker *worker = presence_worker(partition);
    unsigned round = atomic_load(&partition->presence->round);
    atomic_store(&partition->is_posted, false);
    if (atomic_exchange(&partition->is_answered, false))
        take_answer(partition);
    if (!hears_changes(partition->presence))
        return;
    presence_list_on(partition, worker_now_ms(worker));
    if (!partition->is_asking)
        send_if_due(partition, worker_now_ms(worker));
    if (is_at_rest(partition))
        atomic_store(&partition->rested_in, round);
}

static void on_timer(struct timer *timer)
{
    presence_poke(CONTAINER_OF(timer, struct presence_partition, timer));
}

void presence_on_second(struct presence *presence, struct worker *worker)
{
    if (presence_state(presence) == PRESENCE_RUNS)
        presence_walk_on(&presence->walks[worker->index]);
}

/* ---- begin and end ---- */

struct span presence_name(const struct presence *presence)
{
    return presence_name_now(presence);
}

static enum err draw_name(struct presence_name *name)
{
    struct epoch drawn;
    enum err error = epoch_random(&drawn);
    if (error != ERR_OK)
        return error;
    memcpy(name->text, drawn.text, EPOCH_LEN);
    name->len = EPOCH_LEN;
    return ERR_OK;
}

void presence_adopt_name(struct presence *presence, struct span name)
{
    if (name.len == 0 || name.len > STORE_NODE_NAME_MAX_BYTES ||
        presence_state(presence) != PRESENCE_RESTS)
        return;
    memcpy(presence->names[0].text, name.bytes, name.len);
    presence->names[0].len = name.len;
    presence->has_adopted = true;
}

static enum err make_partition(struct presence *presence, unsigned number)
{
    struct presence_partition *partition = &presence->partitions[number];
    partition->presence = presence;
    partition->number = number;
    partition->asked_ms = -RENEW_MS;
    timer_init(&partition->timer, on_timer);
    presence_batch_init(&partition->batch);
    pthread_mutex_init(&partition->lock, NULL);
    return presence_table_init(&partition->table);
}

enum err presence_new(struct events *events, struct presence **ret_presence)
{
    struct presence *presence = calloc(1, sizeof *presence);
    if (presence == NULL)
        return ERR_NO_MEMORY;
    *ret_presence = presence;
    presence->events = events;
    presence->n_names = 1;
    presence->look = partition_turn;
    presence->keeps_users = events_keep(events, EVENT_ONLINE) || events_keep(events, EVENT_OFFLINE);
    enum err error = draw_name(&presence->names[0]);
    for (unsigned i = 0; error == ERR_OK && i < STORE_PARTITIONS; i++)
        error = make_partition(presence, i);
    if (error == ERR_OK)
        error = presence_walks_new(presence);
    if (error == ERR_OK && presence->keeps_users) {
        events->node->delivery_events.on_online = on_online;
        events->node->delivery_events.on_offline = on_offline;
    }
    return error;
}

void presence_start(struct presence *presence)
{
    const struct node *node = presence->events->node;
    for (unsigned i = 0; i < node->n_workers; i++)
        presence->walks[i].worker = node->workers[i];
    for (unsigned i = 0; presence->has_adopted && presence->keeps_users && i < STORE_PARTITIONS;
         i++)
        presence_list(&presence->partitions[i], OFFLINE_DRAINED);
    atomic_store(&presence->state, PRESENCE_RUNS); /* from here on their workers look at them */
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        presence_write_again(&presence->partitions[i]);
        presence_poke(&presence->partitions[i]);
    }
}

static bool is_written(const struct presence *presence)
{
    unsigned round = atomic_load(&presence->round);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (atomic_load(&presence->partitions[i].rested_in) != round)
            return false;
    }
    return true;
}

static void wait_for(struct presence *presence, int64_t until_ms)
{
    atomic_fetch_add(&presence->round, 1);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        presence_poke(&presence->partitions[i]);
    while (!is_written(presence) && clock_monotonic_ms() < until_ms)
        usleep(WAIT_US);
}

void presence_flush(struct presence *presence, int64_t until_ms)
{
    if (presence_state(presence) != PRESENCE_RUNS)
        return;
    atomic_store(&presence->is_flushing, true);
    wait_for(presence, until_ms);
    atomic_store(&presence->is_flushing, false);
}

/* What was not written concerns the record of the other process, which compares it with whom it
 * has. Without a name of its own this process keeps nobody on record, and its users are offline
 * until they come to another one. */
void presence_let_go(struct presence *presence)
{
    bool goes_on = presence_state(presence) == PRESENCE_RUNS && presence->n_names == 1 &&
                   store_is_shared(presence->events->node->store) &&
                   draw_name(&presence->names[1]) == ERR_OK;
    if (!goes_on) {
        atomic_store(&presence->state, PRESENCE_ENDED);
        return;
    }
    presence->n_names = 2;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct presence_partition *partition = &presence->partitions[i];
        pthread_mutex_lock(&partition->lock);
        presence_table_clear(&partition->table);
        partition->has_forgotten = false;
        pthread_mutex_unlock(&partition->lock);
        if (!partition->is_asking)
            presence_batch_clear(&partition->batch);
        partition->has_failed = false;
        presence_list_end(partition);
        partition->asked_ms = -RENEW_MS;
        presence_write_again(partition);
        presence_poke(partition);
    }
}

void presence_leave(struct presence *presence, int64_t until_ms)
{
    int expected = PRESENCE_RUNS;
    if (atomic_compare_exchange_strong(&presence->state, &expected, PRESENCE_LEAVES))
        wait_for(presence, until_ms);
    atomic_store(&presence->state, PRESENCE_ENDED);
}

void presence_stop(struct presence *presence)
{
    atomic_store(&presence->state, PRESENCE_ENDED);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct presence_partition *partition = &presence->partitions[i];
        if (partition->presence != NULL)
            worker_cancel_timer(presence_worker(partition), &partition->timer);
    }
}

void presence_free(struct presence *presence)
{
    if (presence == NULL)
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS && presence->partitions[i].presence != NULL; i++) {
        struct presence_partition *partition = &presence->partitions[i];
        presence_batch_clear(&partition->batch);
        presence_table_fini(&partition->table);
        pthread_mutex_destroy(&partition->lock);
        free(partition->listed.users);
    }
    free(presence->walks);
    free(presence);
}
