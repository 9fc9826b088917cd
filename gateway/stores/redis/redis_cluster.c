/* One link asks CLUSTER SLOTS. It goes to the hosts of the URL in an order drawn at the start, and
 * to those that the map names; it stays with the one that answered, and goes on to the next when
 * that is away, or when what was asked for in trouble stays the same for REDIS_SAME_MAX answers. A
 * replica answers as well as a primary.
 *
 * Whoever finds a slot elsewhere asks for a new map: that sets a flag under the lock, and posts a
 * letter to the reactor of the link. Rounds say how fresh an answer is: a map of round n was asked
 * for after everything that redis_cluster_want answered with n or less. */
#include "gateway/stores/redis/redis_cluster.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_clocks.h"
#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_primary.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { REDIS_SAME_MAX = 3 };

struct redis_cluster {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_link *link;
    struct redis_address asked; /* whom the link goes to */
    struct redis_address seeds[REDIS_HOSTS_MAX];
    unsigned n_seeds;
    unsigned next;      /* candidate: a seed, then an address of the map */
    struct timer timer; /* the next question */
    int64_t asked_ms;
    unsigned n_same;    /* answers in trouble that changed nothing */
    unsigned n_doubts;  /* answers that know fewer owners than the map */
    bool is_asking;     /* on the present connection */
    bool is_in_trouble; /* the question is not the minute's */

    pthread_mutex_t lock; /* for all below */
    struct redis_slot_map *map;
    uint64_t n_sent;  /* questions */
    uint64_t n_heard; /* the last one that was answered */
    bool is_wanted;
    bool is_posted; /* the letter is on its way */
    struct letter letter;
    struct redis_map_reader *readers;
    struct redis_clocks clocks;
};

/* ---- readers ---- */

/* Under the lock. */
static void tell_readers(struct redis_cluster *cluster)
{
    for (struct redis_map_reader *reader = cluster->readers; reader != NULL;
         reader = reader->next) {
        if (reader->is_posted)
            continue;
        reader->is_posted = true;
        mailbox_post(reactor_mailbox(reader->reactor), &reader->letter);
    }
}

static void deliver_map(struct letter *letter)
{
    struct redis_map_reader *reader = CONTAINER_OF(letter, struct redis_map_reader, letter);
    pthread_mutex_lock(&reader->cluster->lock);
    reader->is_posted = false; /* of what comes from now on it is told again */
    pthread_mutex_unlock(&reader->cluster->lock);
    reader->on_map(reader->owner);
}

void redis_cluster_read(struct redis_cluster *cluster, struct redis_map_reader *reader)
{
    reader->letter.deliver = deliver_map;
    reader->cluster = cluster;
    pthread_mutex_lock(&cluster->lock);
    reader->next = cluster->readers;
    cluster->readers = reader;
    pthread_mutex_unlock(&cluster->lock);
}

struct redis_slot_map *redis_cluster_map(struct redis_cluster *cluster, uint64_t *ret_round)
{
    pthread_mutex_lock(&cluster->lock);
    struct redis_slot_map *map = cluster->map;
    if (map != NULL)
        redis_slot_map_ref(map);
    *ret_round = cluster->n_heard;
    pthread_mutex_unlock(&cluster->lock);
    return map;
}

const struct redis_clock *redis_cluster_clock(const struct redis_cluster *cluster, uint16_t slot)
{
    return redis_clocks_of(&cluster->clocks, slot);
}

struct redis_clock *redis_cluster_clock_at(struct redis_cluster *cluster,
                                           const struct redis_address *address)
{
    if (cluster == NULL)
        return NULL;
    pthread_mutex_lock(&cluster->lock);
    struct redis_clock *clock = redis_clocks_at(&cluster->clocks, address);
    pthread_mutex_unlock(&cluster->lock);
    return clock;
}

/* Under the lock. Takes the caller's reference. */
static void put_map(struct redis_cluster *cluster, struct redis_slot_map *map)
{
    redis_slot_map_unref(cluster->map);
    cluster->map = map;
    redis_clocks_give(&cluster->clocks, map);
}

