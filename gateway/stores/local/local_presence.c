/* Who is online. What a request needs (events, records, memory) is made first, for all its changes;
 * then they are carried out in their order, which cannot fail.
 *
 * One process has the records, so every node but that of the process is gone: its users are taken
 * from it when the process judges, and their grace time counts from the process's first request. To
 * find them, the users are walked through in steps, in the order of their names. */
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_events.h"
#include "gateway/stores/local/presences.h"

#include <stdlib.h>

/* NULL: no memory. */
static struct presences *begin_presences(struct partition *partition, int64_t now_ms)
{
    if (partition->presences == NULL && presences_new(&partition->presences) != ERR_OK)
        return NULL;
    if (partition->presences->began_ms == 0) {
        presences_hold_to(partition->presences, now_ms); /* the records may be of a later time */
        partition->presences->began_ms = now_ms;
    }
    return partition->presences;
}

static void write_present(struct local_state *state, struct presences *presences,
                          struct present *present)
{
    group_write_present(&state->group, presences, present);
}

/* Room for so many records, on the disk and in memory. */
static enum err reserve_presents(struct local_state *state, size_t n)
{
    enum err error = local_take_event_room(state, (uint64_t)n * GROUP_PUT_OVERHEAD_BYTES);
    return error == ERR_OK ? group_reserve_presents(&state->group, n) : error;
}

/* ---- nodes that are gone ---- */

enum { LOOK_AT_ONCE = 4096 };

/* From when on the grace time of its users counts. */
static int64_t lost_since(const struct presences *presences, unsigned node)
{
    int64_t left_ms = presences->nodes[node].left_ms;
    return left_ms != 0 ? left_ms : presences->began_ms;
}

/* Takes the user from these nodes; room in the group is reserved. */
static void take_from_nodes(struct local_state *state, struct presences *presences,
                            struct present *present, uint32_t nodes, uint32_t offline_after_ms)
{
    for (unsigned node = 0; node < PRESENCE_NODES_MAX; node++) {
        int64_t since_ms = lost_since(presences, node);
        if ((nodes >> node & 1) != 0)
            (void)present_leave(presences, present, node, since_ms, since_ms + offline_after_ms,
                                OFFLINE_NODE_LOST);
    }
    write_present(state, presences, present);
}

/* At most STORE_SERVE_USERS of the users of these nodes. */
static void take_users(struct local_state *state, struct presences *presences, uint32_t nodes,
                       uint32_t offline_after_ms)
{
    size_t n_taken = 0;
    if (reserve_presents(state, STORE_SERVE_USERS) != ERR_OK)
        return;
    for (size_t n_looked = 0; n_looked < LOOK_AT_ONCE && n_taken < STORE_SERVE_USERS; n_looked++) {
        struct present *present =
            presences_after(presences, (struct span){presences->walked, presences->walked_len});
        if (present == NULL) {
            presences->walked_len = 0;
            break;
        }
        memcpy(presences->walked, present->user_id, present->user_id_len);
        presences->walked_len = present->user_id_len;
        if ((present->nodes & nodes) == 0)
            continue;
        take_from_nodes(state, presences, present, nodes, offline_after_ms);
        n_taken++;
    }
}

/* Those that have users here and no lease. */
static uint32_t find_lost_nodes(const struct presences *presences, struct span own_name)
{
    uint32_t nodes = 0;
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++) {
        const struct presence_node *node = &presences->nodes[i];
        bool is_own = span_equal((struct span){node->name, node->name_len}, own_name);
        if (node->n_users > 0 && (!is_own || node->left_ms != 0))
            nodes |= UINT32_C(1) << i;
    }
    return nodes;
}

/* Answers whether there are more. */
static bool take_lost_users(struct local_state *state, struct presences *presences,
                            const struct store_serve *serve)
{
    uint32_t nodes = find_lost_nodes(presences, serve->node);
    if (nodes == 0) {
        presences->walked_len = 0;
        return false;
    }
    for (unsigned node = 0; node < PRESENCE_NODES_MAX; node++)
        if ((nodes >> node & 1) != 0)
            presences->nodes[node].is_leased = false;
    take_users(state, presences, nodes, serve->offline_after_ms);
    return find_lost_nodes(presences, serve->node) != 0;
}

