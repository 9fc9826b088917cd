/* An address row counts the connections of one address (of an IPv6 address its /64), and how many
 * of them hold one of its --max-connections-per-address slots. A connection takes its slot when it
 * arrives, so that heads that never end count as well. A connection without a slot is read all the
 * same, because the form of the refusal depends on its request; an address has at most CROWD_MAX of
 * these. Such a connection tries to take a slot again when it subscribes (peer_enter).
 *
 * The rows are in shards with a mutex each. A row is freed with its last connection. With a limit
 * on handshakes it stays until its token bucket is full again, at most a second, so that a client
 * cannot evade the limit by reconnecting. The next connection of that shard then sweeps it. */
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

struct address_row {
    struct address_row *next; /* in the bucket */
    struct list idle;         /* in the shard's list, while it has no connection */
    struct ip network;
    struct rate handshakes;
    uint32_t n_here;  /* its connections */
    uint32_t n_slots; /* its connections with a slot */
};

struct shard {
    pthread_mutex_t lock; /* guards the shard; no other lock is taken under it */
    struct list idle;     /* rows without connections; the first one's bucket is full first */
    struct address_row *buckets[N_BUCKETS];
};

struct peers {
    struct cidr *trusted;
    size_t n_trusted;
    bool trusts_unix;
    uint32_t max_connections; /* per address; 0: no limit */
    uint32_t max_crowd;       /* connections of an address that are read without a slot */
    bool counts_resting;      /* idle connections count as well */
    enum metric limited;      /* counts what the limit on connections refuses */
    uint32_t max_handshakes;  /* per address and second; 0: no limit */
    struct shard *shards;     /* NULL: no limit */
};

struct peer {
    struct peers *peers;
    struct address_row *row; /* NULL: not counted */
    struct ip address;
    bool has_address;       /* false: it connected to a unix socket, and is not counted */
    struct ip proxy;        /* if is_named_by_head: the address of the proxy */
    bool proxy_has_address; /* false: the proxy has none */
    bool is_named_by_head;
    bool is_unresolved;
    bool is_proxied;
    bool has_slot; /* it has a slot of its row */
};

/* ---- the table ---- */

static struct shard *shard_of(struct peers *peers, const struct ip *network,
                              struct address_row ***ret_bucket)
{
    uint64_t hash = hash_bytes((struct span){(const char *)network->bytes, sizeof network->bytes});
    struct shard *shard = &peers->shards[hash % N_SHARDS];
    *ret_bucket = &shard->buckets[hash / N_SHARDS % N_BUCKETS];
    return shard;
}

static void drop_row(struct address_row **bucket, struct address_row *row)
{
    while (*bucket != row)
        bucket = &(*bucket)->next;
    *bucket = row->next;
    list_remove(&row->idle);
    free(row);
}

static void sweep_idle_rows(struct peers *peers, struct shard *shard, int64_t now_us)
{
    while (!list_is_empty(&shard->idle)) {
        struct address_row *row = CONTAINER_OF(shard->idle.next, struct address_row, idle);
        struct address_row **bucket;
        if (row->handshakes.full_us > now_us)
            return;
        shard_of(peers, &row->network, &bucket);
        drop_row(bucket, row);
    }
}

/* Finds or makes the row of an address. NULL: out of memory. */
static struct address_row *find_row(struct address_row **bucket, const struct ip *network)
{
    for (struct address_row *row = *bucket; row != NULL; row = row->next) {
        if (ip_equal(&row->network, network))
            return row;
    }
    struct address_row *row = calloc(1, sizeof *row);
    if (row == NULL)
        return NULL;
    row->network = *network;
    list_init(&row->idle);
    row->next = *bucket;
    *bucket = row;
    return row;
}

static bool take_address_slot(const struct peers *peers, struct address_row *row)
{
    if (peers->max_connections != 0 && row->n_slots >= peers->max_connections)
        return false;
    row->n_slots++;
    return true;
}

static bool has_room(const struct peers *peers, const struct address_row *row)
{
    return peers->max_connections == 0 ||
           row->n_here < (uint64_t)peers->max_connections + peers->max_crowd;
}

static enum err join_row(struct peer *peer, bool is_adopted)
{
    struct peers *peers = peer->peers;
    struct address_row **bucket;
    if (peers->shards == NULL || !peer->has_address)
        return ERR_OK;
    struct ip network = ip_network(&peer->address);
    struct shard *shard = shard_of(peers, &network, &bucket);
    enum err error = ERR_OK;
    pthread_mutex_lock(&shard->lock);
    sweep_idle_rows(peers, shard, clock_monotonic_us());
    struct address_row *row = find_row(bucket, &network);
    if (row == NULL) {
        error = ERR_NO_MEMORY;
    } else if (!is_adopted && !has_room(peers, row)) {
        error = ERR_CROWDED;
    } else {
        list_remove(&row->idle);
        row->n_here++;
        peer->has_slot = take_address_slot(peers, row);
        peer->row = row;
    }
    pthread_mutex_unlock(&shard->lock);
    if (error == ERR_CROWDED)
        metrics_count(peers->limited);
    return error;
}

