/* Many threads come, enter and leave from a few addresses: an address never has more than its
 * limit, every place is given back, and nothing races (built with ThreadSanitizer). */
#include "gateway/identity/peers.h"

#include "gateway/base/hash.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_THREADS = 4, N_ADDRESSES = 8, ROUNDS = 20000, HELD = 3, MAX = 5 };

static struct peers *peers;
static const struct ip from = {{[10] = 0xff, 0xff, 127, 0, 0, 1}};
static atomic_int n_in[N_ADDRESSES];
static atomic_uint n_entered, n_crowded, n_too_fast;

static void fail(const char *what)
{
    fprintf(stderr, "race_peers: %s\n", what);
    exit(1);
}

static struct peer *come(unsigned address)
{
    struct peer *peer;
    struct ip ip = ip_from_v4((const uint8_t[]){192, 0, 2, (uint8_t)address});
    if (peer_arrive(peers, &from, &peer) != ERR_OK || !peer_is_unresolved(peer))
        fail("the peer is not trusted");
    if (peer_resolve(peer, true, &ip) == ERR_OK) {
        enum err error = peer_enter(peer);
        if (error == ERR_OK) {
            if (atomic_fetch_add(&n_in[address], 1) >= MAX)
                fail("more than the limit are in");
            atomic_fetch_add(&n_entered, 1);
            return peer;
        }
        atomic_fetch_add(error == ERR_RATE ? &n_too_fast : &n_crowded, 1);
    }
    peer_leave(peer);
    return NULL;
}

static void *run(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    struct peer *held[HELD] = {NULL};
    unsigned of[HELD] = {0};
    for (unsigned i = 0; i < ROUNDS + HELD; i++) {
        unsigned slot = i % HELD;
        if (held[slot] != NULL) {
            atomic_fetch_sub(&n_in[of[slot]], 1);
            peer_leave(held[slot]);
        }
        seed = seed * 1103515245u + 12345u;
        of[slot] = (seed >> 16) % N_ADDRESSES % (i % 2 == 0 ? N_ADDRESSES : 2);
        held[slot] = i < ROUNDS ? come(of[slot]) : NULL;
        if (i % 16 == 0)
            sched_yield(); /* on one core, too, others come while this one has places */
    }
    return NULL;
}

static void run_all(uint32_t max_handshakes)
{
    char *trusted[] = {"127.0.0.0/8"};
    struct options options = {
        .trusted_proxy = {trusted, 1},
        .max_connections_per_address = MAX,
        .max_handshakes_per_address = max_handshakes,
    };
    pthread_t threads[N_THREADS];
    unsigned seeds[N_THREADS];
    if (peers_new(&options, &peers) != ERR_OK)
        fail("no table");
    for (unsigned i = 0; i < N_THREADS; i++) {
        seeds[i] = i + 1;
        pthread_create(&threads[i], NULL, run, &seeds[i]);
    }
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    struct peer *all[MAX];
    for (unsigned i = 0; i < MAX && max_handshakes == 0; i++) {
        if ((all[i] = come(0)) == NULL)
            fail("a place was not given back");
    }
    for (unsigned i = 0; i < MAX && max_handshakes == 0; i++) {
        atomic_fetch_sub(&n_in[0], 1);
        peer_leave(all[i]);
    }
    peers_free(peers);
}

int main(void)
{
    if (hash_init() != ERR_OK)
        fail("no randomness");
    run_all(0);
    run_all(50); /* a slow machine, too, comes faster */
    if (n_entered == 0 || n_crowded == 0 || n_too_fast == 0)
        fail("not every way was taken");
    printf("%u entered, %u crowded, %u too fast\n", n_entered, n_crowded, n_too_fast);
    return 0;
}
