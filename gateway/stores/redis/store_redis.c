/* The Redis store: several nodes, one Redis or one Redis Cluster. A request goes to the lane of its
 * user's home worker and becomes a script there (redis_ops.c); what other nodes, and this one,
 * append comes back on the lane's subscriptions (redis_subs.c). See README.md for the schema. */
#include "gateway/stores/redis/store_redis.h"

#include "gateway/stores/redis/redis_cluster.h"
#include "gateway/stores/redis/redis_lane.h"
#include "gateway/stores/redis/redis_nodes.h"
#include "gateway/stores/redis/redis_ops.h"
#include "gateway/stores/redis/redis_url.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct store_redis {
    struct store store;
    struct redis_common common;
    unsigned n_lanes;
    struct redis_lane *lanes[];
};

static struct store_redis *redis_of(struct store *store)
{
    return CONTAINER_OF(store, struct store_redis, store);
}

/* Hands the lane of the first request all of the chain that is that lane's, in their order. Returns
 * the chain of the others. */
static struct store_request *submit_to_lane(struct store_redis *redis, struct store_request *first)
{
    struct store_request *others = NULL;
    struct store_request **others_last = &others;
    struct store_request *last = first;
    assert(first->lane < redis->n_lanes);
    for (struct store_request *request = first->next; request != NULL; request = request->next) {
        if (request->lane == first->lane) {
            last->next = request;
            last = request;
        } else {
            *others_last = request;
            others_last = &request->next;
        }
    }
    *others_last = NULL;
    redis_lane_submit(redis->lanes[first->lane], first, last);
    return others;
}

static void redis_submit(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_redis *redis = redis_of(store);
    for (struct store_request *request = first; request != NULL; request = request->next)
        request->op = (int)op;
    while (first != NULL)
        first = submit_to_lane(redis, first);
}

static void redis_leave(struct store *store, unsigned lane, struct span user_id)
{
    struct store_redis *redis = redis_of(store);
    assert(lane < redis->n_lanes);
    redis_lane_leave(redis->lanes[lane], user_id);
}

/* Answers come on one lane's reply channel, so all questions are that lane's. */
static void redis_broadcast(struct store *store, struct store_broadcast *broadcast)
{
    broadcast->request.op = REDIS_OP_BROADCAST;
    redis_lane_submit(redis_of(store)->lanes[0], &broadcast->request, &broadcast->request);
}

/* Any lane would do. */
static void redis_nodes(struct store *store, struct store_nodes *nodes)
{
    nodes->request.op = REDIS_OP_NODES;
    redis_lane_submit(redis_of(store)->lanes[0], &nodes->request, &nodes->request);
}

static void redis_ask(struct store *store, struct store_ask *ask)
{
    ask->request.op = REDIS_OP_ASK;
    redis_lane_submit(redis_of(store)->lanes[0], &ask->request, &ask->request);
}

static void redis_watch(struct store *store, unsigned lane, struct span user_id,
                        const struct store_watch *watch)
{
    redis_lane_watch(redis_of(store)->lanes[lane], user_id, watch);
}

static void redis_answer_watch(struct store *store, unsigned lane, struct span user_id,
                               const struct store_watch *watch, uint64_t acked)
{
    redis_lane_answer_watch(redis_of(store)->lanes[lane], user_id, watch, acked);
}

static void redis_describe(struct store *store, char *out, size_t cap)
{
    redis_common_describe(&redis_of(store)->common, out, cap);
}

static unsigned redis_slots_missing(struct store *store)
{
    struct redis_cluster *cluster = redis_of(store)->common.cluster;
    return cluster != NULL ? redis_cluster_missing(cluster) : 0;
}

/* In a Cluster each primary has a clock of its own. */
static int64_t redis_now_of_slot(const struct redis_common *common, uint16_t slot)
{
    const struct redis_clock *clock = redis_cluster_clock(common->cluster, slot);
    return redis_clock_now_ms(clock != NULL ? clock : &common->clock);
}

static int64_t redis_now_ms(const struct store *store)
{
    const struct redis_common *common = &((const struct store_redis *)(const void *)store)->common;
    char key[REDIS_NODES_KEY_MAX_BYTES];
    if (common->cluster == NULL)
        return redis_clock_now_ms(&common->clock);
    return redis_now_of_slot(common, redis_slot_of(redis_nodes_key(key, common->prefix)));
}

