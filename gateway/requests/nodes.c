/* Every 5 s the first worker describes this node to the store, whose answer is kept as what is
 * known of the others. Who asks for the nodes makes the same request first, so that a node that has
 * just come or gone is seen; while the store is away the answer is made of what is known. What this
 * node says of itself there is of this moment in any case. */
#include "gateway/requests/nodes.h"

#include "gateway/base/clock.h"
#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/node/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SAY_EACH_MS = 5000, SILENT_MS = 15000, LEAVE_MS = 500, LEAVE_POLL_MS = 5, ARRIVE_MS = 100 };

struct node_list {
    struct node *node;
    struct epoch name; /* of this process */
    atomic_bool has_left;

    /* the first worker's */
    struct store_nodes leave;
    struct store_nodes said; /* while is_under_way */
    int64_t said_at_ms;      /* monotonic; 0: never */
    uint64_t n_pushes;       /* then */

    atomic_bool is_leaving;
    atomic_bool is_under_way;
    atomic_uint_fast64_t pushes_per_second;
    pthread_mutex_t lock; /* for all below */
    size_t n_known;
    struct store_node *known;
};

/* ---- this node ---- */

struct epoch nodes_name(const struct node_list *list)
{
    return list->name;
}

static uint64_t count_pushes(void)
{
    return (uint64_t)(metrics_read(METRIC_PUSH_SENT) + metrics_read(METRIC_PUSH_STORED) +
                      metrics_read(METRIC_PUSH_DROPPED));
}

static void describe_self(struct node *node, struct store_node *ret_self)
{
    int64_t now_ms = store_now_ms(node->store);
    *ret_self = (struct store_node){
        .name = node->nodes->name,
        .version = HERALD_VERSION,
        .seen_ms = now_ms,
        .started_ms = now_ms - (clock_monotonic_ms() - node->started_ms),
        .connections = atomic_load(&node->n_sessions),
        .users = client_map_users(node->map),
        .max_connections = node->max_connections,
        .pushes_per_second = atomic_load(&node->nodes->pushes_per_second),
        .is_draining = atomic_load(&node->is_draining),
        .is_store_up = atomic_load(&node->is_store_up),
    };
    memcpy(ret_self->node, node->name, sizeof node->name);
}

static void count_rate(struct node_list *list, int64_t now_ms)
{
    uint64_t n_pushes = count_pushes();
    if (list->said_at_ms != 0 && now_ms > list->said_at_ms)
        atomic_store(&list->pushes_per_second,
                     (n_pushes - list->n_pushes) * 1000 / (uint64_t)(now_ms - list->said_at_ms));
    list->n_pushes = n_pushes;
    list->said_at_ms = now_ms;
}

/* ---- all nodes, as far as is known ---- */

static enum gateway_node_state state_of(const struct store_node *said, int64_t seen_ago_ms)
{
    if (seen_ago_ms >= SILENT_MS)
        return GATEWAY_NODE_SILENT;
    return said->is_draining ? GATEWAY_NODE_DRAINING : GATEWAY_NODE_UP;
}

