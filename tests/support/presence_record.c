/* Leases are found one after the other: a test has few of them in a partition. A request waits in
 * its link until presence_link_turn; then it is done as a whole, and answered. */
#include "tests/support/presence_record.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_text(char *out, size_t cap, struct span text)
{
    cr_assert_lt(text.len, cap);
    if (text.len > 0) /* an empty text may have no address */
        memcpy(out, text.bytes, text.len);
    out[text.len] = '\0';
}

/* ---- users ---- */

/* The chain in which the user is, or would be. */
static unsigned *chain_of(struct record_partition *partition, struct span user_id)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < user_id.len; i++)
        hash = 31 * hash + (uint8_t)user_id.bytes[i];
    return &partition->chains[hash % RECORD_CHAINS];
}

static struct record_user *find_user(struct record_partition *partition, struct span user_id)
{
    unsigned at = *chain_of(partition, user_id);
    while (at != 0 && !span_equal(span_of(partition->users[at - 1].user_id), user_id))
        at = partition->users[at - 1].next;
    return at == 0 ? NULL : &partition->users[at - 1];
}

static struct record_user *add_user(struct record_partition *partition, struct span user_id)
{
    if (partition->n_users == partition->room) {
        partition->room = partition->room == 0 ? 64 : 2 * partition->room;
        partition->users = realloc(partition->users, partition->room * sizeof(struct record_user));
        cr_assert_not_null(partition->users);
    }
    struct record_user *user = &partition->users[partition->n_users++];
    *user = (struct record_user){.n_nodes = 0};
    copy_text(user->user_id, sizeof user->user_id, user_id);
    unsigned *chain = chain_of(partition, user_id);
    user->next = *chain;
    *chain = (unsigned)partition->n_users;
    return user;
}

/* What leads to the user in its chain. */
static unsigned *link_to(struct record_partition *partition, size_t index)
{
    unsigned *link = chain_of(partition, span_of(partition->users[index].user_id));
    while (*link != index + 1)
        link = &partition->users[*link - 1].next;
    return link;
}

/* The last one takes its place. */
static void remove_user(struct record_partition *partition, size_t index)
{
    *link_to(partition, index) = partition->users[index].next;
    size_t last = --partition->n_users;
    if (index == last)
        return;
    *link_to(partition, last) = (unsigned)index + 1;
    partition->users[index] = partition->users[last];
}

static int find_node(const struct record_user *user, struct span node)
{
    for (unsigned i = 0; i < user->n_nodes; i++) {
        if (span_equal(span_of(user->nodes[i]), node))
            return (int)i;
    }
    return -1;
}

static void take_from(struct record_user *user, int node, int64_t last_seen_ms,
                      enum offline_cause cause, uint32_t offline_after_ms)
{
    memmove(user->nodes[node], user->nodes[user->n_nodes - 1], RECORD_NAME_BYTES);
    user->n_nodes--;
    user->last_seen_ms = last_seen_ms;
    user->cause = cause;
    user->due_ms = last_seen_ms + offline_after_ms;
}

static struct record_event *add_event(struct presence_record *record, const char *user_id)
{
    if (record->n_events == record->events_room) {
        record->events_room = record->events_room == 0 ? 256 : 2 * record->events_room;
        record->events = realloc(record->events, record->events_room * sizeof(struct record_event));
        cr_assert_not_null(record->events);
    }
    struct record_event *event = &record->events[record->n_events++];
    *event = (struct record_event){.time_ms = record->now_ms()};
    memcpy(event->user_id, user_id, sizeof event->user_id);
    return event;
}

/* ---- presence ---- */

static struct record_lease *find_lease(struct record_partition *partition, struct span node)
{
    for (unsigned i = 0; i < partition->n_leases; i++) {
        if (span_equal(span_of(partition->leases[i].node), node))
            return &partition->leases[i];
    }
    return NULL;
}

static bool is_late(const struct presence_record *record, const struct record_lease *lease)
{
    return record->now_ms() - lease->renewed_ms >= STORE_PRESENCE_LATE_MS;
}