/* ---- whom to ask ---- */

/* false: they begin anew. */
static bool go_to_next(struct redis_cluster *cluster)
{
    unsigned next = ++cluster->next;
    pthread_mutex_lock(&cluster->lock);
    const struct redis_address *address = NULL;
    if (next >= cluster->n_seeds && cluster->map != NULL)
        address = redis_slot_map_address(cluster->map, next - cluster->n_seeds);
    if (next >= cluster->n_seeds && address == NULL)
        next = cluster->next = 0;
    cluster->asked = address != NULL ? *address : cluster->seeds[next];
    pthread_mutex_unlock(&cluster->lock);
    return next != 0;
}

static void shuffle_seeds(struct redis_cluster *cluster)
{
    const struct redis_url *url = &cluster->common->url;
    cluster->n_seeds = url->n_hosts;
    memcpy(cluster->seeds, url->hosts, url->n_hosts * sizeof url->hosts[0]);
    for (unsigned i = cluster->n_seeds; i > 1; i--) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
            break;
        struct redis_address other = cluster->seeds[random % i];
        cluster->seeds[random % i] = cluster->seeds[i - 1];
        cluster->seeds[i - 1] = other;
    }
    cluster->asked = cluster->seeds[0];
}

/* ---- how much of it is there ---- */

static unsigned count_missing(struct redis_common *common, const struct redis_slot_map *map)
{
    bool is_up[REDIS_PRIMARIES_MAX];
    const struct redis_address *address;
    unsigned n = 0;
    for (unsigned i = 0; (address = redis_slot_map_address(map, i)) != NULL; i++)
        is_up[i] = redis_primary_is_up(common, address);
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        int owner = redis_slot_map_owner_at(map, (uint16_t)slot);
        n += owner < 0 || !is_up[owner];
    }
    return n;
}

unsigned redis_cluster_missing(struct redis_cluster *cluster)
{
    uint64_t round;
    struct redis_slot_map *map = redis_cluster_map(cluster, &round);
    if (map == NULL)
        return REDIS_SLOTS;
    unsigned n = count_missing(cluster->common, map);
    redis_slot_map_unref(map);
    return n;
}

/* ---- asking ---- */

/* When the next question is due: at once if somebody wants a new map, and soon while a part is
 * away, because another node may take its place any moment. */
static void plan_question(struct redis_cluster *cluster)
{
    if (cluster->is_asking || !redis_link_is_up(cluster->link))
        return; /* the answer, or the connection, comes here again */
    bool is_broken = redis_cluster_missing(cluster) > 0;
    int64_t pause_ms = is_broken ? REDIS_MAP_BROKEN_MS : REDIS_MAP_EVERY_MS;
    pthread_mutex_lock(&cluster->lock);
    if (cluster->is_wanted)
        pause_ms = REDIS_MAP_PAUSE_MS;
    cluster->is_in_trouble = cluster->is_wanted || is_broken;
    pthread_mutex_unlock(&cluster->lock);
    timer_set(reactor_timers(cluster->reactor), &cluster->timer, cluster->asked_ms + pause_ms);
}

static const char another_node[] = "another node is asked for the Cluster's slots";

/* With the node that was asked, which is one of several. */
static void say_node_away(struct redis_cluster *cluster, const char *why)
{
    char address[REDIS_ADDRESS_TEXT_BYTES];
    redis_address_write(&cluster->asked, address);
    redis_common_say_away(cluster->common, address, why);
}

/* Goes on to the next node. */
static void give_up_node(struct redis_cluster *cluster, const char *why)
{
    say_node_away(cluster, why);
    redis_primary_map_failed(cluster->common);
    redis_link_break(cluster->link, why);
}

/* A node that has just begun, or was left out of the Cluster, knows nothing of most slots. So a map
 * with fewer owners than before is not believed until others have said that as well. */