static int64_t ago_ms(int64_t now_ms, int64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void add_node(struct gateway_nodes *nodes, const struct store_node *said, int64_t now_ms)
{
    struct gateway_node *added = &nodes->nodes[nodes->n++];
    *added = (struct gateway_node){
        .said = *said,
        .started_ago_ms = ago_ms(now_ms, said->started_ms),
        .seen_ago_ms = ago_ms(now_ms, said->seen_ms),
    };
    added->state = state_of(said, added->seen_ago_ms);
    if (added->state == GATEWAY_NODE_SILENT)
        return;
    nodes->connections += said->connections;
    nodes->users += said->users;
}

static int compare_nodes(const void *a, const void *b)
{
    const struct gateway_node *first = a;
    const struct gateway_node *second = b;
    int order = strcmp(first->said.node, second->said.node);
    return order != 0 ? order : memcmp(first->said.name.text, second->said.name.text, EPOCH_LEN);
}

static void list_nodes(struct node *node, struct gateway_nodes *nodes)
{
    struct node_list *list = node->nodes;
    struct store_node self;
    describe_self(node, &self);
    nodes->error = ERR_NO_MEMORY;
    pthread_mutex_lock(&list->lock);
    nodes->nodes = calloc(list->n_known + 1, sizeof *nodes->nodes);
    if (nodes->nodes != NULL) {
        nodes->error = ERR_OK;
        add_node(nodes, &self, self.seen_ms);
        nodes->nodes[0].is_self = true;
    }
    for (size_t i = 0; nodes->nodes != NULL && i < list->n_known; i++) {
        const struct store_node *known = &list->known[i];
        if (!epoch_equal(known->name, self.name) &&
            ago_ms(self.seen_ms, known->seen_ms) <= STORE_NODE_KEPT_MS)
            add_node(nodes, known, self.seen_ms);
    }
    pthread_mutex_unlock(&list->lock);
    if (nodes->nodes != NULL)
        qsort(nodes->nodes, nodes->n, sizeof nodes->nodes[0], compare_nodes);
}

/* Until when one of the others counts as up, if none says any more. */
static int64_t others_up_until_ms(const struct node_list *list, const struct store_nodes *answer)
{
    int64_t until_ms = 0;
    for (size_t i = 0; i < answer->n; i++) {
        const struct store_node *said = &answer->nodes[i];
        if (!epoch_equal(said->name, list->name) && !said->is_draining &&
            said->seen_ms + SILENT_MS > until_ms)
            until_ms = said->seen_ms + SILENT_MS;
    }
    return until_ms;
}

/* Takes the array over. */
static void keep_known(struct node_list *list, struct store_nodes *answer)
{
    atomic_store(&list->node->others_up_until_ms, others_up_until_ms(list, answer));
    pthread_mutex_lock(&list->lock);
    struct store_node *before = list->known;
    list->known = answer->nodes;
    list->n_known = answer->n;
    pthread_mutex_unlock(&list->lock);
    answer->nodes = NULL;
    free(before);
}

/* ---- what is said every 5 s ---- */

/* A node that has said something since this one started lives; what an earlier process of this name
 * has left does not count, nor one that drains while another takes its place. */
static void warn_of_namesakes(struct node *node, const struct gateway_nodes *nodes)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    char event[NODE_NAME_MAX_BYTES + 40];
    int64_t now_ms = clock_monotonic_ms();
    int64_t up_ms = now_ms - node->started_ms;
    if (now_ms < atomic_load(&node->has_namesake_until_ms))
        return;
    for (size_t i = 0; i < nodes->n; i++) {
        const struct gateway_node *other = &nodes->nodes[i];
        if (other->is_self || other->state != GATEWAY_NODE_UP || other->seen_ago_ms >= up_ms ||
            strcmp(other->said.node, node->name) != 0)
            continue;
        snprintf(event, sizeof event, "another node calls itself %s", node->name);
        log_limited(&limit, span_of("any"), LOG_WARN, event,
                    LOG_SPAN("name", ((struct span){other->said.name.text, EPOCH_LEN})),
                    LOG_TEXT("advice", "give each node a --node-name of its own"));
    }
}

/* Records and messages are understood by the version before and the one after. */
static void warn_of_versions(const struct gateway_nodes *nodes)
{
    enum { FEW = 2 };
    static struct log_limit limit = LOG_LIMIT(60000);
    const char *found[FEW];
    size_t n = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        const struct gateway_node *node = &nodes->nodes[i];
        size_t known = 0;
        while (known < n && strcmp(found[known], node->said.version) != 0)
            known++;
        if (known < n || node->state == GATEWAY_NODE_SILENT)
            continue;
        if (n == FEW) {
            log_limited(&limit, span_of("any"), LOG_WARN,
                        "more than two versions run in this fleet", LOG_TEXT("one", found[0]),
                        LOG_TEXT("another", found[1]), LOG_TEXT("third", node->said.version),
                        LOG_TEXT("advice", "upgrade from each version to the one after it"));
            return;
        }
        found[n++] = node->said.version;
    }
}

/* What operators are told of it all. */
static void report_nodes(struct node *node)
{
    struct gateway_nodes nodes = {.n = 0};
    int64_t counts[] = {0, 0, 0};
    list_nodes(node, &nodes);
    for (size_t i = 0; i < nodes.n; i++)
        counts[nodes.nodes[i].state]++;
    if (nodes.error == ERR_OK) {
        metrics_set(METRIC_NODES_UP, counts[GATEWAY_NODE_UP]);
        metrics_set(METRIC_NODES_DRAINING, counts[GATEWAY_NODE_DRAINING]);
        metrics_set(METRIC_NODES_QUIET, counts[GATEWAY_NODE_SILENT]);
        warn_of_namesakes(node, &nodes);
        warn_of_versions(&nodes);
    }
    free(nodes.nodes);
}