static void end_lease(struct record_partition *partition, struct record_lease *lease,
                      uint32_t offline_after_ms)
{
    for (size_t i = 0; i < partition->n_users; i++) {
        struct record_user *user = &partition->users[i];
        int node = find_node(user, span_of(lease->node));
        if (node >= 0)
            take_from(user, node, lease->renewed_ms, OFFLINE_NODE_LOST, offline_after_ms);
    }
    *lease = partition->leases[--partition->n_leases];
}

static void add_offline(struct presence_record *record, const struct record_user *user)
{
    struct record_event *event = add_event(record, user->user_id);
    event->cause = user->cause;
    event->last_seen_ms = user->last_seen_ms;
}

static void add_online(struct presence_record *record, const struct record_user *user,
                       const struct store_presence_change *change)
{
    struct record_event *event = add_event(record, user->user_id);
    event->is_online = true;
    copy_text(event->data, sizeof event->data, change->event);
}

static void write_change(struct presence_record *record, const struct store_presence *presence,
                         const struct store_presence_change *change, bool may_judge)
{
    struct record_partition *partition = &record->partitions[presence->partition];
    struct record_user *user = find_user(partition, change->user_id);
    cr_assert_eq(store_partition_of(change->user_id), presence->partition);
    record->n_written++;
    if (change->is_here && user == NULL) {
        user = add_user(partition, change->user_id);
        add_online(record, user, change);
    } else if (change->is_here && may_judge && user->n_nodes == 0 && change->came_ms > 0 &&
               change->came_ms >= user->due_ms) {
        add_offline(record, user);
        add_online(record, user, change);
    }
    int node = user == NULL ? -1 : find_node(user, presence->node);
    if (change->is_here && node < 0) {
        cr_assert_lt(user->n_nodes, RECORD_NODES_OF_USER);
        copy_text(user->nodes[user->n_nodes++], RECORD_NAME_BYTES, presence->node);
    } else if (!change->is_here && node >= 0) {
        take_from(user, node, change->last_seen_ms, change->cause, presence->offline_after_ms);
    }
}

static void do_presence(struct presence_record *record, struct store_presence *presence)
{
    struct record_partition *partition = &record->partitions[presence->partition];
    struct record_lease *lease = find_lease(partition, presence->node);
    record->n_requests++;
    if (presence->n_changes > record->most_changes)
        record->most_changes = (unsigned)presence->n_changes;
    presence->is_new = lease == NULL;
    if (lease == NULL) {
        cr_assert_lt(partition->n_leases, 16);
        lease = &partition->leases[partition->n_leases++];
        *lease = (struct record_lease){.renewed_ms = INT64_MIN / 2};
        copy_text(lease->node, sizeof lease->node, presence->node);
    }
    if (is_late(record, lease))
        lease->since_ms = record->now_ms();
    lease->renewed_ms = record->now_ms();
    int64_t heard_ms = lease->since_ms > record->began_ms ? lease->since_ms : record->began_ms;
    bool may_judge = record->now_ms() - heard_ms >= STORE_PRESENCE_LEASE_MS;
    for (size_t i = 0; i < presence->n_changes; i++)
        write_change(record, presence, &presence->changes[i], may_judge);
    if (presence->is_leaving)
        end_lease(partition, lease, presence->offline_after_ms);
}

/* ---- who is on record ---- */

static int compare_spans(const void *a, const void *b)
{
    const struct span *one = a;
    const struct span *other = b;
    return strcmp(one->bytes, other->bytes);
}

static bool is_listed(const struct record_user *user, const struct store_present *present)
{
    char after[32];
    copy_text(after, sizeof after, present->after);
    return (present->node.len == 0 || find_node(user, present->node) >= 0) &&
           strcmp(user->user_id, after) > 0;
}

static void do_present(struct presence_record *record, struct store_present *present)
{
    struct record_partition *partition = &record->partitions[present->partition];
    size_t n = 0;
    present->users = calloc(1, partition->n_users * (sizeof(struct span) + 32) + 1);
    cr_assert_not_null(present->users);
    char *texts = (char *)(present->users + partition->n_users);
    for (size_t i = 0; i < partition->n_users; i++) {
        if (!is_listed(&partition->users[i], present))
            continue;
        memcpy(texts, partition->users[i].user_id, 32);
        present->users[n++] = span_of(texts);
        texts += 32;
    }
    qsort(present->users, n, sizeof(struct span), compare_spans);
    present->n = n < present->limit ? n : present->limit;
}