static void leave_row(struct peer *peer)
{
    struct address_row *row = peer->row;
    struct address_row **bucket;
    if (row == NULL)
        return;
    struct shard *shard = shard_of(peer->peers, &row->network, &bucket);
    pthread_mutex_lock(&shard->lock);
    row->n_slots -= peer->has_slot;
    if (--row->n_here == 0) {
        if (row->handshakes.full_us > clock_monotonic_us())
            list_append(&shard->idle, &row->idle);
        else
            drop_row(bucket, row);
    }
    pthread_mutex_unlock(&shard->lock);
    peer->row = NULL;
    peer->has_slot = false;
}

/* ---- creating and freeing the table ---- */

static enum err make_shards(struct peers *peers)
{
    peers->shards = calloc(N_SHARDS, sizeof *peers->shards);
    if (peers->shards == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < N_SHARDS; i++) {
        list_init(&peers->shards[i].idle);
        pthread_mutex_init(&peers->shards[i].lock, NULL); /* cannot fail here */
    }
    return ERR_OK;
}

static enum err read_trusted(struct peers *peers, const struct option_list *list)
{
    peers->trusted = calloc(list->n + 1, sizeof *peers->trusted);
    if (peers->trusted == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->values[i], "unix:") == 0)
            peers->trusts_unix = true;
        else if (cidr_parse(span_of(list->values[i]), &peers->trusted[peers->n_trusted++]) !=
                 ERR_OK)
            return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

enum err peers_new(const struct options *options, struct peers **ret_peers)
{
    struct peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL)
        return ERR_NO_MEMORY;
    peers->max_connections = (uint32_t)options->max_connections_per_address;
    peers->max_handshakes = (uint32_t)options->max_handshakes_per_address;
    peers->max_crowd = CROWD_MAX;
    peers->limited = METRIC_LIMITED_CONNECTIONS;
    enum err error = read_trusted(peers, &options->trusted_proxy);
    if (error == ERR_OK && (peers->max_connections != 0 || peers->max_handshakes != 0))
        error = make_shards(peers);
    if (error != ERR_OK) {
        peers_free(peers);
        return error;
    }
    *ret_peers = peers;
    return ERR_OK;
}

enum err peers_new_share(uint32_t max_connections, struct peers **ret_peers)
{
    struct peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL)
        return ERR_NO_MEMORY;
    *peers = (struct peers){.max_connections = max_connections,
                            .counts_resting = true,
                            .limited = METRIC_LIMITED_ADMIN_CONNECTIONS};
    enum err error = make_shards(peers);
    if (error != ERR_OK) {
        peers_free(peers);
        return error;
    }
    *ret_peers = peers;
    return ERR_OK;
}

void peers_free(struct peers *peers)
{
    if (peers == NULL)
        return;
    for (size_t i = 0; peers->shards != NULL && i < N_SHARDS; i++) {
        sweep_idle_rows(peers, &peers->shards[i], INT64_MAX);
        pthread_mutex_destroy(&peers->shards[i].lock);
    }
    free(peers->shards);
    free(peers->trusted);
    free(peers);
}

/* ---- one connection ---- */

static bool is_trusted(const struct peers *peers, const struct ip *ip)
{
    for (size_t i = 0; i < peers->n_trusted; i++) {
        if (cidr_has(&peers->trusted[i], ip))
            return true;
    }
    return false;
}

static struct peer peer_from(struct peers *peers, const struct ip *from)
{
    struct peer found = {.peers = peers, .has_address = from != NULL};
    if (from != NULL)
        found.address = *from;
    found.is_unresolved = from != NULL ? is_trusted(peers, from) : peers->trusts_unix;
    return found;
}

/* NULL for one of which nothing has to be stored. */
static enum err keep_peer(const struct peer *found, bool is_adopted, struct peer **ret_peer)
{
    *ret_peer = NULL;
    if (!found->is_unresolved && !found->is_proxied &&
        (found->peers->shards == NULL || !found->has_address))
        return ERR_OK;
    struct peer *peer = malloc(sizeof *peer);
    if (peer == NULL)
        return ERR_NO_MEMORY;
    *peer = *found;
    enum err error = found->is_unresolved ? ERR_OK : join_row(peer, is_adopted);
    if (error != ERR_OK) {
        free(peer);
        return error;
    }
    *ret_peer = peer;
    return ERR_OK;
}

