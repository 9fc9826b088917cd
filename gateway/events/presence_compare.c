/* Two ways to find out what the record should be.
 *
 * All are written again: each worker goes through its clients in slices, a turn each, and puts
 * those of the partitions in question into the tables, as long as these have room for a batch. A
 * user who comes or goes meanwhile is in a table anyway.
 *
 * The record is listed: a page of those who are on record for this node at a time, while the table
 * has room. Who is not in the client map has left. When that was, and why, is not known: the
 * listing's time is taken, and `drained` where another process has handed its sessions over, of
 * which some could not travel, or else `error`. */
#include "gateway/events/presence_compare.h"

#include <stdlib.h>

enum { SLICE = 128, ROOM = PRESENCE_BATCH_MAX, PAGE = 500, LIST_PAUSE_MS = 1000 };

/* ---- who is here ---- */

static void walk_turn(struct letter *letter);

static void post_walk(struct presence_walk *walk)
{
    if (!atomic_exchange(&walk->is_posted, true))
        worker_post(walk->worker, &walk->letter, walk_turn);
}

static bool has_room(struct presence_partition *partition)
{
    pthread_mutex_lock(&partition->lock);
    bool has = partition->table.n < ROOM;
    pthread_mutex_unlock(&partition->lock);
    return has;
}

static bool all_have_room(struct presence *presence, unsigned partitions)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if ((partitions & (1u << i)) != 0 && !has_room(&presence->partitions[i]))
            return false;
    }
    return true;
}

static void write_client(struct client *client, void *argument)
{
    struct presence_walk *walk = argument;
    unsigned number = store_partition_of(client_user_id(client));
    if (client->is_present && (atomic_load(&walk->active) & (1u << number)) != 0)
        presence_note_come(&walk->presence->partitions[number], client, true);
}

static void poke_partitions(struct presence *presence, unsigned partitions)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if ((partitions & (1u << i)) != 0)
            presence_poke(&presence->partitions[i]);
    }
}

static void walk_turn(struct letter *letter)
{
    struct presence_walk *walk = CONTAINER_OF(letter, struct presence_walk, letter);
    struct presence *presence = walk->presence;
    atomic_store(&walk->is_posted, false);
    if (presence_state(presence) != PRESENCE_RUNS)
        return;
    unsigned active = atomic_load(&walk->active);
    if (active == 0) {
        active = atomic_load(&walk->wanted);
        atomic_store(&walk->active, active); /* before it is no longer wanted: is_walking */
        atomic_fetch_and(&walk->wanted, ~active);
        walk->cursor = 0;
    }
    if (active == 0 || !all_have_room(presence, active))
        return; /* it goes on in a second */
    client_map_visit(presence->events->node->map, walk->worker->index, &walk->cursor, SLICE,
                     write_client, walk);
    poke_partitions(presence, active);
    if (walk->cursor == UINT64_MAX)
        atomic_store(&walk->active, 0);
    post_walk(walk);
}

void presence_walk_on(struct presence_walk *walk)
{
    if (atomic_load(&walk->active) != 0 || atomic_load(&walk->wanted) != 0)
        post_walk(walk);
}

bool presence_is_walking(const struct presence *presence, const struct worker *worker,
                         unsigned partition)
{
    const struct presence_walk *walk = &presence->walks[worker->index];
    return ((atomic_load(&walk->wanted) | atomic_load(&walk->active)) & (1u << partition)) != 0;
}

void presence_write_again(struct presence_partition *partition)
{
    struct presence *presence = partition->presence;
    if (!presence->keeps_users)
        return;
    for (unsigned i = 0; i < presence->events->node->n_workers; i++) {
        struct presence_walk *walk = &presence->walks[i];
        atomic_fetch_or(&walk->wanted, 1u << partition->number);
        post_walk(walk);
    }
}

enum err presence_walks_new(struct presence *presence)
{
    unsigned n = presence->events->node->n_workers;
    presence->walks = calloc(n, sizeof *presence->walks);
    for (unsigned i = 0; presence->walks != NULL && i < n; i++)
        presence->walks[i].presence = presence;
    return presence->walks == NULL ? ERR_NO_MEMORY : ERR_OK;
}

/* ---- who is not ---- */

void presence_list(struct presence_partition *partition, enum offline_cause cause)
{
    partition->must_list = true;
    partition->list_cause = cause;
    partition->after_len = 0;
    partition->is_page_old = partition->is_listing;
}

void presence_list_end(struct presence_partition *partition)
{
    partition->must_list = false;
    partition->is_page_old = partition->is_listing;
}

static void on_listed(struct store_request *request)
{
    struct presence_partition *partition =
        CONTAINER_OF(request, struct presence_partition, listed.request);
    atomic_store(&partition->is_listed, true);
    presence_poke(partition);
}

static void ask_for_page(struct presence_partition *partition)
{
    struct node *node = partition->presence->events->node;
    partition->listed = (struct store_present){
        .request = {.on_done = on_listed,
                    .lane = store_partition_lane(partition->number, node->n_workers)},
        .partition = partition->number,
        .node = presence_name_now(partition->presence),
        .after = {partition->after, partition->after_len},
        .limit = PAGE,
    };
    partition->is_listing = true;
    partition->is_page_old = false;
    store_present(node->store, &partition->listed);
}

static void write_absent(struct presence_partition *partition, struct span user_id)
{
    const struct node *node = partition->presence->events->node;
    if (client_map_count(node->map, user_id) > 0)
        return;
    int64_t now_ms = store_now_of(node->store, store_partition_user(partition->number));
    pthread_mutex_lock(&partition->lock);
    if (!presence_table_has(&partition->table, user_id))
        presence_note_error(partition, presence_table_left(&partition->table, user_id, now_ms,
                                                           partition->list_cause, true));
    pthread_mutex_unlock(&partition->lock);
}

static void compare_page(struct presence_partition *partition)
{
    const struct store_present *listed = &partition->listed;
    for (size_t i = 0; i < listed->n; i++)
        write_absent(partition, listed->users[i]);
    if (listed->n < PAGE) {
        partition->must_list = false;
        return;
    }
    struct span last = listed->users[listed->n - 1];
    memcpy(partition->after, last.bytes, last.len);
    partition->after_len = (uint8_t)last.len;
}

static void take_page(struct presence_partition *partition, int64_t now_ms)
{
    struct store_present *listed = &partition->listed;
    partition->is_listing = false;
    if (listed->error != ERR_OK) {
        partition->list_again_ms = now_ms + LIST_PAUSE_MS;
        return;
    }
    if (!partition->is_page_old)
        compare_page(partition);
    free(listed->users);
    listed->users = NULL;
}

void presence_list_on(struct presence_partition *partition, int64_t now_ms)
{
    if (atomic_exchange(&partition->is_listed, false))
        take_page(partition, now_ms);
    if (partition->must_list && !partition->is_listing && now_ms >= partition->list_again_ms &&
        presence_state(partition->presence) == PRESENCE_RUNS && has_room(partition))
        ask_for_page(partition);
}
