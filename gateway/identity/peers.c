/* A `place` is what is known of one address (of an IPv6 address its /64): how many connections it
 * has, and how many of them hold one of the --max-connections-per-address. A connection takes its
 * place when it arrives, so that heads that never end count as well. One that found no room is read
 * all the same, because only its request tells how it must be refused, but only so many of these
 * (CROWD_MAX); it asks once more when it is about to enter.
 *
 * The places are in shards with a mutex each. A place goes with its last connection; with a limit
 * on handshakes it stays until its bucket is full again (a second at most, swept by whoever comes
 * next to that shard), or coming and going would be a way round the limit. */
#include "gateway/identity/peers.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/list.h"
#include "gateway/base/metrics.h"
#include "gateway/base/rate.h"
#include "gateway/net/listener.h"
#include "proto/http/forwarded.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_SHARDS = 64, N_BUCKETS = 512, CROWD_MAX = 64 };

struct place {
    struct place *next; /* in the bucket */
    struct list idle;   /* in the shard's list, while nobody is here */
    struct ip network;
    struct rate handshakes;
    uint32_t n_here; /* connections */
    uint32_t n_in;   /* of them, that hold a place */
};

struct shard {
    pthread_mutex_t lock; /* for all of it; nothing else is locked under it */
    struct list idle;     /* places of nobody, the first one's bucket is full first */
    struct place *buckets[N_BUCKETS];
};

struct sources {
    struct cidr *trusted;
    size_t n_trusted;
    bool trusts_unix;
    uint32_t max_connections; /* of an address; 0: no limit */
    uint32_t max_handshakes;  /* a second; 0: no limit */
    struct shard *shards;     /* NULL: no limit */
};

struct source {
    struct sources *sources;
    struct place *place; /* NULL: not counted */
    struct ip address;
    bool has_address;       /* false: who connected to a unix socket, and is not counted */
    struct ip proxy;        /* is_told_by_head: the peer's own address... */
    bool proxy_has_address; /* ...if it has one */
    bool is_told_by_head;
    bool is_untold;
    bool is_proxied;
    bool is_in; /* it holds one of the places */
};

/* ---- the table ---- */

static struct shard *shard_of(struct sources *sources, const struct ip *network,
                              struct place ***ret_bucket)
{
    uint64_t hash = hash_bytes((struct span){(const char *)network->bytes, sizeof network->bytes});
    struct shard *shard = &sources->shards[hash % N_SHARDS];
    *ret_bucket = &shard->buckets[hash / N_SHARDS % N_BUCKETS];
    return shard;
}

static void drop_place(struct place **bucket, struct place *place)
{
    while (*bucket != place)
        bucket = &(*bucket)->next;
    *bucket = place->next;
    list_remove(&place->idle);
    free(place);
}

static void sweep(struct sources *sources, struct shard *shard, int64_t now_us)
{
    while (!list_is_empty(&shard->idle)) {
        struct place *place = CONTAINER_OF(shard->idle.next, struct place, idle);
        struct place **bucket;
        if (place->handshakes.full_us > now_us)
            return;
        shard_of(sources, &place->network, &bucket);
        drop_place(bucket, place);
    }
}

/* Found or made. NULL: out of memory. */
static struct place *find_place(struct place **bucket, const struct ip *network)
{
    for (struct place *place = *bucket; place != NULL; place = place->next) {
        if (ip_equal(&place->network, network))
            return place;
    }
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL)
        return NULL;
    place->network = *network;
    list_init(&place->idle);
    place->next = *bucket;
    *bucket = place;
    return place;
}

static bool take_place(const struct sources *sources, struct place *place)
{
    if (sources->max_connections != 0 && place->n_in >= sources->max_connections)
        return false;
    place->n_in++;
    return true;
}

static enum err claim(struct source *source)
{
    struct sources *sources = source->sources;
    struct place **bucket;
    if (sources->shards == NULL || !source->has_address)
        return ERR_OK;
    struct ip network = ip_network(&source->address);
    struct shard *shard = shard_of(sources, &network, &bucket);
    enum err error = ERR_OK;
    pthread_mutex_lock(&shard->lock);
    sweep(sources, shard, clock_monotonic_us());
    struct place *place = find_place(bucket, &network);
    if (place == NULL) {
        error = ERR_NO_MEMORY;
    } else if (sources->max_connections != 0 &&
               place->n_here >= (uint64_t)sources->max_connections + CROWD_MAX) {
        error = ERR_CROWDED;
    } else {
        list_remove(&place->idle);
        place->n_here++;
        source->is_in = take_place(sources, place);
        source->place = place;
    }
    pthread_mutex_unlock(&shard->lock);
    if (error == ERR_CROWDED)
        metrics_count(METRIC_LIMITED_CONNECTIONS);
    return error;
}