/* ---- users whose grace time is over ---- */

static struct notification *make_offline(const struct local_state *state,
                                         const struct partition *partition,
                                         const struct present *present, int64_t now_ms)
{
    struct buf data;
    struct notification *note = NULL;
    buf_init(&data, 4096);
    if (event_write_offline(&data, present_user(present), present->last_seen_ms,
                            (enum offline_cause)present->cause) == ERR_OK)
        note = local_make_event(state, partition, buf_span(&data), now_ms);
    buf_fini(&data);
    return note;
}

static enum err append_offline(struct local_state *state, struct partition *partition,
                               const struct present *present, int64_t now_ms)
{
    if (local_begin_partition(state, partition) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification *note = make_offline(state, partition, present, now_ms);
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_reserve_events(state, partition, 1, note->payload->len);
    if (error == ERR_OK)
        local_put_event(state, partition, note);
    else
        notification_unref(note);
    return error;
}

/* Answers whether there are more. What cannot be ended now is ended later. */
static bool end_due_users(struct local_state *state, struct partition *partition,
                          bool keeps_offline, int64_t now_ms)
{
    struct presences *presences = partition->presences;
    for (int n = 0; n <= STORE_SERVE_USERS; n++) {
        struct due *due = due_heap_first(&presences->due);
        if (due == NULL || due->at_ms > now_ms)
            return false;
        struct present *present = present_of_due(due);
        if (n == STORE_SERVE_USERS)
            return true;
        if (reserve_presents(state, 1) != ERR_OK ||
            (keeps_offline && append_offline(state, partition, present, now_ms) != ERR_OK))
            return false;
        presences_remove(presences, present);
        state->backing->event_bytes -= GROUP_PUT_OVERHEAD_BYTES;
        present->is_gone = true;
        write_present(state, presences, present);
    }
    return true;
}

void local_judge_presence(struct local_state *state, struct store_serve *serve, int64_t now_ms)
{
    struct partition *partition = &state->index.events->list[serve->partition];
    struct presences *presences = begin_presences(partition, now_ms);
    if (presences == NULL || !serve->may_judge || !local_can_add(state))
        return;
    if (now_ms < presences->judged_ms)
        presences_hold_to(presences, now_ms);
    presences->judged_ms = now_ms;
    bool has_more = take_lost_users(state, presences, serve);
    has_more |= end_due_users(state, partition, serve->keeps_offline, now_ms);
    serve->has_more = has_more;
}

/* ---- changes ---- */

/* What a change needs if the user is not on record, or is offline by the record's due time. */
struct arrival {
    struct present *present; /* NULL: not needed, or used; the same below */
    struct notification *note;
    struct notification *offline;
};

/* Nobody has looked since the grace time was over. A process that has not judged yet ends nobody by
 * this either. */
static bool was_offline(const struct presences *presences, const struct present *present,
                        const struct store_presence_change *change, int64_t now_ms)
{
    int64_t came_ms = change->came_ms < now_ms ? change->came_ms : now_ms;
    return present->due.place != 0 && presences->judged_ms != 0 && change->came_ms > 0 &&
           came_ms >= present->due.at_ms;
}

static void free_arrivals(struct arrival *arrivals, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(arrivals[i].present);
        notification_unref(arrivals[i].note);
        notification_unref(arrivals[i].offline);
    }
    free(arrivals);
}