static bool is_doubtful(struct redis_cluster *cluster, unsigned n_missing)
{
    uint16_t first;
    pthread_mutex_lock(&cluster->lock);
    unsigned n_before = cluster->map != NULL ? redis_slot_map_missing(cluster->map, &first) : 0;
    pthread_mutex_unlock(&cluster->lock);
    bool is_less = n_missing > n_before;
    cluster->n_doubts = is_less ? cluster->n_doubts + 1 : 0;
    return is_less && cluster->n_doubts < REDIS_SAME_MAX;
}

static void take_map(struct redis_cluster *cluster, struct redis_slot_map *map)
{
    uint16_t first;
    char why[120];
    unsigned n_missing = redis_slot_map_missing(map, &first);
    redis_slot_map_describe_missing(map, why, sizeof why);
    if (is_doubtful(cluster, n_missing)) {
        redis_slot_map_unref(map);
        redis_link_break(cluster->link, another_node);
        return;
    }
    pthread_mutex_lock(&cluster->lock);
    bool is_same = cluster->map != NULL && redis_slot_map_equal(cluster->map, map);
    cluster->n_heard = cluster->n_sent;
    if (is_same)
        redis_slot_map_unref(map);
    else
        put_map(cluster, map);
    tell_readers(cluster);
    pthread_mutex_unlock(&cluster->lock);
    if (n_missing > 0)
        redis_common_say_ownerless(cluster->common, why);
    redis_primary_map_taken(cluster->common, n_missing);
    cluster->n_same = is_same && cluster->is_in_trouble ? cluster->n_same + 1 : 0;
    if (cluster->n_same == REDIS_SAME_MAX)
        redis_link_break(cluster->link, another_node);
}

static void on_slots(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    struct redis_cluster *cluster = owner;
    char why[160];
    struct redis_slot_map *map;
    cluster->is_asking = false;
    if (reply == NULL || !redis_link_is_up(cluster->link))
        return;
    if (redis_value_is(reply, REDIS_ERROR)) {
        bool is_disabled = strstr(reply->bytes, "cluster support disabled") != NULL;
        give_up_node(cluster, is_disabled ? REDIS_WHY_NO_CLUSTER : reply->bytes);
        return;
    }
    metrics_count(METRIC_STORE_MAP_REFRESHES);
    if (redis_slot_map_read(reply, &cluster->asked, &map, why, sizeof why) != ERR_OK) {
        give_up_node(cluster, why);
        return;
    }
    redis_link_accept(cluster->link);
    take_map(cluster, map);
    plan_question(cluster);
}

static void ask_for_slots(struct redis_cluster *cluster)
{
    struct span args[] = {SPAN_LITERAL("CLUSTER"), SPAN_LITERAL("SLOTS")};
    pthread_mutex_lock(&cluster->lock);
    cluster->is_wanted = false;
    cluster->n_sent++;
    pthread_mutex_unlock(&cluster->lock);
    cluster->asked_ms = reactor_now_ms(cluster->reactor);
    cluster->is_asking = true;
    if (redis_link_command(cluster->link, args, 2, on_slots, NULL, 0) == ERR_OK)
        return;
    cluster->is_asking = false;
    redis_link_break(cluster->link, "out of memory");
}

static void on_question_due(struct timer *timer)
{
    struct redis_cluster *cluster = CONTAINER_OF(timer, struct redis_cluster, timer);
    if (!cluster->is_asking && redis_link_is_up(cluster->link))
        ask_for_slots(cluster);
}

static void on_map_link_up(void *owner)
{
    struct redis_cluster *cluster = owner;
    cluster->n_same = 0;
    ask_for_slots(cluster);
}

static void on_map_link_down(void *owner, bool was_up, const char *why)
{
    struct redis_cluster *cluster = owner;
    pthread_mutex_lock(&cluster->lock);
    bool has_map = cluster->map != NULL;
    cluster->is_wanted = true; /* what is asked next may be answered by another node */
    pthread_mutex_unlock(&cluster->lock);
    if (!has_map && !was_up)
        say_node_away(cluster, why);
    cluster->is_asking = false;
    if (go_to_next(cluster))
        redis_link_hurry(cluster->link);
}