static void on_said(struct store_request *request)
{
    struct node_list *list = CONTAINER_OF(request, struct node_list, said.request);
    if (list->said.error == ERR_OK)
        keep_known(list, &list->said);
    report_nodes(list->node);
    atomic_store(&list->is_under_way, false);
}

void nodes_say(struct worker *worker)
{
    struct node *node = worker->node;
    struct node_list *list = node->nodes;
    int64_t now_ms = worker_now_ms(worker);
    if (worker->index != 0 || atomic_load(&list->is_under_way) || atomic_load(&list->is_leaving))
        return;
    bool is_due = list->said_at_ms == 0 || now_ms - list->said_at_ms >= SAY_EACH_MS;
    if (!is_due && list->said.self.is_draining == atomic_load(&node->is_draining))
        return;
    if (is_due)
        count_rate(list, now_ms);
    if (!store_is_shared(node->store) || !atomic_load(&node->is_store_up)) {
        report_nodes(node);
        return;
    }
    list->said = (struct store_nodes){.request = {.on_done = on_said}};
    describe_self(node, &list->said.self);
    atomic_store(&list->is_under_way, true);
    store_nodes(node->store, &list->said);
}

static void say_here(struct worker *worker, void *unused)
{
    (void)unused;
    nodes_say(worker);
}

void nodes_arrive(struct node *node)
{
    worker_run_on_all(node, say_here, NULL);
    for (int waited_ms = 0; waited_ms < ARRIVE_MS && atomic_load(&node->nodes->is_under_way);
         waited_ms++)
        usleep(1000);
}

/* ---- who asks ---- */

struct nodes_work {
    struct store_nodes asked;
    struct node *node;
    struct gateway_nodes *nodes;
};

static void on_asked(struct store_request *request)
{
    struct nodes_work *work = CONTAINER_OF(request, struct nodes_work, asked.request);
    struct gateway_nodes *nodes = work->nodes;
    if (work->asked.error == ERR_OK)
        keep_known(work->node->nodes, &work->asked);
    list_nodes(work->node, nodes);
    free(work);
    nodes->on_done(nodes);
}

void gateway_nodes(struct node *node, struct gateway_nodes *nodes)
{
    nodes->n = 0;
    nodes->nodes = NULL;
    nodes->connections = 0;
    nodes->users = 0;
    bool can_ask = store_is_shared(node->store) && atomic_load(&node->is_store_up) &&
                   !atomic_load(&node->nodes->is_leaving);
    struct nodes_work *work = can_ask ? calloc(1, sizeof *work) : NULL;
    if (work == NULL) {
        list_nodes(node, nodes);
        nodes->on_done(nodes);
        return;
    }
    work->node = node;
    work->nodes = nodes;
    work->asked.request.on_done = on_asked;
    describe_self(node, &work->asked.self);
    store_nodes(node->store, &work->asked);
}

/* ---- the end ---- */

static void on_left(struct store_request *request)
{
    struct node_list *list = CONTAINER_OF(request, struct node_list, leave.request);
    free(list->leave.nodes);
    list->leave.nodes = NULL;
    atomic_store(&list->has_left, true);
}

/* On the first worker's thread, so that nothing is said after it. */
static void leave_here(struct worker *worker, void *argument)
{
    struct node_list *list = argument;
    if (worker->index != 0 || atomic_exchange(&list->is_leaving, true))
        return;
    list->leave = (struct store_nodes){.request = {.on_done = on_left}, .is_leaving = true};
    describe_self(list->node, &list->leave.self);
    store_nodes(list->node->store, &list->leave);
}

void nodes_leave(struct node *node)
{
    struct node_list *list = node->nodes;
    if (!store_is_shared(node->store) || !atomic_load(&node->is_store_up))
        return;
    worker_run_on_all(node, leave_here, list);
    for (int waited_ms = 0; waited_ms < LEAVE_MS && !atomic_load(&list->has_left);
         waited_ms += LEAVE_POLL_MS)
        usleep(LEAVE_POLL_MS * 1000);
}

enum err nodes_new(struct node *node, struct node_list **ret_list)
{
    struct node_list *list = calloc(1, sizeof *list);
    if (list == NULL)
        return ERR_NO_MEMORY;
    enum err error = epoch_random(&list->name);
    if (error != ERR_OK) {
        free(list);
        return error;
    }
    list->node = node;
    pthread_mutex_init(&list->lock, NULL);
    *ret_list = list;
    return ERR_OK;
}

void nodes_free(struct node_list *list)
{
    if (list == NULL)
        return;
    free(list->known);
    free(list->said.nodes);
    pthread_mutex_destroy(&list->lock);
    free(list);
}