static enum err make_arrival(struct local_state *state, struct partition *partition,
                             const struct store_presence *presence,
                             const struct store_presence_change *change, int64_t now_ms,
                             struct arrival *ret_arrival)
{
    struct present *known = presences_find(partition->presences, change->user_id);
    if (!change->is_here ||
        (known != NULL && !was_offline(partition->presences, known, change, now_ms)))
        return ERR_OK;
    bool is_told = known != NULL && presence->keeps_offline;
    if ((is_told || change->event.len > 0) && local_begin_partition(state, partition) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (known == NULL)
        ret_arrival->present = present_new(change->user_id);
    if (is_told)
        ret_arrival->offline = make_offline(state, partition, known, now_ms);
    if (change->event.len > 0)
        ret_arrival->note = local_make_event(state, partition, change->event, now_ms);
    bool is_made = (known != NULL || ret_arrival->present != NULL) &&
                   (!is_told || ret_arrival->offline != NULL) &&
                   (change->event.len == 0 || ret_arrival->note != NULL);
    return is_made ? ERR_OK : ERR_NO_MEMORY;
}

static void count_event(const struct notification *note, size_t *n, uint64_t *bytes)
{
    *n += note != NULL;
    *bytes += note != NULL ? note->payload->len : 0;
}

/* Room for all the changes. */
static enum err prepare_changes(struct local_state *state, struct partition *partition,
                                const struct store_presence *presence, int64_t now_ms,
                                struct arrival **ret_arrivals)
{
    size_t n = presence->n_changes;
    size_t n_events = 0;
    uint64_t bytes = n * GROUP_PUT_OVERHEAD_BYTES;
    struct arrival *arrivals = calloc(n + 1, sizeof *arrivals);
    enum err error = arrivals == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < n; i++) {
        error =
            make_arrival(state, partition, presence, &presence->changes[i], now_ms, &arrivals[i]);
        count_event(arrivals[i].note, &n_events, &bytes);
        count_event(arrivals[i].offline, &n_events, &bytes);
    }
    if (error == ERR_OK)
        error = local_reserve_events(state, partition, n_events, bytes);
    if (error == ERR_OK)
        error = group_reserve_presents(&state->group, n);
    if (error == ERR_OK)
        error = presences_reserve(partition->presences, n);
    if (error == ERR_OK)
        *ret_arrivals = arrivals;
    else if (arrivals != NULL)
        free_arrivals(arrivals, n);
    return error;
}

static void put_if_made(struct local_state *state, struct partition *partition,
                        struct notification **note)
{
    if (*note != NULL)
        local_put_event(state, partition, *note);
    *note = NULL;
}

/* The first session anywhere appends the event. */
static void user_comes(struct local_state *state, struct partition *partition, unsigned node,
                       const struct store_presence_change *change, struct arrival *arrival,
                       int64_t now_ms)
{
    struct presences *presences = partition->presences;
    struct present *present = presences_find(presences, change->user_id);
    bool is_online = present == NULL || was_offline(presences, present, change, now_ms);
    if (present == NULL) {
        present = arrival->present;
        arrival->present = NULL;
        presences_add(presences, present);
        state->backing->event_bytes += GROUP_PUT_OVERHEAD_BYTES;
    } else if (is_online) {
        put_if_made(state, partition, &arrival->offline);
    }
    if (is_online)
        put_if_made(state, partition, &arrival->note);
    if (present_come(presences, present, node))
        write_present(state, presences, present);
}

/* The clock may have gone back since the user was seen. */
static void user_leaves(struct local_state *state, struct presences *presences, unsigned node,
                        const struct store_presence_change *change, uint32_t offline_after_ms,
                        int64_t now_ms)
{
    struct present *present = presences_find(presences, change->user_id);
    int64_t seen_ms = change->last_seen_ms < now_ms ? change->last_seen_ms : now_ms;
    if (present != NULL &&
        present_leave(presences, present, node, seen_ms, seen_ms + offline_after_ms, change->cause))
        write_present(state, presences, present);
}

/* So many starts within a grace time: the users of the node unheard for longest lose it now. */
static enum err end_oldest_node(struct local_state *state, struct presences *presences,
                                uint32_t offline_after_ms)
{
    unsigned oldest = PRESENCE_NODES_MAX;
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++)
        if (presences->nodes[i].n_users > 0 &&
            (oldest == PRESENCE_NODES_MAX ||
             presences->nodes[i].heard_ms < presences->nodes[oldest].heard_ms))
            oldest = i;
    if (oldest == PRESENCE_NODES_MAX || !local_can_add(state) ||
        reserve_presents(state, presences->nodes[oldest].n_users) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    for (struct present *present = presences_after(presences, SPAN_NONE); present != NULL;
         present = presences_after(presences, present_user(present)))
        if ((present->nodes >> oldest & 1) != 0)
            take_from_nodes(state, presences, present, UINT32_C(1) << oldest, offline_after_ms);
    presences->nodes[oldest].is_leased = false;
    return ERR_OK;
}