/* ---- wanting ---- */

static void deliver_wish(struct letter *letter)
{
    struct redis_cluster *cluster = CONTAINER_OF(letter, struct redis_cluster, letter);
    pthread_mutex_lock(&cluster->lock);
    cluster->is_posted = false;
    pthread_mutex_unlock(&cluster->lock);
    plan_question(cluster);
}

/* Under the lock. */
static uint64_t want_map(struct redis_cluster *cluster)
{
    if (!cluster->is_wanted && !cluster->is_posted) {
        cluster->is_posted = true;
        mailbox_post(reactor_mailbox(cluster->reactor), &cluster->letter);
    }
    cluster->is_wanted = true;
    return cluster->n_sent + 1;
}

uint64_t redis_cluster_want(struct redis_cluster *cluster)
{
    if (cluster == NULL)
        return 0;
    pthread_mutex_lock(&cluster->lock);
    uint64_t round = want_map(cluster);
    pthread_mutex_unlock(&cluster->lock);
    return round;
}

/* Under the lock. */
static void correct_slot(struct redis_cluster *cluster, uint16_t slot,
                         const struct redis_address *owner)
{
    struct redis_slot_map *corrected;
    if (cluster->map == NULL)
        return;
    const struct redis_address *known = redis_slot_map_owner(cluster->map, slot);
    if (known != NULL && redis_address_equal(known, owner))
        return;
    if (redis_slot_map_correct(cluster->map, slot, owner, &corrected) != ERR_OK)
        return; /* the map that was just asked for says it as well */
    put_map(cluster, corrected);
    tell_readers(cluster);
}

bool redis_cluster_redirected(struct redis_cluster *cluster, const char *error,
                              const struct redis_address *asked)
{
    bool is_move = strncmp(error, "MOVED ", 6) == 0;
    uint16_t slot;
    struct redis_address owner;
    if (cluster == NULL || (!is_move && strncmp(error, "ASK ", 4) != 0))
        return false;
    bool is_read = redis_redirect_read(error, asked, &slot, &owner);
    pthread_mutex_lock(&cluster->lock);
    if (is_move && is_read)
        correct_slot(cluster, slot, &owner);
    if (is_move)
        (void)want_map(cluster);
    pthread_mutex_unlock(&cluster->lock);
    return true;
}

/* ---- made and freed ---- */

enum err redis_cluster_new(struct redis_common *common, struct reactor *reactor,
                           struct redis_cluster **ret_cluster)
{
    struct redis_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return ERR_NO_MEMORY;
    cluster->common = common;
    cluster->clocks.first = &common->clock;
    cluster->reactor = reactor;
    cluster->letter.deliver = deliver_wish;
    cluster->is_wanted = true;
    timer_init(&cluster->timer, on_question_due);
    shuffle_seeds(cluster);
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_MAP,
        .reactor = reactor,
        .url = &common->url,
        .address = &cluster->asked,
        .tls = common->tls,
        .tls_name = redis_common_tls_name(common),
        .client_name = common->client_name,
        .takes_replicas = true,
        .owner = cluster,
        .on_up = on_map_link_up,
        .on_down = on_map_link_down,
    };
    enum err error = redis_link_new(&config, &cluster->link);
    if (error != ERR_OK) {
        free(cluster);
        return error;
    }
    pthread_mutex_init(&cluster->lock, NULL);
    *ret_cluster = cluster;
    return ERR_OK;
}

void redis_cluster_free(struct redis_cluster *cluster)
{
    if (cluster == NULL)
        return;
    timer_cancel(reactor_timers(cluster->reactor), &cluster->timer);
    redis_link_free(cluster->link);
    redis_slot_map_unref(cluster->map);
    redis_clocks_fini(&cluster->clocks);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}