static int64_t redis_now_of(const struct store *store, struct span user_id)
{
    const struct redis_common *common = &((const struct store_redis *)(const void *)store)->common;
    if (common->cluster == NULL)
        return redis_clock_now_ms(&common->clock);
    return redis_now_of_slot(common, redis_slot_of_user(user_id));
}

static void redis_close(struct store *store)
{
    struct store_redis *redis = redis_of(store);
    for (unsigned i = 0; i < redis->n_lanes; i++)
        redis_lane_free(redis->lanes[i]);
    redis_cluster_free(redis->common.cluster);
    redis_common_fini(&redis->common);
    free(redis);
}

static void redis_reload(struct store *store)
{
    struct redis_common *common = &redis_of(store)->common;
    if (common->tls != NULL)
        redis_tls_reload(common->tls);
}

static const struct store_ops redis_ops = {
    .kind = "redis",
    .is_shared = true,
    .close = redis_close,
    .submit = redis_submit,
    .broadcast = redis_broadcast,
    .nodes = redis_nodes,
    .ask = redis_ask,
    .watch = redis_watch,
    .answer_watch = redis_answer_watch,
    .leave = redis_leave,
    .describe = redis_describe,
    .slots_missing = redis_slots_missing,
    .now_ms = redis_now_ms,
    .now_of = redis_now_of,
    .reload = redis_reload,
};

enum err store_redis_check(const struct store_config *config, char *why, size_t why_cap)
{
    return redis_common_check(config, why, why_cap);
}

enum err store_redis_open(const struct store_config *config, struct store **ret_store, char *why,
                          size_t why_cap)
{
    assert(config->n_lanes > 0);
    enum err error = ERR_NO_MEMORY;
    struct store_redis *redis =
        calloc(1, sizeof *redis + config->n_lanes * sizeof(struct redis_lane *));
    if (redis == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    redis->store.ops = &redis_ops;
    error = redis_common_init(&redis->common, config, why, why_cap);
    if (error != ERR_OK)
        goto undo_alloc;
    if (redis->common.url.topology == REDIS_CLUSTER)
        error = redis_cluster_new(&redis->common, config->lanes[0], &redis->common.cluster);
    for (; error == ERR_OK && redis->n_lanes < config->n_lanes; redis->n_lanes++) {
        error = redis_lane_new(&redis->common, config->lanes[redis->n_lanes],
                               redis->n_lanes == 0 ? NULL : redis->lanes[0],
                               &redis->lanes[redis->n_lanes]);
        if (error != ERR_OK)
            break;
    }
    if (error != ERR_OK) {
        snprintf(why, why_cap, "out of memory");
        redis_close(&redis->store);
        return error;
    }
    *ret_store = &redis->store;
    return ERR_OK;

undo_alloc:
    free(redis);
    return error;
}

static int compare_addresses(const void *a, const void *b)
{
    const struct redis_address *left = a;
    const struct redis_address *right = b;
    int order = strcmp(left->host, right->host);
    return order != 0 ? order : (int)left->port - (int)right->port;
}

/* The order of the hosts does not matter; who we are there, and TLS, may change. */
enum err store_redis_name_place(const struct store_config *config, struct buf *out)
{
    char why[REDIS_SHOWN_MAX_BYTES];
    struct redis_url url;
    enum err error = redis_url_parse(config->url, &url, why, sizeof why);
    if (error != ERR_OK)
        return error;
    qsort(url.hosts, url.n_hosts, sizeof url.hosts[0], compare_addresses);
    error = buf_printf(out, "redis %d %u %s\n%s\n%s\n", (int)url.topology, url.db,
                       config->redis_prefix, url.master_name, url.is_unix ? url.path : "");
    for (unsigned i = 0; error == ERR_OK && i < url.n_hosts; i++) {
        char address[REDIS_ADDRESS_TEXT_BYTES];
        redis_address_write(&url.hosts[i], address);
        error = buf_printf(out, "%s\n", address);
    }
    return error;
}