static enum err find_node(struct local_state *state, struct presences *presences,
                          const struct store_presence *presence, unsigned *ret_node)
{
    enum err error = ERR_OK;
    *ret_node = presences_find_node(presences, presence->node);
    if (*ret_node != PRESENCE_NODES_MAX)
        return ERR_OK;
    if (presences_count_nodes(presences) >= PRESENCE_NODES)
        error = end_oldest_node(state, presences, presence->offline_after_ms);
    if (error == ERR_OK)
        *ret_node = presences_add_node(presences, presence->node);
    return *ret_node == PRESENCE_NODES_MAX ? ERR_STORE_UNAVAILABLE : ERR_OK;
}

static void apply_changes(struct local_state *state, struct partition *partition,
                          const struct store_presence *presence, unsigned node,
                          struct arrival *arrivals, int64_t now_ms)
{
    for (size_t i = 0; i < presence->n_changes; i++) {
        const struct store_presence_change *change = &presence->changes[i];
        if (change->is_here)
            user_comes(state, partition, node, change, &arrivals[i], now_ms);
        else
            user_leaves(state, partition->presences, node, change, presence->offline_after_ms,
                        now_ms);
    }
}

static enum err change_presence(struct local_state *state, struct partition *partition,
                                struct store_presence *presence, int64_t now_ms)
{
    struct presences *presences = begin_presences(partition, now_ms);
    struct arrival *arrivals = NULL;
    unsigned at;
    if (presences == NULL || find_node(state, presences, presence, &at) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (presence->n_changes > 0 &&
        (!local_can_add(state) ||
         prepare_changes(state, partition, presence, now_ms, &arrivals) != ERR_OK))
        return ERR_STORE_UNAVAILABLE;
    apply_changes(state, partition, presence, at, arrivals, now_ms);
    if (arrivals != NULL)
        free_arrivals(arrivals, presence->n_changes);
    struct presence_node *node = &presences->nodes[at];
    presence->is_new = !node->is_leased;
    node->is_leased = !presence->is_leaving;
    node->left_ms = presence->is_leaving ? now_ms : 0;
    node->heard_ms = now_ms;
    return ERR_OK;
}

void local_apply_presence(struct local_state *state, struct store_presence *presence)
{
    struct partition *partition = &state->index.events->list[presence->partition];
    presence->is_new = false;
    presence->error = ERR_STORE_UNAVAILABLE;
    if (state->is_up)
        presence->error = change_presence(state, partition, presence, local_now_ms(state));
}

/* ---- the list ---- */

static enum err show_users(struct store_present *asked, struct present *const *found)
{
    size_t bytes = asked->n * sizeof *asked->users;
    for (size_t i = 0; i < asked->n; i++)
        bytes += found[i]->user_id_len;
    asked->users = malloc(bytes + 1);
    if (asked->users == NULL) {
        asked->n = 0;
        return ERR_NO_MEMORY;
    }
    char *at = (char *)(asked->users + asked->n);
    for (size_t i = 0; i < asked->n; i++) {
        memcpy(at, found[i]->user_id, found[i]->user_id_len);
        asked->users[i] = (struct span){at, found[i]->user_id_len};
        at += found[i]->user_id_len;
    }
    return ERR_OK;
}

static enum err list_users(const struct presences *presences, struct store_present *asked)
{
    uint32_t nodes = UINT32_MAX;
    if (asked->node.len > 0) {
        unsigned node = presences_find_node(presences, asked->node);
        nodes = node == PRESENCE_NODES_MAX ? 0 : UINT32_C(1) << node;
    }
    struct present **found = malloc(asked->limit * sizeof(struct present *));
    if (found == NULL)
        return ERR_NO_MEMORY;
    struct present *present = nodes == 0 ? NULL : presences_after(presences, asked->after);
    for (; present != NULL && asked->n < asked->limit;
         present = presences_after(presences, present_user(present)))
        if (asked->node.len == 0 || (present->nodes & nodes) != 0)
            found[asked->n++] = present;
    enum err error = show_users(asked, found);
    free(found);
    return error;
}

void local_apply_present(struct local_state *state, struct store_present *asked)
{
    const struct presences *presences = state->index.events->list[asked->partition].presences;
    asked->n = 0;
    asked->error = state->is_readable ? ERR_OK : ERR_STORE_UNAVAILABLE;
    if (state->is_readable && presences != NULL)
        asked->error = list_users(presences, asked);
}