/* ---- serving ---- */

/* Has this node heard of the record for so long that it would know what it did not hear? */
static bool has_heard(struct presence_link *link, const struct store_serve *serve)
{
    struct presence_record *record = link->record;
    const struct record_lease *own = find_lease(&record->partitions[serve->partition], serve->node);
    int64_t before_ms = record->now_ms() - STORE_PRESENCE_LEASE_MS;
    return record->is_local || (before_ms >= link->up_ms && before_ms >= record->began_ms &&
                                own != NULL && !is_late(record, own) && before_ms >= own->since_ms);
}

static void judge(struct presence_record *record, struct record_partition *partition,
                  const struct store_serve *serve)
{
    int64_t now_ms = record->now_ms();
    for (unsigned i = partition->n_leases; i > 0; i--) {
        struct record_lease *lease = &partition->leases[i - 1];
        if (!span_equal(span_of(lease->node), serve->node) &&
            lease->renewed_ms + STORE_PRESENCE_LEASE_MS <= now_ms)
            end_lease(partition, lease, serve->offline_after_ms);
    }
    for (size_t i = partition->n_users; i > 0; i--) {
        struct record_user *user = &partition->users[i - 1];
        if (user->n_nodes > 0 || user->due_ms > now_ms)
            continue;
        add_offline(record, user);
        remove_user(partition, i - 1);
    }
}

static unsigned count_nodes(const struct presence_record *record,
                            const struct record_partition *partition)
{
    unsigned n = 0;
    for (unsigned i = 0; i < partition->n_leases; i++)
        n += partition->leases[i].renewed_ms + STORE_PRESENCE_LEASE_MS > record->now_ms();
    return n > 0 ? n : 1;
}

static void take_lease(struct presence_record *record, struct record_partition *partition,
                       struct store_serve *serve)
{
    int64_t now_ms = record->now_ms();
    bool is_free = partition->server[0] == '\0' || partition->served_until_ms <= now_ms;
    bool is_own = !is_free && span_equal(span_of(partition->server), serve->node);
    serve->is_mine = record->is_local || (serve->wants_lease && (is_free || is_own));
    if (serve->is_mine) {
        copy_text(partition->server, sizeof partition->server, serve->node);
        partition->served_until_ms = now_ms + STORE_SERVE_LEASE_MS;
    } else if (is_own) {
        partition->server[0] = '\0';
    }
}

static void show_alert(struct presence_link *link, struct store_serve *serve)
{
    int64_t now_ms = link->record->now_ms();
    if (link->alert_ms == 0 || link->alert_of != serve->partition)
        return;
    serve->n_pending_alerts = 1;
    if (link->alert_ms > now_ms) {
        serve->next_alert_ms = link->alert_ms;
        return;
    }
    if (serve->skip_alerts > 0)
        return;
    serve->alerts = malloc(sizeof link->alert);
    cr_assert_not_null(serve->alerts);
    serve->alerts[0] = link->alert;
    serve->n_alerts = 1;
}

static void do_serve(struct presence_link *link, struct store_serve *serve)
{
    struct presence_record *record = link->record;
    struct record_partition *partition = &record->partitions[serve->partition];
    take_lease(record, partition, serve);
    serve->n_nodes = record->is_local ? 1 : count_nodes(record, partition);
    if (serve->is_mine && serve->may_judge && has_heard(link, serve))
        judge(record, partition, serve);
    if (serve->is_mine)
        show_alert(link, serve);
}

/* ---- a link ---- */

static void submit(struct store *store, struct store_request *request, enum store_op op)
{
    struct presence_link *link = CONTAINER_OF(store, struct presence_link, store);
    if (op != STORE_OP_PRESENCE && op != STORE_OP_PRESENT && op != STORE_OP_SERVE) {
        cr_assert_not_null(link->other);
        link->other->ops->submit(link->other, request, op);
        return;
    }
    request->op = (int)op;
    request->next = NULL;
    *link->last = request;
    link->last = &request->next;
}