static void give_back(struct source *source)
{
    struct place *place = source->place;
    struct place **bucket;
    struct shard *shard = shard_of(source->sources, &place->network, &bucket);
    pthread_mutex_lock(&shard->lock);
    place->n_in -= source->is_in;
    if (--place->n_here == 0) {
        if (place->handshakes.full_us > clock_monotonic_us())
            list_append(&shard->idle, &place->idle);
        else
            drop_place(bucket, place);
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- the table's life ---- */

static enum err make_shards(struct sources *sources)
{
    sources->shards = calloc(N_SHARDS, sizeof *sources->shards);
    if (sources->shards == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < N_SHARDS; i++) {
        list_init(&sources->shards[i].idle);
        pthread_mutex_init(&sources->shards[i].lock, NULL); /* cannot fail here */
    }
    return ERR_OK;
}

static enum err read_trusted(struct sources *sources, const struct option_list *list)
{
    sources->trusted = calloc(list->n + 1, sizeof *sources->trusted);
    if (sources->trusted == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->values[i], "unix:") == 0)
            sources->trusts_unix = true;
        else if (cidr_parse(span_of(list->values[i]), &sources->trusted[sources->n_trusted++]) !=
                 ERR_OK)
            return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

enum err sources_new(const struct options *options, struct sources **ret_sources)
{
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL)
        return ERR_NO_MEMORY;
    sources->max_connections = (uint32_t)options->max_connections_per_address;
    sources->max_handshakes = (uint32_t)options->max_handshakes_per_address;
    enum err error = read_trusted(sources, &options->trusted_proxy);
    if (error == ERR_OK && (sources->max_connections != 0 || sources->max_handshakes != 0))
        error = make_shards(sources);
    if (error != ERR_OK) {
        sources_free(sources);
        return error;
    }
    *ret_sources = sources;
    return ERR_OK;
}

void sources_free(struct sources *sources)
{
    if (sources == NULL)
        return;
    for (size_t i = 0; sources->shards != NULL && i < N_SHARDS; i++) {
        sweep(sources, &sources->shards[i], INT64_MAX);
        pthread_mutex_destroy(&sources->shards[i].lock);
    }
    free(sources->shards);
    free(sources->trusted);
    free(sources);
}

/* ---- one connection's ---- */

static bool is_trusted(const struct sources *sources, const struct ip *ip)
{
    for (size_t i = 0; i < sources->n_trusted; i++) {
        if (cidr_has(&sources->trusted[i], ip))
            return true;
    }
    return false;
}

enum err source_arrive(struct sources *sources, const struct ip *peer, struct source **ret_source)
{
    *ret_source = NULL;
    struct source found = {.sources = sources, .has_address = peer != NULL};
    if (peer != NULL)
        found.address = *peer;
    found.is_untold = peer != NULL ? is_trusted(sources, peer) : sources->trusts_unix;
    if (!found.is_untold && (sources->shards == NULL || peer == NULL))
        return ERR_OK;
    struct source *source = malloc(sizeof *source);
    if (source == NULL)
        return ERR_NO_MEMORY;
    *source = found;
    enum err error = found.is_untold ? ERR_OK : claim(source);
    if (error != ERR_OK) {
        free(source);
        return error;
    }
    *ret_source = source;
    return ERR_OK;
}

void source_leave(struct source *source)
{
    if (source == NULL)
        return;
    if (source->place != NULL)
        give_back(source);
    free(source);
}

bool source_is_untold(const struct source *source)
{
    return source != NULL && source->is_untold;
}

enum err source_tell(struct source *source, bool has_address, const struct ip *ip)
{
    source->is_untold = false;
    source->is_proxied = has_address;
    if (has_address) {
        source->has_address = true;
        source->address = *ip;
    }
    return claim(source);
}

void source_tell_by_head(struct source *source, const struct http_head *head, const char *bytes)
{
    struct ip ip;
    source->proxy = source->address;
    source->proxy_has_address = source->has_address;
    source->is_told_by_head = true;
    bool is_found =
        forwarded_for(head, bytes, source->sources->trusted, source->sources->n_trusted, &ip);
    enum err error = source_tell(source, is_found, &ip);
    (void)error; /* one without a place is not let in: source_enter */
}

static void give_up_place(struct source *source)
{
    if (source->place != NULL)
        give_back(source);
    source->place = NULL;
    source->is_in = false;
}

void source_next(struct source *source)
{
    if (source == NULL || !source->is_told_by_head)
        return;
    give_up_place(source);
    source->address = source->proxy;
    source->has_address = source->proxy_has_address;
    source->is_told_by_head = source->is_proxied = false;
    source->is_untold = true;
}

void source_rest(struct source *source)
{
    if (source != NULL)
        give_up_place(source);
}

enum err source_wake(struct source *source)
{
    return source == NULL || source->is_untold ? ERR_OK : claim(source);
}

bool source_is_proxied(const struct source *source)
{
    return source != NULL && source->is_proxied;
}

enum err source_enter(struct source *source)
{
    if (source == NULL || source->sources->shards == NULL || !source->has_address)
        return ERR_OK;
    struct sources *sources = source->sources;
    struct place *place = source->place;
    struct place **bucket;
    if (place == NULL)
        return ERR_CROWDED; /* counted where it was found */
    struct shard *shard = shard_of(sources, &place->network, &bucket);
    enum err error = ERR_OK;
    pthread_mutex_lock(&shard->lock);
    if (sources->max_handshakes != 0 &&
        !rate_take(&place->handshakes, clock_monotonic_us(), sources->max_handshakes,
                   sources->max_handshakes, 1))
        error = ERR_RATE;
    else if (!source->is_in && !(source->is_in = take_place(sources, place)))
        error = ERR_CROWDED;
    pthread_mutex_unlock(&shard->lock);
    if (error != ERR_OK)
        metrics_count(error == ERR_RATE ? METRIC_LIMITED_HANDSHAKES : METRIC_LIMITED_CONNECTIONS);
    return error;
}

const struct ip *source_address(const struct source *source)
{
    return &source->address;
}

struct ip source_of_work(const struct source *source, int fd)
{
    return source != NULL ? source->address : listener_peer_address(fd).ip;
}

bool source_describe(const struct source *source, char *out, size_t cap)
{
    char text[IP_TEXT_MAX_BYTES];
    if (!source_is_proxied(source))
        return false;
    ip_write(&source->address, text);
    snprintf(out, cap, "%s", text);
    return true;
}