enum err peer_arrive(struct peers *peers, const struct ip *from, struct peer **ret_peer)
{
    struct peer found = peer_from(peers, from);
    return keep_peer(&found, false, ret_peer);
}

void peer_carry(const struct peer *peer, struct carried_peer *ret_carried)
{
    *ret_carried = (struct carried_peer){0};
    if (peer == NULL)
        return;
    ret_carried->is_unresolved = peer->is_unresolved;
    ret_carried->is_proxied = peer->is_proxied;
    if (peer->is_proxied)
        ret_carried->address = peer->address;
}

void peer_carry_unnamed(const struct peer *peer, struct carried_peer *ret_carried)
{
    peer_carry(peer, ret_carried);
    if (peer != NULL && peer->is_named_by_head)
        *ret_carried = (struct carried_peer){.is_unresolved = true};
}

enum err peer_adopt(struct peers *peers, const struct ip *from, const struct carried_peer *carried,
                    struct peer **ret_peer)
{
    struct peer found = peer_from(peers, from);
    found.is_unresolved &= carried->is_unresolved;
    found.is_proxied = carried->is_proxied;
    if (carried->is_proxied) {
        found.has_address = true;
        found.address = carried->address;
    }
    return keep_peer(&found, true, ret_peer);
}

void peer_leave(struct peer *peer)
{
    if (peer == NULL)
        return;
    leave_row(peer);
    free(peer);
}

bool peer_is_unresolved(const struct peer *peer)
{
    return peer != NULL && peer->is_unresolved;
}

enum err peer_resolve(struct peer *peer, bool has_address, const struct ip *ip)
{
    peer->is_unresolved = false;
    peer->is_proxied = has_address;
    if (has_address) {
        peer->has_address = true;
        peer->address = *ip;
    }
    return join_row(peer, false);
}

void peer_resolve_by_head(struct peer *peer, const struct http_head *head, const char *bytes)
{
    struct ip ip;
    peer->proxy = peer->address;
    peer->proxy_has_address = peer->has_address;
    peer->is_named_by_head = true;
    bool is_found = forwarded_for(head, bytes, peer->peers->trusted, peer->peers->n_trusted, &ip);
    enum err error = peer_resolve(peer, is_found, &ip);
    (void)error; /* without a row peer_enter refuses it */
}

void peer_next(struct peer *peer)
{
    if (peer == NULL || !peer->is_named_by_head)
        return;
    leave_row(peer);
    peer->address = peer->proxy;
    peer->has_address = peer->proxy_has_address;
    peer->is_named_by_head = peer->is_proxied = false;
    peer->is_unresolved = true;
}

void peer_rest(struct peer *peer)
{
    if (peer != NULL && !peer->peers->counts_resting)
        leave_row(peer);
}

enum err peer_wake(struct peer *peer)
{
    if (peer == NULL || peer->is_unresolved || peer->peers->counts_resting)
        return ERR_OK;
    return join_row(peer, false);
}

bool peer_is_proxied(const struct peer *peer)
{
    return peer != NULL && peer->is_proxied;
}

enum err peer_enter(struct peer *peer)
{
    if (peer == NULL || peer->peers->shards == NULL || !peer->has_address)
        return ERR_OK;
    struct peers *peers = peer->peers;
    struct address_row *row = peer->row;
    struct address_row **bucket;
    if (row == NULL)
        return ERR_CROWDED; /* counted when it arrived */
    struct shard *shard = shard_of(peers, &row->network, &bucket);
    enum err error = ERR_OK;
    pthread_mutex_lock(&shard->lock);
    if (peers->max_handshakes != 0 && !rate_take(&row->handshakes, clock_monotonic_us(),
                                                 peers->max_handshakes, peers->max_handshakes, 1))
        error = ERR_RATE;
    else if (!peer->has_slot && !(peer->has_slot = take_address_slot(peers, row)))
        error = ERR_CROWDED;
    pthread_mutex_unlock(&shard->lock);
    if (error != ERR_OK)
        metrics_count(error == ERR_RATE ? METRIC_LIMITED_HANDSHAKES : peers->limited);
    return error;
}

const struct ip *peer_address(const struct peer *peer)
{
    return &peer->address;
}

struct ip peer_of_work(const struct peer *peer, int fd)
{
    return peer != NULL ? peer->address : listener_peer_address(fd).ip;
}

bool peer_describe(const struct peer *peer, char *out, size_t cap)
{
    char text[IP_TEXT_MAX_BYTES];
    if (!peer_is_proxied(peer))
        return false;
    ip_write(&peer->address, text);
    snprintf(out, cap, "%s", text);
    return true;
}