static void carry_out(struct presence_link *link, struct store_request *request)
{
    void *of = request;
    store_event_answer(request, (enum store_op)request->op, ERR_OK);
    if (!link->is_cut && request->op == STORE_OP_PRESENCE)
        do_presence(link->record, of);
    else if (!link->is_cut && request->op == STORE_OP_PRESENT)
        do_present(link->record, of);
    else if (!link->is_cut)
        do_serve(link, of);
    if (link->is_cut || link->loses_answers)
        store_event_answer(request, (enum store_op)request->op, ERR_STORE_UNAVAILABLE);
}

static void answer_all(struct presence_link *link, bool is_dropped)
{
    struct store_request *request = link->first;
    link->first = NULL;
    link->last = &link->first;
    while (request != NULL) {
        struct store_request *next = request->next;
        if (is_dropped)
            store_event_answer(request, (enum store_op)request->op, ERR_STORE_UNAVAILABLE);
        else
            carry_out(link, request);
        request->on_done(request);
        request = next;
    }
}

void presence_link_turn(struct presence_link *link)
{
    if (!link->holds)
        answer_all(link, false);
}

void presence_link_drop(struct presence_link *link)
{
    answer_all(link, true);
}

void presence_link_cut(struct presence_link *link, bool is_cut)
{
    if (link->is_cut && !is_cut)
        link->up_ms = link->record->now_ms();
    link->is_cut = is_cut;
}

static int64_t now_of_link(const struct store *store)
{
    return CONTAINER_OF(store, const struct presence_link, store)->record->now_ms();
}

static void close_link(struct store *store)
{
    struct presence_link *link = CONTAINER_OF(store, struct presence_link, store);
    presence_link_drop(link);
    if (link->other != NULL)
        link->other->ops->close(link->other);
}

static void leave_user(struct store *store, unsigned lane, struct span user_id)
{
    struct presence_link *link = CONTAINER_OF(store, struct presence_link, store);
    if (link->other != NULL)
        link->other->ops->leave(link->other, lane, user_id);
}

static const struct store_ops shared_ops = {.kind = "redis",
                                            .is_shared = true,
                                            .close = close_link,
                                            .submit = submit,
                                            .leave = leave_user,
                                            .now_ms = now_of_link};
static const struct store_ops local_ops = {.kind = "file",
                                           .close = close_link,
                                           .submit = submit,
                                           .leave = leave_user,
                                           .now_ms = now_of_link};

void presence_link_init(struct presence_link *link, struct presence_record *record)
{
    *link = (struct presence_link){.store.ops = record->is_local ? &local_ops : &shared_ops,
                                   .record = record,
                                   .up_ms = record->now_ms()};
    link->last = &link->first;
}

/* ---- the record ---- */

void presence_record_init(struct presence_record *record, int64_t (*now_ms)(void))
{
    *record = (struct presence_record){.now_ms = now_ms};
    record->began_ms = now_ms() - STORE_PRESENCE_LEASE_MS;
}

void presence_record_lose(struct presence_record *record)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct record_partition *partition = &record->partitions[i];
        free(partition->users);
        *partition = (struct record_partition){.n_users = 0};
    }
    record->n_events = 0;
    record->began_ms = record->now_ms();
}

void presence_record_fini(struct presence_record *record)
{
    presence_record_lose(record);
    free(record->events);
}

const struct record_user *presence_record_find(struct presence_record *record, const char *user_id)
{
    struct span name = span_of(user_id);
    return find_user(&record->partitions[store_partition_of(name)], name);
}

bool presence_record_has(struct presence_record *record, const char *user_id, struct span node)
{
    const struct record_user *user = presence_record_find(record, user_id);
    return user != NULL && find_node(user, node) >= 0;
}

size_t presence_record_count(const struct presence_record *record)
{
    size_t n = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        n += record->partitions[i].n_users;
    return n;
}

bool presence_record_told(const struct presence_record *record, const char *user_id)
{
    bool is_online = false;
    for (size_t i = 0; i < record->n_events; i++) {
        if (strcmp(record->events[i].user_id, user_id) == 0)
            is_online = record->events[i].is_online;
    }
    return is_online;
}

unsigned presence_record_events(const struct presence_record *record, const char *user_id)
{
    unsigned n = 0;
    for (size_t i = 0; i < record->n_events; i++)
        n += strcmp(record->events[i].user_id, user_id) == 0;
    return n;
}
